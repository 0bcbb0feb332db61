"""Is the network as often right as it is confident? Accuracy against confidence, bin by bin.

metrics/calibration.csv holds the bins, for the reliability diagram.
"""

from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

BINS = 10
"""Equal parts of the confidences from 0 to 1."""


def bin_by_confidence(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], bins: int = BINS
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
    found = photos.groupby(number).agg(
        bin=("bin", "first"),
        photos=("bin", "size"),
        confidence=("confidence", "mean"),
        accuracy=("right", "mean"),
    )
    return found.reset_index(drop=True)


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error of the bins, from 0 to 1.

    It is the gap between a bin's confidence and its accuracy, averaged over all photos.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, equation 3.
    """
    gaps = (bins["confidence"] - bins["accuracy"]).abs()
    return cast(float, np.average(gaps, weights=bins["photos"]))
