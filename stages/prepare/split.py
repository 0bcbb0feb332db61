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
from functools import partial

import pandas as pd

from stages.common.errors import UserError
from stages.common.schema import Prepare


def assign_splits(photos: pd.DataFrame, prepare: Prepare) -> "pd.Series[str]":
    """Return the split of every photo: the given one, or one by its content.

    A group is counted in the class of the photo that gives it its key, and as one however many
    photos it has. Of n groups, ``test_fraction * n`` rounded to the nearest (halves up), but at
    least one, are test; validation likewise; both are exact, unless nothing would be left to train
    on.
    Of given splits, what is missing is taken from train in the same way.

    Parameters
    ----------
    photos : DataFrame
        With ``class, content_key, group, given``; a group is named by the smallest of its content
        keys.
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
    lines = {
        name: sorted(groups.loc[groups["class"] == name, "group"], key=partial(place, prepare.seed))
        for name in sorted(photos["class"].unique())
    }
    check_enough(lines, ["train", *shares], prepare)
    splits: dict[str, str] = {}
    for line in lines.values():
        splits |= cut(line, shares, prepare)
    return free["group"].map(splits).reindex(photos.index).fillna(photos["given"])


def check_enough(lines: dict[str, list[str]], splits: list[str], prepare: Prepare) -> None:
    """Raise a UserError that names the classes with fewer groups than there are splits or folds."""
    least, what = len(splits), ", ".join(splits)
    if prepare.fold:
        # Half of three groups rounds to two in fold 0, which would leave none to train on.
        least = 4 if prepare.folds == 2 else prepare.folds
        what = f"{prepare.folds} folds"
    short = [f"{name!r} has {len(line)}" for name, line in lines.items() if len(line) < least]
    if short:
        raise UserError(
            f"every class needs at least {least} groups of photos, for {what}; photos that look "
            "alike (prepare.near_duplicate_bits), or have one `group` in labels.csv, are one: "
            f"{', '.join(short)}; add photos or leave the class out"
        )


def cut(line: list[str], shares: dict[str, float], prepare: Prepare) -> dict[str, str]:
    """Return the split of every group on a class's line."""
    sizes = {split: quota(share, len(line)) for split, share in shares.items()}
    if prepare.fold:
        begin, end = fold_part(len(line), prepare)
        line = line[begin:] + line[:begin]
        sizes["test"] = end - begin
    splits: dict[str, str] = {}
    for others, split in zip(range(len(sizes), 0, -1), sizes, strict=True):
        size = min(sizes[split], len(line) - others)  # one for each later split and for train
        splits |= dict.fromkeys(line[:size], split)
        line = line[size:]
    return splits | dict.fromkeys(line, "train")


def place(seed: int, key: str) -> str:
    """Return a group's place on the line, as text that sorts."""
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def quota(fraction: float, groups: int) -> int:
    """Return how many of a class's groups a split gets: rounded, halves up, at least one."""
    # The number that is written: as a float, 0.29 of 50 is a bit less than 14.5.
    return max(1, math.floor(Fraction(str(fraction)) * groups + Fraction(1, 2)))


def fold_part(groups: int, prepare: Prepare) -> tuple[int, int]:
    """Return where the fold's part of a class's line begins and ends; fold 0 begins at 0."""
    share, half = Fraction(str(prepare.test_fraction)), Fraction(1, 2)
    begin = math.floor(share * prepare.fold * groups + half)
    is_last = prepare.fold == prepare.folds - 1
    return begin, groups if is_last else math.floor(share * (prepare.fold + 1) * groups + half)
