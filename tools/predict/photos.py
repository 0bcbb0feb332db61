"""The photos that the command line names, and the most probable classes of each."""

import os
import re
import stat
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from math import inf
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from stages.common.errors import PhotoError, UserError
from stages.common.files import write_bytes
from stages.common.names import is_clutter, printable_name
from stages.common.reading import read_photo_file
from stages.common.schema import Fit
from stages.common.workers import cores
from stages.drawing import png
from stages.evaluate.explain import activation_maps, spotlight
from stages.evaluate.predicting import DECIMALS
from stages.model.classifier import PREDICT_BATCH, Classifier, ModelMeta, Probabilities
from stages.photos.photo import Limits, decode_photo

Pixels = npt.NDArray[np.uint8]

LIMITS = Limits(min_side_px=1, max_megapixels=250, max_aspect_ratio=inf)
"""Photos need not be good to train on, but must fit in memory: 250 megapixels take 0.75 GB."""


AHEAD = 3 * PREDICT_BATCH
"""Photos that are decoded, or being so, while the network sees a batch: they bound the memory."""


class Rejections:
    """Prints a line on standard error for each photo or folder that is rejected; counts them."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, path: Path, reason: str) -> None:
        """Print why a photo or folder is rejected."""
        self.count += 1
        line = f"{printable_name(str(path))}: {reason}"
        tqdm.write(line, file=sys.stderr)  # clears the progress bar first
        sys.stderr.flush()


def find_photos(arguments: Iterable[Path], rejections: Rejections) -> list[Path]:
    """Return the photos in the order of the arguments, those of a folder sorted.

    In folders, hidden files, readme files and the like are skipped, as prepare does; links to
    folders are not followed.
    """
    photos: list[Path] = []
    for path in arguments:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            rejections.add(path, "not found; pass a photo or a folder that exists")
        except OSError as error:
            rejections.add(path, f"cannot be read: {error.strerror}")
        else:
            named = _photos_in(path, rejections) if is_folder else [path]
            if not named:
                rejections.add(path, "holds no photos; pass a folder that does, or photos")
            photos += named
    return photos


def _photos_in(folder: Path, rejections: Rejections) -> list[Path]:
    def reject(error: OSError) -> None:
        rejections.add(Path(error.filename), f"cannot be listed: {error.strerror}")

    walk = os.walk(folder, onerror=reject)
    files = [Path(parent, name) for parent, _, names in walk for name in names]
    return sorted(path for path in files if not is_clutter(path.relative_to(folder).as_posix()))


def read_photo(path: Path, size_px: int, fit: Fit) -> Pixels:
    """Decode a photo as prepare does, uint8 of shape (size_px, size_px, 3).

    Raises
    ------
    PhotoError
        If it cannot be read or decoded; docs/photos.md lists the reasons.
    """
    content = read_photo_file(path, LIMITS.max_bytes, is_listed=False)
    return decode_photo(content, size_px, fit, LIMITS).pixels


PICTURE = re.compile(r"\d{4,}-.*\.png", re.DOTALL)
"""What the pictures of --explain are called."""

LONGEST_STEM = 40
"""Characters of a photo's name that its picture's name repeats."""


@dataclass(frozen=True)
class Prediction:
    """A photo's most probable classes, or why there are none."""

    path: Path
    """As it was named or found."""
    classes: list[tuple[str, float]]
    """Names and probabilities, the most probable first; none of a rejected photo."""
    is_unsure: bool
    """Whether the confidence is below the model's threshold."""
    rejected: str = ""
    """Why the photo is rejected; docs/photos.md lists the reasons."""


def predict_photos(
    classifier: Classifier, paths: Iterable[Path], top: int, explain: Path | None = None
) -> Generator[Prediction]:
    """Predict photos in their order; close it to stop early.

    All cores decode ahead of the network, so memory does not grow with the photos.

    Parameters
    ----------
    top : int
        Classes per photo; all of them where there are fewer.
    explain : Path, optional
        A folder for a picture of each photo, which shows where the network found the flower.
    """
    if explain is not None:
        forget_pictures(explain)
    number = 0
    with closing(_decode(paths, classifier.meta)) as photos:
        while batch := list(islice(photos, PREDICT_BATCH)):
            accepted = [(path, found) for path, found in batch if not isinstance(found, PhotoError)]
            images = np.array([pixels for _, pixels in accepted], np.uint8)
            probabilities = classifier.probabilities(images)
            if explain is not None and accepted:
                pictures = _explain(classifier, images, probabilities)
                for picture, (path, _) in zip(pictures, accepted, strict=True):
                    number += 1
                    name = f"{number:04}-{path.stem[:LONGEST_STEM]}.png"
                    write_bytes(explain / name, png(picture))
            rows = iter(probabilities)
            for path, found in batch:
                if isinstance(found, PhotoError):
                    yield Prediction(path, [], is_unsure=True, rejected=str(found))
                else:
                    yield _best(classifier, path, next(rows), top)


def _best(classifier: Classifier, path: Path, row: Probabilities, top: int) -> Prediction:
    names, threshold = classifier.meta.classes, classifier.calibration.threshold
    best = np.argsort(-row, kind="stable")[:top]
    classes = [(names[label], float(row[label].round(DECIMALS))) for label in best]
    return Prediction(path, classes, bool(row.max() < threshold))


def forget_pictures(folder: Path) -> None:
    """Remove the pictures that an earlier call left; refuse a folder that holds anything else."""
    earlier = sorted(folder.iterdir()) if folder.is_dir() else []
    if other := [path.name for path in earlier if not PICTURE.fullmatch(path.name)]:
        raise UserError(
            f"--explain: {folder} holds other files, such as {other[0]}; name a new folder"
        )
    for path in earlier:
        path.unlink()


def _explain(
    classifier: Classifier, images: Pixels, probabilities: Probabilities
) -> Iterator[Image.Image]:
    """Return each photo beside a copy that is dimmed where the predicted class was not found."""
    maps = activation_maps(classifier, images, probabilities.argmax(axis=1))
    for image, activation in zip(images, maps, strict=True):
        yield Image.fromarray(np.concatenate([image, spotlight(image, activation)], axis=1))


def _decode(paths: Iterable[Path], meta: ModelMeta) -> Generator[tuple[Path, Pixels | PhotoError]]:
    """Give each photo's pixels or why there are none, in order; decoders need no lock of Python."""
    pool, rest = ThreadPoolExecutor(cores()), iter(paths)
    waiting: deque[tuple[Path, Future[Pixels]]] = deque()
    try:
        while True:
            for path in islice(rest, AHEAD - len(waiting)):
                waiting.append((path, pool.submit(read_photo, path, meta.image_size_px, meta.fit)))
            if not waiting:
                return
            path, future = waiting.popleft()
            error = future.exception()
            yield path, error if isinstance(error, PhotoError) else future.result()
    finally:
        pool.shutdown(cancel_futures=True)
