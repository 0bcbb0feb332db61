"""Experiments that train on a changed store: figures of docs/measurements.md and fine-tuning.md.

Run them after ``dvc repro prepare``; each trains as params.yaml says.

``python -m benchmarks.recipes learning-curve FILE.csv``: how many photos are enough? Trains on 20,
50, 100, 200 and all photos of each class, a ninth of them for validation, and adds rows to the
file. The test split is always the same. Do so for a linear probe, for fine-tuning and from scratch;
then ``python -m benchmarks.recipes learning-curve FILE.csv --draw FILE.png`` draws them.

``python -m benchmarks.recipes planted-labels [count]``: are wrong labels detected? Swaps the labels
of 100 photos, cross-validates in five folds, and counts them among the first suspects.

``python -m benchmarks.recipes unknown-species``: does the network know what it does not know?
Trains on all classes but one, for each in turn, and compares the confidence on test photos of the
known classes with that on photos of the class left out. The area under the ROC curve is the
probability that a known photo gets the higher confidence: 0.5 is chance.
"""

import argparse
import contextlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from benchmarks.common import test_accuracy, training_parts
from stages.common.errors import UserError, run_stage
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import Store, open_store
from stages.model.classifier import Classifier, Probabilities
from stages.model.device import set_up_torch
from stages.train.checkpoints import Checkpoints
from stages.train.probe import Probe
from stages.train.stopping import StopRequest
from stages.train.training import Training
from tools.crossval.pool import Pool
from tools.crossval.suspects import find_suspects

PHOTOS_PER_CLASS = (20, 50, 100, 200, None)
"""Outside of the test split; None for all."""

FOLDS = 5
FIRST_SUSPECTS = (50, 100, 150, 200, 300)


def train(params: Params, store: Store) -> Classifier:
    """Train on a store, as the parameters say, in a folder that is then removed."""
    kind = Probe if params.train.epochs == 0 else Training
    training = kind(*training_parts(params, store))
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        network = training.run(Checkpoints(Path("checkpoints"), {}), StopRequest())
    return Classifier(network, training.meta)


def changed(store: Store, **columns: Any) -> Store:
    """Return a store with other columns in its manifest; the split "none" is not used."""
    return replace(store, manifest=store.manifest.assign(**columns))


def learning_curve(params: Params, store: Store, file: Path) -> None:
    """Train on each number of photos; add a row for each to a file."""
    pretrained = "fine-tuning" if params.train.epochs else "linear probe"
    for count in PHOTOS_PER_CLASS:
        thinned = thin_out(store, count, params.train.seed) if count else store
        begin = time.monotonic()
        classifier = train(params, thinned)
        seconds = time.monotonic() - begin
        n_photos = len(thinned.indices("train")) + len(thinned.indices("validation"))
        row = {
            "curve": "from scratch" if params.model.weights == "none" else pretrained,
            "epochs": params.train.epochs,
            "photos": round(n_photos / len(store.meta.classes)),
            "seed": params.train.seed,
            "accuracy": test_accuracy(classifier, thinned),
            "seconds": round(seconds, 1),
        }
        print(row, flush=True)
        pd.DataFrame([row]).to_csv(file, mode="a", header=not file.exists(), index=False)


def thin_out(store: Store, count: int, seed: int) -> Store:
    """Keep `count` photos of each class besides those of the test split."""
    random, splits = np.random.default_rng(seed), store.manifest["split"].to_numpy(copy=True)
    others = np.flatnonzero(splits != "test")
    for label in range(len(store.meta.classes)):
        photos = random.permutation(others[store.labels[others] == label])
        splits[photos] = "none"
        splits[photos[:count]] = "train"
        splits[photos[: round(count / 9)]] = "validation"
    return changed(store, split=splits)


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Draw the mean over seeds, and a line from the lowest to the highest."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
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


