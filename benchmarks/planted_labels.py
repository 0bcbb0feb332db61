"""Are wrong labels found? Swap some at random, cross-validate, look at the first suspects.

After ``dvc repro prepare``, ``python -m benchmarks.planted_labels [count]`` swaps the labels of 100
photos, trains on five folds as params.yaml says, and tells how many of them are among the first
suspects.
"""

import sys

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.common import train_classifier
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import Store, open_store
from stages.model.device import set_up_torch
from tools.crossval.pool import Pool
from tools.crossval.suspects import find_suspects

FOLDS = 5
VALIDATION_SHARE = 0.1
LOOKS = (50, 100, 150, 200, 300)

Positions = npt.NDArray[np.int64]


def swap_labels(store: Store, count: int, seed: int) -> tuple[Store, Positions]:
    """Return a store in which some photos, drawn at random, have another label each."""
    random, classes = np.random.default_rng(seed), store.meta.classes
    swapped = random.choice(len(store.labels), count, replace=False)
    labels = store.labels.copy()
    labels[swapped] = (labels[swapped] + random.integers(1, len(classes), count)) % len(classes)
    manifest = store.manifest.assign(label=labels, **{"class": np.array(classes)[labels]})
    return Store(store.meta, store.images, manifest), swapped


def with_test_fold(store: Store, fold: npt.NDArray[np.int64], number: int) -> Store:
    """Return a store whose test split is a fold, with a tenth of the others for validation."""
    splits = np.where(fold == number, "test", "train").astype(object)
    others = np.random.default_rng(number).permutation(np.flatnonzero(fold != number))
    splits[others[: round(VALIDATION_SHARE * len(others))]] = "validation"
    return Store(store.meta, store.images, store.manifest.assign(split=splits))


def pool_folds(params: Params, store: Store) -> Pool:
    """Predict every photo with a network that was trained on the other folds."""
    group, names = pd.factorize(store.manifest["group"])  # photos that look alike stay together
    fold = np.random.default_rng(0).permutation(np.arange(len(names)) % FOLDS)[group]
    probabilities = np.empty((len(store.labels), len(store.meta.classes)))
    for number in range(FOLDS):
        part = with_test_fold(store, fold, number)
        test = part.indices("test")
        probabilities[test] = train_classifier(params, part).probabilities(store.images, test)
    photos = pd.DataFrame({"path": store.manifest["path"], "fold": fold})
    return Pool(photos, store.meta.classes, store.labels, probabilities)


def main() -> None:
    """Swap, cross-validate, count."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    params = load_params()
    set_up_torch(params.train.threads)
    store, swapped = swap_labels(open_store(), count, seed=0)
    suspects = find_suspects(pool_folds(params, store))
    planted = suspects["path"].isin(store.manifest["path"].iloc[swapped])
    print(f"{len(suspects)} suspects, {planted.sum()} of {count} swapped labels among them")
    sure = suspects["confident"]
    print(f"{sure.sum()} confident ones, {(planted & sure).sum()} swapped labels among them")
    for look in LOOKS:
        print(f"among the first {look}: {planted.head(look).sum()}")


if __name__ == "__main__":
    main()
