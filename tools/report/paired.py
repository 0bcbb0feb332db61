"""The same test photos under two models: which predictions changed, and could chance do that."""

from dataclasses import dataclass

import pandas as pd
from scipy.stats import binomtest

OUTCOMES = ["now wrong", "now right", "still wrong"]
"""What a changed prediction means, worst first."""


@dataclass(frozen=True)
class Paired:
    """Two models on the photos of both test splits."""

    shared: int
    """Photos in both test splits under the same class; the other numbers count among them."""
    lost: int
    """Right before, wrong now."""
    gained: int
    """Wrong before, right now."""
    unpaired: int
    """Photos in one test split only, or under another class there."""
    changed: pd.DataFrame
    """A row per photo whose predicted class changed: path, actual, predicted_before and _after,
    confidence_before and _after, and the outcome; in the order of OUTCOMES."""

    @property
    def p_value(self) -> float:
        """McNemar's exact p-value."""
        return mcnemar_exact(self.lost, self.gained)


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


def compare_predictions(before: pd.DataFrame, after: pd.DataFrame) -> Paired:
    """Compare two tables of predictions photo by photo.

    Parameters
    ----------
    before, after : DataFrame
        With the columns of metrics/predictions.csv: path, actual, predicted, confidence; each path
        once. A photo is the same photo when path and actual class are the same.
    """
    both = before.merge(after, on=["path", "actual"], suffixes=("_before", "_after"))
    right_before = both["predicted_before"] == both["actual"]
    right_after = both["predicted_after"] == both["actual"]
    lost, gained = right_before & ~right_after, ~right_before & right_after
    either = pd.concat([before["path"], after["path"]]).nunique()
    outcome = pd.Series("still wrong", index=both.index)
    outcome = outcome.mask(lost, "now wrong").mask(gained, "now right")
    changed = both.assign(outcome=pd.Categorical(outcome, OUTCOMES))
    changed = changed[both["predicted_before"] != both["predicted_after"]]
    return Paired(
        shared=len(both),
        lost=int(lost.sum()),
        gained=int(gained.sum()),
        unpaired=either - len(both),
        changed=changed.sort_values(["outcome", "path"], ignore_index=True),
    )