def planted_labels(params: Params, store: Store, count: int) -> None:
    """Swap labels at random, cross-validate, count them among the first suspects."""
    random, classes, labels = np.random.default_rng(0), store.meta.classes, store.labels.copy()
    if not 0 < count <= len(labels):
        raise UserError(f"count must be from 1 to {len(labels)}, the number of photos, got {count}")
    swapped = random.choice(len(labels), count, replace=False)
    labels[swapped] = (labels[swapped] + random.integers(1, len(classes), count)) % len(classes)
    swapped_store = changed(store, label=labels, **{"class": np.array(classes)[labels]})
    suspects = find_suspects(cross_validate(params, swapped_store))
    planted = suspects["path"].isin(store.manifest["path"].iloc[swapped])
    print(f"{len(suspects)} suspects, {planted.sum()} of {count} swapped labels among them")
    sure = suspects["confident"]
    print(f"{sure.sum()} confident ones, {(planted & sure).sum()} swapped labels among them")
    for first in FIRST_SUSPECTS:
        print(f"among the first {first}: {planted.head(first).sum()}")


def cross_validate(params: Params, store: Store) -> Pool:
    """Predict every photo with a network that was trained on the other folds."""
    group, names = pd.factorize(store.manifest["group"])  # photos that look alike stay together
    fold = np.random.default_rng(0).permutation(np.arange(len(names)) % FOLDS)[group]
    probabilities: Probabilities = np.empty((len(store.labels), len(store.meta.classes)))
    for number in range(FOLDS):
        splits = np.where(fold == number, "test", "train").astype(object)
        others = np.random.default_rng(number).permutation(np.flatnonzero(fold != number))
        splits[others[: round(len(others) / 10)]] = "validation"
        test = np.flatnonzero(fold == number)
        classifier = train(params, changed(store, split=splits))
        probabilities[test] = classifier.probabilities(store.images, test)
    photos = pd.DataFrame({"path": store.manifest["path"], "fold": fold})
    return Pool(photos, store.meta.classes, store.labels, probabilities)


def unknown_species(params: Params, store: Store) -> None:
    """Train without each class, and print the areas."""
    areas = []
    for name in store.meta.classes:
        known = without(store, name)
        photos = [known.indices("test"), np.flatnonzero(store.manifest["class"] == name)]
        is_known = np.repeat([1, 0], [len(rows) for rows in photos])
        probabilities = train(params, known).probabilities(store.images, np.concatenate(photos))
        areas.append(roc_auc_score(is_known, probabilities.max(axis=1)))
        print(f"{name}: {areas[-1]:.3f}", flush=True)
    print(f"mean: {np.mean(areas):.3f}")


def without(store: Store, name: str) -> Store:
    """Leave a class out of every split, and of the labels."""
    classes = [each for each in store.meta.classes if each != name]
    labels = store.manifest["class"].map({each: i for i, each in enumerate(classes)}).fillna(0)
    splits = store.manifest["split"].where(store.manifest["class"] != name, "none")
    meta = store.meta.model_copy(update={"classes": classes})
    return replace(changed(store, label=labels.astype(int), split=splits), meta=meta)


def main() -> None:
    """Run the recipe that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    recipes = parser.add_subparsers(dest="recipe", required=True)
    curve = recipes.add_parser("learning-curve", help="accuracy by photos of each class")
    curve.add_argument("file", type=Path, help="a .csv file that grows by the rows of each run")
    curve.add_argument("--draw", type=Path, help="draw the rows as this .png file; train nothing")
    planted = recipes.add_parser("planted-labels", help="swapped labels among the first suspects")
    planted.add_argument("count", type=int, nargs="?", default=100, help="labels to swap: 100")
    recipes.add_parser("unknown-species", help="confidence on photos of a class left out")
    options = parser.parse_args()
    if options.recipe == "learning-curve" and options.draw:
        if not options.file.is_file():
            raise UserError(f"{options.file}: not found; run this without --draw first")
        draw(pd.read_csv(options.file), options.draw)
        return
    params, store = load_params(), open_store()
    set_up_torch(params.train.threads)
    if options.recipe == "learning-curve":
        learning_curve(params, store, options.file)
    elif options.recipe == "planted-labels":
        planted_labels(params, store, options.count)
    else:
        unknown_species(params, store)


if __name__ == "__main__":
    run_stage(main)
