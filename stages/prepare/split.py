"""Which photo is in which split, decided by content, so that it stays when data grow.

Every group of near-duplicates stands on a line, at a place that only the seed and its content
decide. In each class the first groups are the test split, the next ones validation, the rest
train. For cross-validation, the line is cut into folds and turned, so that another fold is first.
A new photo pushes the borders a little: photos near them move to the neighboring split. In fold 0
none moves from test to train, unless it joins an older group, or a class gains more groups at once
than it has in validation.
"""

import hashlib
import math
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import pandas as pd

from stages.common.errors import UserError
from stages.common.schema import Prepare

Sizes: TypeAlias = "pd.Series[int]"
"""The photos of each of a class's groups."""

LARGE = 5


def assign_splits(photos: pd.DataFrame, prepare: Prepare) -> "pd.Series[str]":
    """Return the split of every photo: the given one, or one by its content.

    A group is counted in the class of the photo that gives it its key. A split gets whole groups,
    with as near to its fraction of a class's photos as they come (halves up), but at least one
    group; something is left to train on. Groups of over `LARGE` photos that alone would make the
    smaller split over twice as large as it should be are the last on the line.
    Of given splits, what is missing is taken from train in the same way.

    Parameters
    ----------
    photos : DataFrame
        With ``class, content_key, group, source, given``; a group is named by the smallest of its
        content keys.
    prepare : Prepare
        For ``seed``, ``test_fraction``, ``validation_fraction`` and ``fold``.
    """
    shares = {"test": prepare.test_fraction, "validation": prepare.validation_fraction}
    shares = {split: share for split, share in shares.items() if split not in set(photos["given"])}
    if prepare.fold and "test" not in shares:
        raise UserError(
            f"params.yaml: prepare.fold is {prepare.fold}, but the photos come with a test split "
            "of their own; set prepare.fold to 0, or prepare.given_splits to ignore"
        )
    free = photos[photos["given"].isin(["", "train"])]
    groups = free.sort_values("content_key").drop_duplicates("group")
    sizes = free["group"].value_counts()
    lines = {
        name: order(sizes[groups.loc[groups["class"] == name, "group"]], prepare)
        for name in sorted(photos["class"].unique())
    }
    check_enough(lines, free, ["train", *shares], prepare)
    splits: dict[str, str] = {}
    for line in lines.values():
        splits |= cut(line, shares, prepare)
    return free["group"].map(splits).reindex(photos.index).fillna(photos["given"])


def order(line: Sizes, prepare: Prepare) -> Sizes:
    """Return a class's groups as they stand on the line, with their numbers of photos."""
    smaller = min(prepare.test_fraction, prepare.validation_fraction)
    most = max(LARGE, 2 * smaller * line.sum())
    places = {
        group: (size if size > most else 0, place(prepare.seed, str(group)))
        for group, size in line.items()
    }
    return line[sorted(line.index, key=places.__getitem__)]


def check_enough(
    lines: dict[str, Sizes], photos: pd.DataFrame, splits: list[str], prepare: Prepare
) -> None:
    """Raise a UserError that names the classes with fewer groups than there are splits or folds."""
    least, what = len(splits), ", ".join(splits)
    if prepare.fold:
        # One of two folds could else be all but one group, which would leave none to train on.
        least = 4 if prepare.folds == 2 else prepare.folds
        what = f"{prepare.folds} folds"
    few = [name for name, line in lines.items() if len(line) < least]
    if not few:
        return
    short = []
    for name, own in photos[photos["class"].isin(few)].groupby("class"):
        largest = own[own["group"] == own["group"].value_counts().index[0]]
        why = "look alike (prepare.near_duplicate_bits)"
        if (largest["source"] != "").any():
            by_name = "have one `group` in labels.csv"
            why = f"{by_name}, or {why}" if largest["source"].nunique() > 1 else by_name
        because = f": {len(largest):,} of its {len(own):,} photos {why}" if len(largest) > 1 else ""
        short.append(f"{name!r} has {len(lines[str(name)])}{because}")
    raise UserError(
        f"every class needs at least {least} groups of photos, for {what}; {'; '.join(short)}; "
        "add photos or leave the class out"
    )


def cut(line: Sizes, shares: dict[str, float], prepare: Prepare) -> dict[str, str]:
    """Return the split of every group on a class's line."""
    photos = line.sum()
    if "test" in shares:
        begin, end = fold_part(line, prepare)
        line = pd.concat([line[begin:], line[:begin]])
    splits: dict[str, str] = {}
    for others, (split, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
        size = end - begin if split == "test" else nearest(line, _share(share) * photos)
        size = min(max(size, 1), len(line) - others)  # one for each later split and for train
        splits |= dict.fromkeys(line.index[:size], split)
        line = line[size:]
    return splits | dict.fromkeys(line.index, "train")


def place(seed: int, key: str) -> str:
    """Return a group's place on the line, as text that sorts."""
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def nearest(line: Sizes, photos: Fraction) -> int:
    """Return how many of the first groups have the number of photos nearest to this; halves up."""
    counts = np.array([0, *line.cumsum()])
    after = min(int(np.searchsorted(counts, math.ceil(photos))), len(line))
    before = max(after - 1, 0)
    return before if photos - counts[before] < counts[after] - photos else after


def fold_part(line: Sizes, prepare: Prepare) -> tuple[int, int]:
    """Return where the fold's part of a class's line begins and ends; fold 0 begins at 0.

    Each fold has a group at least, and leaves two to the other splits.
    """
    folds, least = prepare.folds, 2 if prepare.folds == 2 else 1
    begin = end = 0
    for fold in range(prepare.fold + 1):
        begin, end = end, nearest(line, _share(prepare.test_fraction) * (fold + 1) * line.sum())
        if len(line) >= least * folds:
            end = min(max(end, begin + least), len(line) - least * (folds - 1 - fold))
    return begin, len(line) if 0 < prepare.fold == folds - 1 else end


def _share(fraction: float) -> Fraction:
    """Return the number that is written: as a float, 0.29 of 50 is a bit less than 14.5."""
    return Fraction(str(fraction))
