"""Both sides of a change: numbers judged by their direction, predictions paired photo by photo."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import bdtr

from tools.report import git
from tools.report.data import compare_photos
from tools.report.snapshot import Numbers, Snapshot, file_here, read_snapshot
from tools.report.staleness import Staleness, check_staleness

MINUS = "\N{MINUS SIGN}"

DIRECTIONS = {
    **dict.fromkeys(["accuracy", "top3_accuracy", "macro_f1", "f1", "recall", "precision"], 1),
    "answered_accuracy": 1,
    **dict.fromkeys(["log_loss", "brier_score", "expected_calibration_error"], -1),
}
"""Last part of a name to 1 where higher is better, -1 where lower is."""


class Change(NamedTuple):
    """A number before and after, as the page shows it: empty where a side has no such number."""

    before: str
    after: str
    difference: int | float | None
    """After minus before; None if one side has no such number."""
    verdict: str
    """Better, worse or same; empty if that can't be said of this number."""


def compare_numbers(before: Numbers, after: Numbers, judged: bool = True) -> dict[str, Change]:
    """Pair numbers by name; the bounds of an interval, ``x_low`` and ``x_high``, go with ``x``."""
    names = {**after, **before}
    bounds = {f"{name}_{end}" for name in names for end in ("low", "high")}
    changes = {}
    for name in names:
        if name in bounds:
            continue
        difference = None
        if name in before and name in after:
            # Rounded, without the noise of binary fractions.
            difference = round(after[name] - before[name], 10)
        verdict = _judge(name, difference) if judged else ""
        changes[name] = Change(_show(before, name), _show(after, name), difference, verdict)
    return changes


def interval(numbers: Numbers, name: str) -> tuple[float, float] | None:
    """Return the bounds of a number, None if it has none."""
    low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
    return None if low is None or high is None else (low, high)


def signed(change: int | float) -> str:
    """Return a change with its sign, a true minus; 0 without one."""
    text = f"{change:+,}" if isinstance(change, int) else f"{change:+,.4f}"
    return text.replace("-", MINUS) if text.strip("+-0.") else "0"


def _judge(name: str, difference: int | float | None) -> str:
    direction = DIRECTIONS.get(name.rpartition(".")[2], 0)
    if difference is None or not direction:
        return ""
    gain = difference * direction
    return "better" if gain > 0 else "worse" if gain < 0 else "same"


def _show(numbers: Numbers, name: str) -> str:
    if name not in numbers:
        return ""
    number, bounds = numbers[name], interval(numbers, name)
    text = f"{number:,}" if isinstance(number, int) else f"{number:,.4f}"
    return text + (f" ({bounds[0]:.4f} to {bounds[1]:.4f})" if bounds else "")


LOST, GAINED, STILL_WRONG = "now wrong", "now right", "still wrong"

OUTCOMES = [LOST, GAINED, STILL_WRONG]
"""What a changed prediction means, worst first."""


@dataclass(frozen=True)
class Paired:
    """Two models on the photos of both test splits."""

    shared: int
    """Photos in both test splits under the same class."""
    right: tuple[int, int]
    """Of these, those that the first and the second model get right."""
    unpaired: int
    """Photos in one test split only."""
    relabeled: pd.DataFrame
    """A row per photo in both under another class: actual and predicted, _before and _after."""
    changed: pd.DataFrame
    """A row per shared photo whose predicted class changed: path, actual, predicted_before and
    _after, confidence_before and _after, and the outcome; in the order of OUTCOMES."""

    @property
    def is_same_test(self) -> bool:
        """Whether both tests have the same photos under the same classes."""
        return not self.unpaired and self.relabeled.empty

    def count(self, outcome: str) -> int:
        """Return how many of the changed predictions have an outcome."""
        return int((self.changed["outcome"] == outcome).sum())


def mcnemar_exact(lost: int, gained: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Photos that both models get right, or both wrong, don't tell which model is better. If the two
    were equally good, each of the other photos would be a coin toss: lost or gained. The p-value is
    the probability that `lost` + `gained` tosses come out at least as unevenly.

    References
    ----------
    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12, 1947. Exact form: Liddell, "Simplified exact analysis of
    case-referent studies: matched pairs; dichotomous exposure", 1983.
    """
    fewer, both = min(lost, gained), lost + gained
    return min(1.0, 2 * float(bdtr(fewer, both, 0.5)))


def show_p_value(p_value: float) -> str:
    """Write a p-value for people."""
    return "below 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def compare_predictions(before: pd.DataFrame, after: pd.DataFrame) -> Paired:
    """Pair two tables of predictions photo by photo.

    Parameters
    ----------
    before, after : DataFrame
        With the columns path, actual, predicted and confidence. A column photo says which rows
        are of one photo; without it the path does.
    """
    sides = [
        side if "photo" in side else side.assign(photo=side["path"]) for side in (before, after)
    ]
    both = sides[0].merge(sides[1], on="photo", suffixes=("_before", "_after"))
    relabeled = both["actual_before"] != both["actual_after"]
    shared = both[~relabeled].rename(columns={"path_after": "path", "actual_after": "actual"})
    was_right = shared["predicted_before"] == shared["actual"]
    is_right = shared["predicted_after"] == shared["actual"]
    outcome = np.select([was_right, is_right], [LOST, GAINED], STILL_WRONG)
    changed = shared.assign(outcome=pd.Categorical(outcome, OUTCOMES))
    changed = changed[shared["predicted_before"] != shared["predicted_after"]]
    return Paired(
        shared=len(shared),
        right=(int(was_right.sum()), int(is_right.sum())),
        unpaired=len(before) + len(after) - 2 * len(both),
        relabeled=both[relabeled],
        changed=changed.sort_values(["outcome", "path"], ignore_index=True),
    )


def identify(before: Snapshot, after: Snapshot) -> list[pd.DataFrame]:
    """Return both sides' predictions with a column photo: the content where both tell, or the path.

    Both sides must have predictions.
    """
    tables = []
    for side in (before, after):
        if side.taken is None or side.predictions is None:
            return [side.predictions for side in (before, after) if side.predictions is not None]
        contents = side.taken.set_index("path")["sha256"]
        tables.append(side.predictions.assign(photo=side.predictions["path"].map(contents)))
    return [table.fillna({"photo": table["path"]}) for table in tables]


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
        """The metrics of the test; judged only if comparable."""
        sides = self.before.evaluation or {}, self.after.evaluation or {}
        return compare_numbers(*sides, judged=self.comparable)

    @cached_property
    def paired(self) -> Paired | None:
        """Both models on the same photos; None if one of them has no predictions."""
        if self.before.predictions is None or self.after.predictions is None:
            return None
        return compare_predictions(*identify(self.before, self.after))

    @cached_property
    def changed_photos(self) -> pd.DataFrame:
        """The photos that were added, removed, relabeled or moved; none where a side lists none."""
        if self.before.taken is None or self.after.taken is None:
            return pd.DataFrame()
        return compare_photos(self.before.taken, self.after.taken)

    @property
    def comparable(self) -> bool:
        """Whether both tests have the same photos and labels, as far as can be told."""
        return self.paired is None or self.paired.is_same_test


def compare_with_base(base: str) -> Comparison:
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
