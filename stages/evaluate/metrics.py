"""The figures of metrics/evaluation.json.

Each has a fixed number of decimals, so that a diff shows changes and no noise, and none is a list
or NaN, which ``dvc metrics diff`` would drop.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import (
    brier_score_loss,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from stages.common.store import StoreMeta
from stages.evaluate.calibration import Labels, bin_by_confidence, calibration_error
from stages.evaluate.predicting import DECIMALS
from stages.model.classifier import Probabilities

TOP = 3
TOP_NEEDS_CLASSES = 6
"""With fewer classes, the right one is easily among the best three."""

MUCH_CONFUSED, FEWEST = 0.2, 5
"""Share of two classes' photos that are confused, and photos of each, from which they are named."""

NEAR_HALF = 0.15
"""How far from a half the area under two classes' ROC curve may be that looks like tossed coins."""


def measure(
    labels: Labels, probabilities: Probabilities, classes: list[str], train_labels: Labels
) -> dict[str, Any]:
    """Measure a classifier on a split.

    Parameters
    ----------
    labels : int64 array of shape (N,)
        The true classes.
    probabilities : float64 array of shape (N, len(classes))
        Rows sum to 1.
    classes : list of str
        In the order of the columns.
    train_labels : int64 array of shape (M,)
        The classes of the train split; the commonest is the baseline's only answer.

    Returns
    -------
    dict
        By name, sorted. Fractions from 0 to 1, except the log loss, in nats, and the Brier score,
        from 0 to 2. ``classes`` holds F1, precision, recall and support per class, None where a
        class has no photos to measure them on. ``top3_accuracy`` is there from six classes on.
    """
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == labels).sum())
    low, high = accuracy_interval(correct, len(labels))
    per_class = measure_classes(labels, predicted, classes)
    figures = {
        "accuracy": correct / len(labels),
        "accuracy_high": high,
        "accuracy_low": low,
        "brier_score": brier_score(labels, probabilities),
        "expected_calibration_error": calibration_error(bin_by_confidence(labels, probabilities)),
        "log_loss": log_loss(labels, probabilities, labels=range(len(classes))),
        "macro_f1": per_class["f1"].mean(),
        "majority_baseline": (labels == np.bincount(train_labels).argmax()).mean(),
    }
    if len(classes) >= TOP_NEEDS_CLASSES:
        figures[f"top{TOP}_accuracy"] = top_accuracy(labels, probabilities, TOP)
    rounded = {name: _round(value) for name, value in figures.items()}
    rows = {name: _describe(row) for name, row in per_class.iterrows()}
    return dict(sorted({**rounded, "classes": rows, "images": len(labels)}.items()))


def accuracy_interval(correct: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of an accuracy.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def brier_score(labels: Labels, probabilities: Probabilities) -> float:
    """Return the mean squared distance of the probabilities from the truth, from 0 to 2.

    References
    ----------
    Brier, "Verification of forecasts expressed in terms of probability", 1950: the original score,
    a sum over all classes.
    """
    classes = range(probabilities.shape[1])
    return float(brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False))


def top_accuracy(labels: Labels, probabilities: Probabilities, k: int) -> float:
    """Return the share of photos whose class is among the k most probable ones."""
    classes = range(probabilities.shape[1])
    return float(top_k_accuracy_score(labels, probabilities, k=k, labels=classes))


def measure_classes(labels: Labels, predicted: Labels, classes: list[str]) -> pd.DataFrame:
    """Return a row per class: its f1, precision, recall and support.

    A class without photos has NaN for all three figures, so that a mean over the classes is one
    over those that were tested. Precision is NaN also where a class was never predicted.
    """
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=range(len(classes)), zero_division=np.nan
    )
    table = pd.DataFrame({"f1": f1, "precision": precision, "recall": recall}, index=classes)
    table[support == 0] = np.nan
    return table.assign(support=support)


def describe_coin_tosses(
    labels: Labels, probabilities: Probabilities, meta: StoreMeta
) -> list[str]:
    """Return a line for each two classes that the network confuses and cannot put in order.

    Parameters
    ----------
    labels : int64 array of shape (N,)
    probabilities : float64 array of shape (N, classes)
    """
    classes = meta.classes
    photos = np.bincount(labels, minlength=len(classes))
    wrong = Counter(
        tuple(sorted(pair)) for pair in zip(labels, probabilities.argmax(1), strict=True)
    )
    lines = []
    for (one, other), confused in sorted(wrong.items()):
        both = photos[one] + photos[other]
        if one == other or confused < MUCH_CONFUSED * both or min(photos[[one, other]]) < FEWEST:
            continue
        rows = np.isin(labels, (one, other))
        surer = probabilities[rows, other] - probabilities[rows, one]
        if abs(roc_auc_score(labels[rows] == other, surer) - 0.5) <= NEAR_HALF:
            hint = "; if left and right tell them apart, set prepare.mirror_keeps_class to false"
            lines.append(
                f"note: {classes[one]} and {classes[other]} are told apart as by tossing a coin"
                f"{hint if meta.mirror_keeps_class else ''}"
            )
    return lines


def _describe(row: "pd.Series[float]") -> dict[str, float | int | None]:
    """Return a class's figures as JSON values."""
    figures = {name: _round_or_null(row[name]) for name in ("f1", "precision", "recall")}
    return {**figures, "support": int(row["support"])}


def _round(value: float) -> float:
    return round(float(value), DECIMALS)


def _round_or_null(value: float) -> float | None:
    return None if np.isnan(value) else _round(value)
