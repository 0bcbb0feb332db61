"""Both sides of a change, gathered once for all parts of the page."""

from dataclasses import dataclass
from functools import cached_property, partial

import pandas as pd

from tools.report import git
from tools.report.git import Revision
from tools.report.metrics import compare_numbers
from tools.report.paired import Paired, compare_predictions
from tools.report.snapshot import Snapshot, file_here, read_snapshot
from tools.report.staleness import Staleness, check_staleness


@dataclass(frozen=True)
class Comparison:
    """What is here against a base."""

    base: Revision
    here: Revision
    behind: int
    """Commits of the base that are not in here."""
    before: Snapshot
    after: Snapshot
    staleness: Staleness

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The metrics of the test, those of its classes too; see `compare_numbers`."""
        table = compare_numbers(self.before.evaluation or {}, self.after.evaluation or {})
        return table if self.comparable else table.assign(verdict="")

    @cached_property
    def paired(self) -> Paired | None:
        """Both models on the same photos; None if one of them has no predictions."""
        if self.before.predictions is None or self.after.predictions is None:
            return None
        return compare_predictions(self.before.predictions, self.after.predictions)

    @property
    def comparable(self) -> bool:
        """Whether both tests share photos, as far as can be told."""
        return self.paired is None or self.paired.shared > 0


def compare(base: str) -> Comparison:
    """Compare the working tree with a commit.

    Raises
    ------
    UserError
        If there is no such commit, or DVC can't read the pipeline.
    """
    revision = git.find_revision(base)
    after = read_snapshot(file_here)
    return Comparison(
        base=revision,
        here=git.working_tree(),
        behind=git.commits_behind(revision),
        before=read_snapshot(partial(git.file_at, revision.commit), f"{revision.name}:"),
        after=after,
        staleness=check_staleness(after.params),
    )
