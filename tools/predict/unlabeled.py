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

from stages.common.errors import PhotoError
from stages.common.names import printable_name
from stages.common.reading import read_photo_file
from stages.common.store import STORE, open_store
from stages.model.classifier import ModelMeta
from stages.photos.photo import decode_photo
from stages.prepare.perceptual_hash import Hashes, mirrored, perceptual_hash
from tools.predict.photos import LIMITS, Prediction

NEAR_BITS = 8
"""As prepare.near_duplicate_bits, which a model's folder does not tell."""


def labeled_photos() -> set[str]:
    """Return the sha256 of the files in this folder's store; of none where there is no store."""
    if not (STORE / "meta.json").exists():
        return set()
    return set(open_store(STORE, check_digests=False).manifest["sha256"])


def choose_unlabeled(
    predictions: Iterable[Prediction], labeled: set[str], most: int, meta: ModelMeta
) -> list[Prediction]:
    """Return the least sure photos, none like one before it or with the sha256 of a labeled one."""
    chosen: list[Prediction] = []
    seen: Hashes = np.empty(0, np.uint64)
    for prediction in sorted(predictions, key=lambda each: each.classes[0][1]):
        if len(chosen) == most:
            break
        try:
            content = read_photo_file(prediction.path, LIMITS.max_bytes, is_listed=False)
            if hashlib.sha256(content).hexdigest() in labeled:
                continue
            photo = decode_photo(content, meta.image_size_px, meta.fit, LIMITS)
            own = np.array([perceptual_hash(photo.square)], np.uint64)
        except PhotoError:  # it has changed since it was predicted
            continue
        if not (np.bitwise_count(seen ^ own) <= NEAR_BITS).any():
            chosen.append(prediction)
            copies = [own, mirrored(own)] if meta.mirror_keeps_class else [own]
            seen = np.concatenate([seen, *copies])
    return chosen


def print_unlabeled(photos: Iterable[Prediction], out: TextIO) -> None:
    """Write a table for `python -m tools.review --table`, which finds the files by their paths."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "label", "better_label", "label_probability", "better_probability"])
    for photo in photos:
        path, (name, probability) = str(photo.path), photo.classes[0]
        # As it is spelled, and not composed as elsewhere.
        spelled = path if path.isprintable() else printable_name(path)
        writer.writerow([spelled, "", name, "", probability])
