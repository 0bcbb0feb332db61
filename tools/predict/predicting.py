"""From photos to the most probable classes of each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.common.classifier import PREDICT_BATCH, Classifier
from stages.common.names import printable_name
from stages.common.photo import PhotoError
from tools.predict.photos import Complaints, read_photo

DECIMALS = 4
"""As in metrics/predictions.csv."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """A photo's most probable classes.

    Attributes
    ----------
    path : str
        As it was named or found.
    classes : tuple of (str, float)
        Names and probabilities, the most probable first.
    """

    path: str
    classes: tuple[tuple[str, float], ...]


def predict_photos(
    classifier: Classifier, paths: Iterable[Path], top: int, complaints: Complaints
) -> Iterator[Prediction]:
    """Predict photos in their order, holding only one pass of them in memory.

    Parameters
    ----------
    classifier : Classifier
    paths : iterable of Path
    top : int
        Classes per photo; all of them where there are fewer.
    complaints : Complaints
        Hears of photos that cannot be used.
    """
    photos = _read(paths, classifier.card.image_size_px, complaints)
    while batch := list(islice(photos, PREDICT_BATCH)):
        probabilities = classifier.probabilities(np.stack([pixels for _, pixels in batch]))
        for (path, _), row in zip(batch, probabilities, strict=True):
            yield Prediction(printable_name(str(path)), _best(row, classifier.card.classes, top))


def _read(
    paths: Iterable[Path], size_px: int, complaints: Complaints
) -> Iterator[tuple[Path, Pixels]]:
    for path in paths:
        try:
            yield path, read_photo(path, size_px)
        except PhotoError as error:
            complaints.add(path, str(error))


def _best(
    row: npt.NDArray[np.float64], classes: list[str], top: int
) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-row, kind="stable")[:top]
    return tuple((classes[label], float(row[label].round(DECIMALS))) for label in order)
