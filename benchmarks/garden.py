"""Is the built-in garden a real task? What simple models make of it: docs/measurements.md.

Run it with ``python -m benchmarks.garden`` after ``make repro``. It prints the test accuracy of a
linear classifier that sees only a photo's colors, of the tutorial's CNN, and of the pipeline.
"""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.tutorial import train_tutorial
from stages.common.errors import UserError, run_stage
from stages.common.params import load_params
from stages.common.store import Store, open_store
from stages.model.device import set_up_torch

EVALUATION = Path("metrics/evaluation.json")

LEVELS = 8
"""Each channel in 8 levels: 512 colors."""


def histograms(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return each photo's share of every color, float64 of shape (N, LEVELS ** 3)."""
    levels = images.reshape(len(images), -1, 3).astype(np.int64) * LEVELS // 256
    colors = levels @ np.array([LEVELS**2, LEVELS, 1])
    return np.stack([np.bincount(photo, minlength=LEVELS**3) / photo.size for photo in colors])


def by_colors(store: Store) -> float:
    """Return the test accuracy of the best linear classifier on color histograms."""
    train, test = store.indices("train"), store.indices("test")
    seen, unseen = (np.sqrt(histograms(store.images[rows])) for rows in (train, test))
    accuracies = []
    for strength in (0.001, 0.01, 0.1, 1):
        model = LogisticRegression(C=strength, max_iter=5000)
        classifier = make_pipeline(StandardScaler(), model).fit(seen, store.labels[train])
        accuracies.append(float(classifier.score(unseen, store.labels[test])))
    return max(accuracies)


def main() -> None:
    """Print the three accuracies."""
    if not EVALUATION.is_file():
        raise UserError(f"{EVALUATION}: not found; run `make repro` first")
    evaluation = json.loads(EVALUATION.read_text())
    params, store = load_params(), open_store()
    set_up_torch(params.train.threads)
    print(f"color histograms, linear: {by_colors(store):.1%}", flush=True)
    epochs = islice(train_tutorial(params, store), 20)
    accuracies = [accuracy for accuracy, _ in epochs]
    print(f"tutorial's CNN: {accuracies[-1]:.1%} after 20 epochs, {max(accuracies):.1%} at best")
    print(f"flowerbed: {evaluation['accuracy']:.1%}")


if __name__ == "__main__":
    run_stage(main)
