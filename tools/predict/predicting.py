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
from tools.predict.photos import Rejected, read_photo

DECIMALS = 4
"""As in metrics/predictions.csv."""


@dataclass(frozen=True)
class Prediction:
    """A photo's most probable classes."""

    path: str
    """As it was named or found."""
    classes: list[tuple[str, float]]
    """Names and probabilities, the most probable first."""
    is_unsure: bool
    """Whether the confidence is below the model's threshold."""


def predict_photos(
    classifier: Classifier, paths: Iterable[Path], top: int, rejected: Rejected
) -> Iterator[Prediction]:
    """Predict photos in their order, holding only one batch of them in memory.

    Parameters
    ----------
    top : int
        Classes per photo; all of them where there are fewer.
    rejected : Rejected
        Is told of photos that cannot be decoded.
    """
    card, calibration = classifier.card, classifier.calibration
    threshold = calibration.threshold if calibration else 0
    photos = _decode(paths, card.image_size_px, rejected)
    while batch := list(islice(photos, PREDICT_BATCH)):
        probabilities = classifier.probabilities(np.stack([pixels for _, pixels in batch]))
        for (path, _), row in zip(batch, probabilities, strict=True):
            best = np.argsort(-row, kind="stable")[:top]
            classes = [(card.classes[label], float(row[label].round(DECIMALS))) for label in best]
            yield Prediction(printable_name(str(path)), classes, bool(row.max() < threshold))


def _decode(
    paths: Iterable[Path], size_px: int, rejected: Rejected
) -> Iterator[tuple[Path, npt.NDArray[np.uint8]]]:
    for path in paths:
        try:
            yield path, read_photo(path, size_px)
        except PhotoError as error:
            rejected.add(path, str(error))
