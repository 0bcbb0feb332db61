"""The figures of metrics/evaluation.json.

Each has a fixed number of decimals, so that a diff shows changes and no noise, and none is a list
or NaN, which ``dvc metrics diff`` would drop.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import log_loss, precision_recall_fscore_support

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

DECIMALS = 4


def measure(labels: Labels, probabilities: Probabilities, classes: list[str]) -> dict[str, Any]:
    """Measure a classifier on a split.

    Parameters
    ----------
    labels : int64 array of shape (N,)
        The true classes.
    probabilities : float64 array of shape (N, len(classes))
        Rows sum to 1.
    classes : list of str
        In the order of the columns.

    Returns
    -------
    dict
        Fractions from 0 to 1 and, in nats, the log loss; ``classes`` holds precision, recall, F1
        and support per class, null where a class has no photos to measure them on.
    """
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == labels).sum())
    low, high = accuracy_interval(correct, len(labels))
    majority = np.bincount(labels).max() / len(labels)
    per_class = measure_classes(labels, predicted, classes)
    f1_of_measured = [row["f1"] for row in per_class.values() if row["f1"] is not None]
    return {
        "accuracy": _round(correct / len(labels)),
        "accuracy_high": _round(high),
        "accuracy_low": _round(low),
        "images": len(labels),
        "log_loss": _round(log_loss(labels, probabilities, labels=range(len(classes)))),
        "macro_f1": _round(float(np.mean(f1_of_measured))),
        "majority_baseline": _round(majority),
        "classes": per_class,
    }


def accuracy_interval(correct: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of an accuracy.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def measure_classes(
    labels: Labels, predicted: Labels, classes: list[str]
) -> dict[str, dict[str, float | None]]:
    """Return precision, recall, F1 and support of every class."""
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=range(len(classes)), zero_division=np.nan
    )
    columns = {"precision": precision, "recall": recall, "f1": f1}
    return {
        name: {
            **{figure: _round_or_null(values[i]) for figure, values in columns.items()},
            "support": int(support[i]),
        }
        for i, name in enumerate(classes)
    }


def _round(value: float) -> float:
    return round(float(value), DECIMALS)


def _round_or_null(value: float) -> float | None:
    return None if np.isnan(value) else _round(value)
