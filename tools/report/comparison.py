"""Both sides of a change, gathered once for all parts of the page."""

from dataclasses import dataclass
from functools import cached_property, partial

from tools.report import git
from tools.report.metrics import Change, compare_numbers
from tools.report.paired import Paired, compare_predictions
from tools.report.snapshot import Snapshot, file_here, read_snapshot
from tools.report.staleness import Staleness, check_staleness


@dataclass(frozen=True)
class Comparison:
    """The working tree against a base."""

    base: str
    """As a reader knows it: a branch, a tag, a commit or an experiment."""
    here: str
    behind: int
    """Commits of the base that the working tree lacks."""
    before: Snapshot
    after: Snapshot
    staleness: Staleness

    @cached_property
    def metrics(self) -> dict[str, Change]:
        """The metrics of the test, those of its classes too; judged only if comparable."""
        sides = self.before.evaluation or {}, self.after.evaluation or {}
        return compare_numbers(*sides, judged=self.comparable)

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
    """Compare the working tree with a commit."""
    name, commit = git.find_commit(base)
    after = read_snapshot(file_here)
    return Comparison(
        base=name,
        here=git.working_tree(),
        behind=git.commits_behind(commit),
        before=read_snapshot(partial(git.file_at, commit), f"{name}:"),
        after=after,
        staleness=check_staleness(after.params),
    )
