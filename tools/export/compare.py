"""ONNX Runtime against PyTorch on the test split."""

from dataclasses import dataclass

import numpy as np
import onnxruntime

from stages.common.classifier import PREDICT_BATCH, Classifier
from stages.common.errors import UserError
from stages.common.store import Store
from stages.evaluate.metrics import Probabilities
from stages.evaluate.predicting import check_fit, predict

TOLERANCE = 1e-3
"""Of a probability; rounding alone gives about 1e-6."""


@dataclass(frozen=True)
class Agreement:
    """How well both agree: photos compared, and the largest difference of a probability."""

    photos: int
    difference: float


def compare(content: bytes, classifier: Classifier, store: Store) -> Agreement:
    """Predict the store's test split with both.

    Raises
    ------
    UserError
        If the store does not fit the model, or a photo is named otherwise or by a probability that
        differs by more than `TOLERANCE`.
    """
    check_fit(store, classifier)
    ours, theirs = predict(classifier, store), run(content, store)
    differences = np.abs(ours - theirs).max(axis=1)
    other = (ours.argmax(axis=1) != theirs.argmax(axis=1)) | (differences > TOLERANCE)
    if other.any():
        path = store.manifest["path"].iloc[store.indices("test")[other][0]]
        raise UserError(
            f"{path}: ONNX Runtime and PyTorch do not agree (a probability differs by "
            f"{differences[other][0]:.1g}); nothing was written; export with the versions of "
            "requirements.lock"
        )
    return Agreement(len(ours), float(differences.max()))


def run(content: bytes, store: Store) -> Probabilities:
    """Return what ONNX Runtime says of the test split, of shape (N, classes)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    test = store.indices("test")
    batches = np.split(
        test, range(PREDICT_BATCH, len(test), PREDICT_BATCH)
    )  # the last one is short
    return np.concatenate(
        [session.run(["probabilities"], {"images": store.images[rows]})[0] for rows in batches]
    )
