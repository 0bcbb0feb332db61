"""Both sides of a change, gathered once for all parts of the page."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from stages.common.errors import UserError
from tools.report import git
from tools.report.figures import ClassChange, Figure, compare_classes, compare_figures
from tools.report.freshness import Freshness, check_freshness
from tools.report.git import Revision
from tools.report.paired import Paired, compare_predictions
from tools.report.snapshot import Snapshot, read_snapshot


@dataclass(frozen=True)
class Comparison:
    """What is here against a base."""

    base: Revision
    here: Revision
    behind: int
    """Commits of the base that are not in here."""
    before: Snapshot
    after: Snapshot
    freshness: Freshness

    @cached_property
    def figures(self) -> list[Figure]:
        """The figures of the test."""
        return compare_figures(self.before.evaluation or {}, self.after.evaluation or {})

    @cached_property
    def classes(self) -> list[ClassChange]:
        """The figures of each class."""
        return compare_classes(self.before.evaluation or {}, self.after.evaluation or {})

    @cached_property
    def paired(self) -> Paired | None:
        """Both models on the same photos; None if one of them has no predictions."""
        if self.before.predictions is None or self.after.predictions is None:
            return None
        return compare_predictions(self.before.predictions, self.after.predictions)

    @property
    def params(self) -> list[tuple[str, object, object]]:
        """Name, old and new value of each parameter that changed; None where there is none."""
        old, new = self.before.params, self.after.params
        rows = [(name, old.get(name), new.get(name)) for name in {**new, **old}]
        return [row for row in rows if row[1] != row[2]]


def compare(base: str) -> Comparison:
    """Compare the working tree with a commit.

    Raises
    ------
    UserError
        If there is no such commit, or a file on either side can't be read.
    """
    revision = git.find_revision(base)
    return Comparison(
        base=revision,
        here=git.working_tree(),
        behind=git.commits_behind(revision),
        before=read_snapshot(partial(git.file_at, revision.commit), f"{revision.name}:"),
        after=read_snapshot(_file_here),
        freshness=check_freshness(),
    )


def _file_here(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
