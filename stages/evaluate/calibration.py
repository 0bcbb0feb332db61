"""Calibrated confidence, and when the network is unsure.

A temperature and a threshold are fitted to the validation split; models/calibration.json keeps
them. metrics/calibration.csv compares confidence and accuracy on the test split, bin by bin, and
metrics/coverage.csv has the accuracy among the most confident photos.
"""

import math
import sys
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar

from stages.common.store import Store
from stages.evaluate.predicting import DECIMALS, predict
from stages.model.classifier import Calibration, Classifier, Probabilities, temper

Labels = npt.NDArray[np.int64]

BINS = 10
"""Equal parts of the confidences from 0 to 1."""

FEWEST_PHOTOS = 20
"""A smaller validation split says too little about a temperature."""

LOG_TEMPERATURES = (-3, 3)
"""The range searched: from 0.05 to 20."""


def calibrate(classifier: Classifier, store: Store, answered_fraction: float) -> Calibration:
    """Fit the temperature to the validation split, and choose the threshold on it."""
    labels = store.labels[store.indices("validation")]
    probabilities = predict(classifier, store, "validation")
    if len(labels) < FEWEST_PHOTOS:
        print(
            f"the validation split has {len(labels)} photos, fewer than {FEWEST_PHOTOS}: "
            "probabilities stay as they are, and every photo is answered",
            file=sys.stderr,
        )
        return classifier.calibration
    temperature = fit_temperature(labels, probabilities)
    confidence = temper(probabilities, temperature).max(axis=1)
    fitted = {
        "temperature": temperature,
        "answered_fraction": answered_fraction,
        "threshold": choose_threshold(confidence, answered_fraction),
    }
    return classifier.calibration.model_copy(update=fitted)


def fit_temperature(labels: Labels, probabilities: Probabilities) -> float:
    """Return the temperature with which probabilities fit the labels best.

    It minimizes the log loss against targets that are not quite 0 and 1: with N photos of K classes
    the true class has (N + 1) / (N + K), by the rule of succession. With targets of 1, a network
    that makes no mistake here would become certain.

    Parameters
    ----------
    labels : int64 array of shape (N,)
    probabilities : float64 array of shape (N, classes)
        Of the validation split, with at least FEWEST_PHOTOS photos.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017; the targets are those of Platt,
    "Probabilistic outputs for support vector machines", 1999.
    """
    n, k = probabilities.shape
    targets = np.full((n, k), 1 / (n + k))
    targets[np.arange(n), labels] = (n + 1) / (n + k)

    def loss(log_temperature: float) -> float:
        tempered = temper(probabilities, np.exp(log_temperature))
        smallest = np.finfo(np.float64).tiny
        return float(-(targets * np.log(np.maximum(tempered, smallest))).sum() / n)

    best = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded")
    return round(float(np.exp(best.x)), 3)


def bin_by_confidence(
    labels: Labels, probabilities: Probabilities, bins: int = BINS
) -> pd.DataFrame:
    """Sort photos into bins by the probability of their predicted class.

    Parameters
    ----------
    labels : int64 array of shape (N,)
    probabilities : float64 array of shape (N, classes)
    bins : int
        How many of equal width there are between 0 and 1. A confidence on the border of two is in
        the lower one.

    Returns
    -------
    DataFrame
        A row per bin that holds a photo, from the lowest: its borders as ``bin``, its ``photos``,
        their mean ``confidence`` and their ``accuracy``.
    """
    edges = np.linspace(0, 1, bins + 1)
    confidence = probabilities.max(axis=1)
    number = np.clip(np.searchsorted(edges, confidence) - 1, 0, bins - 1)
    photos = pd.DataFrame(
        {
            "bin": [f"{edges[i]:.3g} to {edges[i + 1]:.3g}" for i in number],
            "confidence": confidence,
            "right": probabilities.argmax(axis=1) == labels,
        }
    )
    table = photos.groupby(number).agg(
        bin=("bin", "first"),
        photos=("bin", "size"),
        confidence=("confidence", "mean"),
        accuracy=("right", "mean"),
    )
    return table.reset_index(drop=True)


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error of the bins, from 0 to 1.

    It is the gap between a bin's confidence and its accuracy, averaged over all photos.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, equation 3.
    """
    gaps = (bins["confidence"] - bins["accuracy"]).abs()
    return cast(float, np.average(gaps, weights=bins["photos"]))


ROWS = 100
"""Points of the curve, at most."""


def choose_threshold(confidence: npt.NDArray[np.float64], answered_fraction: float) -> float:
    """Return the highest threshold at which at least this share of photos is answered.

    Parameters
    ----------
    confidence : float64 array of shape (N,)
        Of the validation split.
    answered_fraction : float
        Above 0; 1 answers everything, even below the lowest confidence seen here.
    """
    if answered_fraction == 1:
        return 0
    answered = math.ceil(answered_fraction * len(confidence) - 1e-9)
    lowest = float(np.sort(confidence)[-answered])
    return math.floor(lowest * 1e6) / 1e6  # rounded down, so that the photo itself is answered


def measure_answered(
    labels: Labels, probabilities: Probabilities, threshold: float
) -> dict[str, float]:
    """Return the share of answered photos, and the accuracy among them, both from 0 to 1."""
    answered = probabilities.max(axis=1) >= threshold
    right = probabilities.argmax(axis=1) == labels
    accuracy = right[answered].mean() if answered.any() else 0.0
    return {"answered_accuracy": float(accuracy), "answered_fraction": float(answered.mean())}


def measure_calibration(
    labels: Labels, untempered: Probabilities, probabilities: Probabilities, used: Calibration
) -> dict[str, float]:
    """Return what a calibration does on the test split: before, after, and the answered part."""
    before = calibration_error(bin_by_confidence(labels, untempered))
    figures = {
        "expected_calibration_error_before": before,
        "temperature": used.temperature,
        **measure_answered(labels, probabilities, used.threshold),
    }
    return {name: round(value, DECIMALS) for name, value in figures.items()}


def coverage_curve(labels: Labels, probabilities: Probabilities) -> pd.DataFrame:
    """Return the accuracy among the most confident photos, for growing shares of them.

    Returns
    -------
    DataFrame
        ``answered``, the share of photos, ``accuracy`` among them, and the ``threshold`` that
        answers them; photos of equal confidence are answered together.

    References
    ----------
    Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017.
    """
    photos = pd.DataFrame(
        {
            "threshold": probabilities.max(axis=1),
            "right": probabilities.argmax(axis=1) == labels,
        }
    ).sort_values("threshold", ascending=False, ignore_index=True)
    counts = np.arange(1, len(photos) + 1)
    curve = pd.DataFrame(
        {
            "answered": counts / len(photos),
            "accuracy": photos["right"].cumsum() / counts,
            "threshold": photos["threshold"],
        }
    ).drop_duplicates("threshold", keep="last", ignore_index=True)
    chosen = np.unique(np.linspace(0, len(curve) - 1, ROWS).round().astype(int))
    return curve.iloc[chosen].reset_index(drop=True)
