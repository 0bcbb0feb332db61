"""Is the built-in garden a real task? What simple models make of it: docs/measurements.md.

Run it with ``python -m benchmarks.garden`` after ``make repro``. It prints the test accuracy of a
linear classifier that sees only a photo's colors, of the tutorial's CNN, and of the pipeline.
"""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.tutorial import train_tutorial
from stages.common.params import load_params
from stages.common.store import Store, open_store

LEVELS = 8
"""Each channel in 8 levels: 512 colors."""


def histograms(images: np.ndarray) -> np.ndarray:
    """Return each photo's share of every color, float64 of shape (N, LEVELS ** 3)."""
    levels = images.reshape(len(images), -1, 3).astype(np.int64) * LEVELS // 256
    colors = levels @ np.array([LEVELS**2, LEVELS, 1])
    return np.stack([np.bincount(photo, minlength=LEVELS**3) / photo.size for photo in colors])


def by_colors(store: Store) -> float:
    """Return the test accuracy of the best linear classifier on color histograms."""
    train, test = store.indices("train"), store.indices("test")
    seen, unseen = histograms(store.images[train]), histograms(store.images[test])
    found = []
    for strength in (0.001, 0.01, 0.1, 1):
        model = LogisticRegression(C=strength, max_iter=5000)
        classifier = make_pipeline(StandardScaler(), model)
        classifier.fit(np.sqrt(seen), store.labels[train])
        found.append(classifier.score(np.sqrt(unseen), store.labels[test]))
    return float(max(found))


def main() -> None:
    """Print the three accuracies."""
    params = load_params()
    torch.set_num_threads(params.train.threads)
    store = open_store()
    print(f"color histograms, linear: {by_colors(store):.1%}")
    epochs = islice(train_tutorial(Path(params.data.photos), store.manifest), 20)
    accuracies = [accuracy for accuracy, _ in epochs]
    print(f"tutorial's CNN: {accuracies[-1]:.1%} after 20 epochs, {max(accuracies):.1%} at best")
    evaluation = json.loads(Path("metrics/evaluation.json").read_text())
    print(f"flowerbed: {evaluation['accuracy']:.1%}")


if __name__ == "__main__":
    main()
