"""From photos to the most probable classes of each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.model.classifier import PREDICT_BATCH, Classifier, Probabilities
from stages.drawing import png
from stages.common.errors import PhotoError
from stages.evaluate.explain import activation_maps, spotlight
from stages.common.files import write_bytes
from stages.common.names import printable_name
from tools.predict.photos import Rejected, read_photo

LONGEST_STEM = 40
"""Characters of a photo's name that its picture's name repeats."""

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
    classifier: Classifier,
    paths: Iterable[Path],
    top: int,
    rejected: Rejected,
    explain: Path | None = None,
) -> Iterator[Prediction]:
    """Predict photos in their order, holding only one batch of them in memory.

    Parameters
    ----------
    top : int
        Classes per photo; all of them where there are fewer.
    rejected : Rejected
        Is told of photos that cannot be decoded.
    explain : Path, optional
        A folder for a picture of each photo, which shows where the network found the flower.
    """
    meta, threshold = classifier.meta, classifier.calibration.threshold
    number = 0
    photos = _decode(paths, meta.image_size_px, rejected)
    while batch := list(islice(photos, PREDICT_BATCH)):
        images = np.stack([pixels for _, pixels in batch])
        probabilities = classifier.probabilities(images)
        if explain is not None:
            for picture, (path, _) in zip(
                _explain(classifier, images, probabilities), batch, strict=True
            ):
                number += 1
                write_bytes(explain / f"{number:04}-{path.stem[:LONGEST_STEM]}.png", png(picture))
        for (path, _), row in zip(batch, probabilities, strict=True):
            best = np.argsort(-row, kind="stable")[:top]
            classes = [(meta.classes[label], float(row[label].round(DECIMALS))) for label in best]
            yield Prediction(printable_name(str(path)), classes, bool(row.max() < threshold))


def _explain(
    classifier: Classifier, images: npt.NDArray[np.uint8], probabilities: Probabilities
) -> Iterator[Image.Image]:
    """Return each photo beside a copy that is dimmed where the predicted class was not found."""
    maps = activation_maps(classifier, images, probabilities.argmax(axis=1))
    for image, activation in zip(images, maps, strict=True):
        yield Image.fromarray(np.concatenate([image, spotlight(image, activation)], axis=1))


def _decode(
    paths: Iterable[Path], size_px: int, rejected: Rejected
) -> Iterator[tuple[Path, npt.NDArray[np.uint8]]]:
    for path in paths:
        try:
            yield path, read_photo(path, size_px)
        except PhotoError as error:
            rejected.add(path, str(error))
