"""When too little is left to go on."""

from pathlib import Path

import pandas as pd

from stages.common.errors import UserError
from stages.common.params import Prepare

SHOWN = 5


def check_rejected(source: Path, rejected: pd.DataFrame, judged: int, prepare: Prepare) -> None:
    """Refuse to go on when too many of the `judged` photos were left out.

    Raises
    ------
    UserError
        With the count per reason and the first few photos left out.
    """
    if len(rejected) <= prepare.max_rejected_fraction * judged:
        return
    reasons = rejected["reason"].value_counts().sort_index()
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    first = rejected.head(SHOWN).itertuples()
    lines = "".join(f"\n  {photo.path}: {photo.reason}: {photo.detail}" for photo in first)
    raise UserError(
        f"{source}: {len(rejected)} of {judged} photos would be left out ({counts}), more than "
        f"params.yaml: prepare.max_rejected_fraction = {prepare.max_rejected_fraction:g} allows; "
        f"mend or remove them, or allow more. The first are:{lines}"
    )


def check_classes(source: Path, photos: pd.DataFrame) -> None:
    """Refuse to go on when a class has lost all its photos.

    Raises
    ------
    UserError
        Naming those classes and the reasons.
    """
    empty = [
        f"{name!r} ({', '.join(sorted(set(reasons)))})"
        for name, reasons in photos.groupby("class")["reason"]
        if all(reasons)
    ]
    if empty:
        raise UserError(
            f"{source}: every photo was left out of {', '.join(empty)}; "
            "add photos that can be used, or remove the folder"
        )
