"""The same test photos under two models: which predictions changed, and could chance do that."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

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
