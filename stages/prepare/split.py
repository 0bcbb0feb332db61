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
    """Return the split of every photo.

    A group is counted in the class of the photo that gives it its key, and as one however many
    photos it has. Of n groups, ``test_fraction * n`` rounded to the nearest (halves up), but at
    least one, are test; validation likewise; both are exact, unless nothing were left to train on.

    Parameters
    ----------
    photos : DataFrame
        With ``class, content_key, group``; a group is named by the smallest of its content keys.
    prepare : Prepare
        For ``seed``, ``test_fraction`` and ``validation_fraction``.

    Raises
    ------
    UserError
        If a class has fewer than three groups.
    """
    groups = photos[photos["content_key"] == photos["group"]].drop_duplicates("group")
    splits: dict[str, str] = {}
    short = []
    for name in sorted(photos["class"].unique()):
        keys = groups.loc[groups["class"] == name, "group"]
        if len(keys) < 3:
            short.append(f"{name!r} has {len(keys)}")
            continue
        line = sorted(keys, key=lambda key: place(key, prepare.seed))
        test = min(quota(prepare.test_fraction, len(line)), len(line) - 2)
        validation = min(quota(prepare.validation_fraction, len(line)), len(line) - 1 - test)
        for position, key in enumerate(line):
            after_test = "validation" if position < test + validation else "train"
            splits[key] = "test" if position < test else after_test
    if short:
        raise UserError(
            "every class needs at least 3 photos that are not near-duplicates, for the three "
            f"splits: {', '.join(short)}; add photos or take the class out"
        )
    return photos["group"].map(splits)


def place(key: str, seed: int) -> str:
    """Return a group's place on the line, as text that sorts."""
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()


def quota(fraction: float, groups: int) -> int:
    """Return how many of a class's groups a split gets: rounded, halves up, at least one."""
    # The number that is written: as a float, 0.29 of 50 is a bit less than 14.5.
    return max(1, math.floor(Fraction(str(fraction)) * groups + Fraction(1, 2)))
