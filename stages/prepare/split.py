"""Which photo is in which split, decided by content, so that it stays when data grow.

Every group of near-duplicates stands on a line, at a place that only the seed and its content
decide. In each class the first groups are the test split, the next ones validation, the rest
train. A new photo pushes the two borders a little: photos near them move to the neighboring split,
and none moves from test to train.
"""

import hashlib
import math
from fractions import Fraction

import pandas as pd

from stages.common.errors import UserError
from stages.common.params import Prepare


def assign_splits(photos: pd.DataFrame, prepare: Prepare) -> "pd.Series[str]":
    """Return the split of every photo: the given one, or one by its content.

    A group is counted in the class of the photo that gives it its key, and as one however many
    photos it has. Of n groups, ``test_fraction * n`` rounded to the nearest (halves up), but at
    least one, are test; validation likewise; both are exact, unless nothing were left to train on.
    Of given splits, what is missing is taken from train in the same way.

    Parameters
    ----------
    photos : DataFrame
        With ``class, content_key, group, given``; a group is named by the smallest of its content
        keys.
    prepare : Prepare
        For ``seed``, ``test_fraction`` and ``validation_fraction``.

    Raises
    ------
    UserError
        If a class has too few groups.
    """
    wanted = {"test": prepare.test_fraction, "validation": prepare.validation_fraction}
    wanted = {split: share for split, share in wanted.items() if split not in set(photos["given"])}
    free = photos[photos["given"].isin(["", "train"])]
    groups = free.sort_values("content_key").drop_duplicates("group")
    splits: dict[str, str] = {}
    short = []
    for name in sorted(photos["class"].unique()):
        keys = groups.loc[groups["class"] == name, "group"]
        line = sorted(keys, key=lambda key: place(key, prepare.seed))
        if len(line) < 1 + len(wanted):
            short.append(f"{name!r} has {len(line)}")
            continue
        start = 0
        for number, (split, share) in enumerate(wanted.items()):
            left = len(line) - start - (len(wanted) - number)  # one for each later split
            end = start + min(quota(share, len(line)), left)
            splits |= dict.fromkeys(line[start:end], split)
            start = end
        splits |= dict.fromkeys(line[start:], "train")
    if short:
        raise UserError(
            f"every class needs at least {1 + len(wanted)} photos that are not near-duplicates, "
            f"for {', '.join(['train', *wanted])}: {', '.join(short)}; add photos or leave the "
            "class out"
        )
    return free["group"].map(splits).reindex(photos.index).fillna(photos["given"])


def place(key: str, seed: int) -> str:
    """Return a group's place on the line, as text that sorts."""
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def quota(fraction: float, groups: int) -> int:
    """Return how many of a class's groups a split gets: rounded, halves up, at least one."""
    # The number that is written: as a float, 0.29 of 50 is a bit less than 14.5.
    return max(1, math.floor(Fraction(str(fraction)) * groups + Fraction(1, 2)))
