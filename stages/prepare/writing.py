"""The store's files, from the tables of photos and the array."""

import hashlib
import math
from pathlib import Path

import pandas as pd

from stages.common.files import write_csv, write_guarded
from stages.common.schema import Prepare
from stages.common.store import SPLITS, Split, StoreMeta
from stages.prepare.array import ArrayFile


def write_store(
    folder: Path,
    array: ArrayFile,
    accepted: pd.DataFrame,
    rejected: pd.DataFrame,
    alike: pd.DataFrame,
    prepare: Prepare,
) -> None:
    """Compact the array and write the other files of the store."""
    classes = sorted(set(accepted["class"]))
    manifest = accepted[["path", "class"]].copy()
    manifest["label"] = accepted["class"].map({name: label for label, name in enumerate(classes)})
    manifest[["split", "sha256", "width", "height"]] = accepted[
        ["split", "sha256", "width", "height"]
    ]
    manifest["group"] = accepted["group"].str[:16]
    write_csv(folder / "manifest.csv", manifest)
    write_csv(folder / "rejected.csv", rejected)
    write_csv(folder / "alike.csv", alike.drop(columns="number"))
    mean, std = train_statistics(accepted, array.side_px)
    meta = StoreMeta(
        schema_version=2,
        classes=classes,
        image_size_px=array.side_px,
        mean=mean,
        std=std,
        mirror_keeps_class=prepare.mirror_keeps_class,
        fit=prepare.fit,
        counts=count(manifest, classes),
        images_sha256=array.compact(accepted["number"]),
        manifest_sha256=hashlib.sha256((folder / "manifest.csv").read_bytes()).hexdigest(),
    )
    write_guarded(folder / "meta.json", meta)


def count(photos: pd.DataFrame, classes: list[str]) -> dict[Split, dict[str, int]]:
    """Count photos per split and class, zeros included."""
    counts = photos.groupby(["split", "class"]).size()
    return {
        split: {name: int(counts.get((split, name), 0)) for name in classes} for split in SPLITS
    }


def train_statistics(accepted: pd.DataFrame, side_px: int) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation per channel over the train split, of values in [0, 1].

    They come from whole-number sums, so the order of the photos cannot change them. A deviation
    below one level counts as one level, so that no reader divides by zero.
    """
    train = accepted[accepted["split"] == "train"]
    values = len(train) * side_px**2
    sums = [sum(channel) for channel in zip(*train["sums"], strict=True)]
    squares = [sum(channel) for channel in zip(*train["squares"], strict=True)]
    mean = [total / (255 * values) for total in sums]
    std = [
        max(math.sqrt(values * square - total**2) / values, 1) / 255
        for total, square in zip(sums, squares, strict=True)
    ]
    return mean, std
