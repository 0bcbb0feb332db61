"""Answer less, be right more often: accuracy among the photos that the network is surest of.

metrics/coverage.csv holds the curve; of a photo below the threshold, predict says "unsure".
"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.model.classifier import Probabilities

ROWS = 100
"""At most so many points of the curve."""


def choose_threshold(confidence: npt.NDArray[np.float64], answered_fraction: float) -> float:
    """Return the highest threshold at which at least this share of photos is answered.

    Parameters
    ----------
    confidence : float64 array of shape (N,)
        Of the validation split.
    answered_fraction : float
        Above 0, to 1: everything is answered, also below the least confidence seen here.
    """
    if answered_fraction == 1:
        return 0
    answered = math.ceil(answered_fraction * len(confidence) - 1e-9)
    lowest = float(np.sort(confidence)[-answered])
    return math.floor(lowest * 1e6) / 1e6  # rounded down, so that the photo itself is answered


def measure_answered(
    labels: npt.NDArray[np.int64], probabilities: Probabilities, threshold: float
) -> dict[str, float]:
    """Return the share of answered photos, and the accuracy among them, both from 0 to 1."""
    answered = probabilities.max(axis=1) >= threshold
    right = probabilities.argmax(axis=1) == labels
    accuracy = right[answered].mean() if answered.any() else 0.0
    return {"answered_accuracy": float(accuracy), "answered_fraction": float(answered.mean())}


def coverage_curve(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> pd.DataFrame:
    """Return the accuracy among the surest photos, for growing shares of them.

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
