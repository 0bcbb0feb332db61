"""How many photos are enough: accuracy by photos of each class, drawn in docs/fine-tuning.md.

After ``dvc repro prepare``, ``python -m benchmarks.learning_curve FILE.csv`` trains as params.yaml
says, on 20, 50, 100, 200 and all photos of each class, a ninth of them for validation, and adds
rows to the file. The test split is always the same. Do so for a linear probe, for fine-tuning and
from scratch; then ``python -m benchmarks.learning_curve FILE.csv --draw FILE.png`` draws them.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from benchmarks.common import train_classifier
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import Store, open_store
from stages.model.device import set_up_torch

COUNTS = (20, 50, 100, 200, None)
"""Photos of each class that are not for the test; None for all."""

VALIDATION_SHARE = 1 / 9


def thin_out(store: Store, count: int | None, seed: int) -> Store:
    """Return a store with `count` photos of each class besides those of the test split."""
    if count is None:
        return store
    random, splits = np.random.default_rng(seed), store.manifest["split"].to_numpy(copy=True)
    others = np.flatnonzero(splits != "test")
    for label in range(len(store.meta.classes)):
        chosen = random.permutation(others[store.labels[others] == label])
        splits[chosen] = "none"
        n_validation = round(count * VALIDATION_SHARE)
        splits[chosen[:n_validation]] = "validation"
        splits[chosen[n_validation:count]] = "train"
    return Store(store.meta, store.images, store.manifest.assign(split=splits))


def accuracy_and_seconds(params: Params, store: Store) -> tuple[float, float]:
    """Train, and return the accuracy on the test split and how long the training took."""
    begin = time.monotonic()
    classifier = train_classifier(params, store)
    seconds, test = time.monotonic() - begin, store.indices("test")
    found = classifier.probabilities(store.images, test).argmax(axis=1)
    return float((found == store.labels[test]).mean()), seconds


def describe(params: Params) -> str:
    """Return the curve that a training belongs to."""
    if params.model.weights == "none":
        return "from scratch"
    return "fine-tuning" if params.train.epochs else "linear probe"


def curve(params: Params, store: Store) -> Iterator[dict[str, object]]:
    """Train on each number of photos; yield a row for each."""
    for count in COUNTS:
        thinned = thin_out(store, count, params.train.seed)
        accuracy, seconds = accuracy_and_seconds(params, thinned)
        n_photos = len(thinned.indices("train")) + len(thinned.indices("validation"))
        row = {
            "curve": describe(params),
            "epochs": params.train.epochs,
            "photos": round(n_photos / len(store.meta.classes)),
            "seed": params.train.seed,
            "accuracy": accuracy,
            "seconds": round(seconds, 1),
        }
        print(row, flush=True)
        yield row


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Draw the mean over seeds, and a line from the lowest to the highest."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, group in rows.groupby("curve", sort=False):
        of_count = 100 * group.groupby("photos")["accuracy"].agg(["mean", "min", "max"])
        spread = [of_count["mean"] - of_count["min"], of_count["max"] - of_count["mean"]]
        axes.errorbar(of_count.index, of_count["mean"], spread, marker="o", capsize=3, label=name)
    counts = sorted(rows["photos"].unique())
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("photos of each class, without the test split")
    axes.set_ylabel("test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    """Add rows to a file, or draw what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="a .csv file that grows by the rows of each run")
    parser.add_argument("--draw", type=Path, help="draw the rows as this .png file; train nothing")
    options = parser.parse_args()
    if options.draw:
        draw(pd.read_csv(options.file), options.draw)
        return
    params = load_params()
    set_up_torch(params.train.threads)
    file = options.file.absolute()
    for row in curve(params, open_store()):
        pd.DataFrame([row]).to_csv(file, mode="a", header=not file.exists(), index=False)


if __name__ == "__main__":
    main()
