"""The photos to label next: those of which the model is least sure teach it most.

References
----------
B. Settles, "Active learning literature survey", 2009, section 3.1: uncertainty sampling.
"""

import csv
import hashlib
from collections.abc import Iterable
from typing import TextIO

import numpy as np
from PIL import Image

from stages.common.errors import PhotoError
from stages.common.names import printable_name
from stages.common.reading import read_photo_file
from stages.common.store import STORE, open_store
from stages.photos.photo import decode_photo
from stages.prepare.perceptual_hash import Hashes, mirrored, perceptual_hash
from tools.predict.photos import LIMITS, Prediction

NEAR_BITS = 8
"""Photos whose hashes differ in at most so many bits look alike: params.yaml's value, which a
model's folder does not have."""


def labeled_photos() -> set[str]:
    """Return the sha256 of the files in this folder's store; of none where there is no store."""
    if not (STORE / "meta.json").exists():
        return set()
    return set(open_store(STORE, check_digests=False).manifest["sha256"])


def choose_unlabeled(
    predictions: Iterable[Prediction], labeled: set[str], most: int, size_px: int
) -> list[Prediction]:
    """Return the photos to label, the least sure first.

    Photos that are labeled, rejected, or look like one before them are left out.

    Parameters
    ----------
    labeled : set of str
        The sha256 of files.
    size_px : int
        Of the squares that are compared; the store's, so that it finds the same ones alike.
    """
    chosen: list[Prediction] = []
    seen: Hashes = np.empty(0, np.uint64)
    usable = (prediction for prediction in predictions if not prediction.rejected)
    for prediction in sorted(usable, key=lambda each: each.classes[0][1]):
        if len(chosen) == most:
            break
        try:
            content = read_photo_file(prediction.path, LIMITS.max_bytes, is_listed=False)
            if hashlib.sha256(content).hexdigest() in labeled:
                continue
            square: Image.Image = decode_photo(content, size_px, LIMITS).square
        except PhotoError:  # it has changed since it was predicted
            continue
        own = np.array([perceptual_hash(square)], np.uint64)
        if not (np.bitwise_count(seen ^ own) <= NEAR_BITS).any():
            chosen.append(prediction)
            seen = np.concatenate([seen, own, mirrored(own)])
    return chosen


def print_unlabeled(photos: Iterable[Prediction], out: TextIO) -> None:
    """Write the table that `python -m tools.review --table` opens; the label is to be given.

    A name is not composed, as others are for people: the file has to be found by it.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "label", "better_label", "label_probability", "better_probability"])
    for photo in photos:
        path = str(photo.path)
        name, probability = photo.classes[0]
        writer.writerow(
            [path if path.isprintable() else printable_name(path), "", name, "", probability]
        )
