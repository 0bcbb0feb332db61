"""ONNX Runtime against PyTorch on the test split."""

import numpy as np
import onnxruntime

from stages.model.classifier import PREDICT_BATCH, Classifier, Probabilities
from stages.common.errors import UserError
from stages.common.store import Store
from stages.evaluate.predicting import predict

TOLERANCE = 1e-3
"""Of a probability; rounding alone gives about 1e-6."""


def compare(content: bytes, classifier: Classifier, store: Store) -> float:
    """Predict the store's test split with both; return the largest difference of a probability.

    Raises
    ------
    UserError
        If for a photo the classes differ, or a probability by more than `TOLERANCE`.
    """
    ours, theirs = predict(classifier, store, "test"), run(content, store)
    differences = np.abs(ours - theirs).max(axis=1)
    agree = (ours.argmax(axis=1) == theirs.argmax(axis=1)) & (differences <= TOLERANCE)
    disagree = ~agree  # so is a difference that is not a number
    if disagree.any():
        path = store.manifest["path"].iloc[store.indices("test")[disagree][0]]
        raise UserError(
            f"{path}: ONNX Runtime and PyTorch do not agree (a probability differs by "
            f"{differences[disagree][0]:.1g}); nothing was written; export with the versions of "
            "requirements.lock"
        )
    return float(differences.max())


def run(content: bytes, store: Store) -> Probabilities:
    """Return ONNX Runtime's probabilities for the test split, of shape (N, classes)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    test = store.indices("test")
    batches = np.split(test, range(PREDICT_BATCH, len(test), PREDICT_BATCH))
    return np.concatenate(
        [session.run(["probabilities"], {"images": store.images[rows]})[0] for rows in batches]
    )
