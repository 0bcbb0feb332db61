"""Both sides of a change: numbers judged by their direction, predictions paired photo by photo."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from tools.report import git
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
    unpaired: int
    """Photos in one test split only, or under another class there."""
    changed: pd.DataFrame
    """A row per shared photo whose predicted class changed: path, actual, predicted_before and
    _after, confidence_before and _after, and the outcome; in the order of OUTCOMES."""

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
    if lost + gained == 0:
        return 1.0
    return float(binomtest(lost, lost + gained, 0.5).pvalue)


def show_p_value(p_value: float) -> str:
    """Write a p-value for people."""
    return "below 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def compare_predictions(before: pd.DataFrame, after: pd.DataFrame) -> Paired:
    """Pair two tables of predictions; a photo is the same when path and actual class are.

    Parameters
    ----------
    before, after : DataFrame
        With the columns path, actual, predicted and confidence; each path once.
    """
    both = before.merge(after, on=["path", "actual"], suffixes=("_before", "_after"))
    changed = both[both["predicted_before"] != both["predicted_after"]]
    was_right = changed["predicted_before"] == changed["actual"]
    is_right = changed["predicted_after"] == changed["actual"]
    outcome = np.select([was_right, is_right], [LOST, GAINED], STILL_WRONG)
    changed = changed.assign(outcome=pd.Categorical(outcome, OUTCOMES))
    either = pd.concat([before["path"], after["path"]]).nunique()
    return Paired(
        shared=len(both),
        unpaired=either - len(both),
        changed=changed.sort_values(["outcome", "path"], ignore_index=True),
    )


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
