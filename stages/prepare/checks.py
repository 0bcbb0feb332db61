"""What keeps photos from being a data set, as errors that name it; what is odd, as notes."""

import posixpath
import re
from collections import Counter
from itertools import pairwise

import pandas as pd

from stages.common.errors import UserError
from stages.common.names import LEFTOVERS, is_clutter, printable_name
from stages.common.schema import Prepare
from stages.common.store import SPLITS
from stages.prepare.duplicates import are_many
from stages.prepare.entries import Candidate, Entries, Rejected

SHOWN = 5
"""How many of many names or problems an error lists."""

SAME_NAMES = 0.9
"""Fraction of the names of two classes that are the same if they are parallel trees."""

UNEQUAL = 10
"""How many times the photos of the smallest class the largest may have without a note."""

LARGE_SHARE, SMALL_GROUP = 0.1, 5
"""Photos that look alike get a note above this share of a class, and this number."""


COLORS = {
    "profile": "have a color profile that is ignored, so their colors may be a little off",
    "black": "are nearly black; if their files hold 12 bits of 16, scale them up",
}
"""What is odd about a photo's colors."""


# by the names, before the first photo is decoded


def check_links_to_folders(everything: Entries, folders: set[str]) -> None:
    """Raise a UserError that names links to folders: one could stand for any number of photos."""
    targets = folders | {"."}
    links = sorted(
        name
        for name, entry in everything.items()
        if entry.kind == "link"
        and (entry.to_folder or posixpath.normpath(entry.target) in targets)
        and not is_clutter(name)
    )
    if links:
        shown = ", ".join(map(printable_name, links[:SHOWN]))
        more = f" and {len(links) - SHOWN:,} more" if links[SHOWN:] else ""
        raise UserError(
            f"links to folders are not followed: {shown}{more}; "
            "put the folders in their place (`cp -rL` copies what links lead to), or remove them"
        )


def check_no_folder_is_ignored(folders: set[str]) -> None:
    """Raise a UserError that names a folder that DVC would ignore, with all its photos."""
    for name in sorted(folders):
        if name.endswith(LEFTOVERS):
            raise UserError(
                f"the folder {printable_name(name)!r} has a name that .dvcignore ignores; rename "
                "it, or move it out of here"
            )


def check_no_class_is_lost(
    folders: set[str], candidates: list[Candidate], rejected: list[Rejected]
) -> None:
    """Raise a UserError that names the class folders without a candidate, and why."""
    lost = (folders | {one.folder for one in rejected}) - {one.folder for one in candidates} - {""}
    if not lost:
        return
    counts = Counter((one.folder, one.reason) for one in rejected)
    named, linked = [], False
    for name in sorted(lost):
        reasons = [f"{n} {reason}" for (folder, reason), n in counts.items() if folder == name]
        linked |= any("link" in reason for reason in reasons)
        why = ", ".join(reasons) or "no file that may be a photo"
        named.append(f"{printable_name(name)!r} ({why})")
    copy = "; `cp -rL` copies the files that links lead to" if linked else ""
    raise UserError(
        f"no photos in {', '.join(named)}; add photos that can be used, or remove the folder{copy}"
    )


def check_paths_differ(candidates: list[Candidate]) -> None:
    """Raise a UserError if two photos would have one path in the manifest."""
    for one, other in pairwise(candidates):  # they are sorted
        if one.path == other.path:
            names = " and ".join(printable_name(each.entry.name) for each in (one, other))
            raise UserError(
                f"two photos would both be called {one.path}: {names}; rename one of them"
            )


def note_parallel_trees(candidates: list[Candidate]) -> list[str]:
    """Return a line if classes hold files of the same names, as images/ and masks/ do.

    Names that only count, such as 001.jpg, say nothing: they may be the same in honest classes.
    """
    stems_of: dict[str, set[str]] = {}
    for candidate in candidates:
        stem = posixpath.splitext(posixpath.basename(candidate.path))[0]
        stems_of.setdefault(candidate.class_name, set()).add(stem)
    # Only these few are compared with each other: the others share too few names with all.
    classes_of = Counter(stem for stems in stems_of.values() for stem in stems)
    telling = {
        name: stems
        for name, stems in stems_of.items()
        if sum(classes_of[stem] > 1 for stem in stems) >= SAME_NAMES * len(stems)
        and len({re.sub(r"\d+", "", stem) for stem in stems}) > 1
    }
    parallel = {
        name
        for name, one in telling.items()
        for other_name, other in telling.items()
        if name != other_name and len(one & other) >= SAME_NAMES * max(len(one), len(other))
    }
    if 2 * len(parallel) <= len(stems_of):
        return []
    names = ", ".join(map(repr, sorted(parallel)[:SHOWN]))
    return [f"the classes {names} hold files of the same names: are they classes, or masks?"]


def note_guessed_names(candidates: list[Candidate]) -> list[str]:
    """Return a line that names the classes whose letters are a guess."""
    guessed = {one.class_name for one in candidates if one.entry.guessed}
    names = ", ".join(repr(name) for name in sorted(guessed) if not name.isascii())
    if not names:
        return []
    return [f"the archive does not say how names are coded; zip again in UTF-8 if wrong: {names}"]


# by the content, once all photos are decoded


def check_rejected(rejected: pd.DataFrame, photos: int, prepare: Prepare) -> None:
    """Raise a UserError with the count of each reason if too many photos are rejected."""
    # A quotient, not a product: 29 / 100 is what 0.29 is read as; 0.29 * 100 is below 29.
    if len(rejected) / photos <= prepare.max_rejected_fraction:
        return
    reasons = rejected["reason"].value_counts().sort_index()
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    first = rejected.head(SHOWN).itertuples()
    lines = "".join(f"\n  {photo.path}: {photo.reason}: {photo.detail}" for photo in first)
    raise UserError(
        f"{len(rejected)} of {photos} photos would be rejected ({counts}), more than "
        f"params.yaml: prepare.max_rejected_fraction = {prepare.max_rejected_fraction:g} allows; "
        f"fix or remove them, or allow more. The first are:{lines}"
    )


def check_classes(photos: pd.DataFrame) -> None:
    """Raise a UserError that names the classes of which every photo is rejected, and why."""
    lost = [
        f"{name!r} ({', '.join(sorted(set(reasons)))})"
        for name, reasons in photos.groupby("class")["reason"]
        if all(reasons)
    ]
    if lost:
        raise UserError(
            f"every photo of {', '.join(lost)} is rejected; add photos that can be used, or remove "
            "the folder"
        )


def check_given_splits(photos: pd.DataFrame) -> None:
    """Raise a UserError that names a given split of which every photo is rejected, and why."""
    for split, reasons in photos[photos["given"] != ""].groupby("given")["reason"]:
        if all(reasons):
            counts = ", ".join(f"{n} {reason}" for reason, n in reasons.value_counts().items())
            raise UserError(
                f"every photo of the given split {split} is rejected ({counts}); fix them, or take "
                "the split's folder out"
            )


def note_missing_classes(accepted: pd.DataFrame) -> list[str]:
    """Return a line for each class that a given split lacks; a UserError if train lacks one."""
    given = accepted[accepted["given"] != ""].groupby("given")["class"].unique()
    lacking = {
        split: sorted(set(accepted["class"]) - set(given[split]))
        for split in SPLITS
        if split in given.index
    }
    if lacking.get("train"):
        raise UserError(
            f"train has no photos of {', '.join(map(repr, lacking['train']))}, unlike other "
            "splits; add some, or set prepare.given_splits: ignore in params.yaml"
        )
    return [
        f"{split} has no photos of {', '.join(map(repr, names))}"
        for split, names in lacking.items()
        if names
    ]


def note_colors(accepted: pd.DataFrame) -> list[str]:
    """Return a line for each way in which photos' colors are odd, with how many of each class."""
    notes = []
    for colors, photos in accepted[accepted["colors"] != ""].groupby("colors"):
        counts = photos["class"].value_counts().head(SHOWN)
        shown = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
        notes.append(f"{len(photos):,} photos ({shown}) {COLORS[str(colors)]}")
    return notes


def note_shape(accepted: pd.DataFrame, prepare: Prepare) -> list[str]:
    """Return a line for each way in which the photos are no even, varied set.

    Parameters
    ----------
    accepted : DataFrame
        With ``path, class, given, group, looks, across, source, split``.
    """
    notes = []
    photos = Counter(sorted(accepted["class"]))
    (most, _), *_, (fewest, _) = photos.most_common()
    if photos[most] > UNEQUAL * photos[fewest]:
        notes.append(
            f"{most} has {photos[most]:,} photos, {fewest} only {photos[fewest]:,}: "
            "`-S train.class_balance=0.5` gives rare classes more weight"
        )
    lower = "lower prepare.near_duplicate_bits, or set it to off"
    alike = accepted.groupby(["class", "looks"])["path"].agg(["count", "min"]).reset_index()
    alike = alike[alike["count"] > SMALL_GROUP]
    shares = alike["count"] / alike["class"].map(photos)
    for name, _, count, first in alike[shares > LARGE_SHARE].nlargest(1, "count").values:
        notes.append(
            f"{count:,} of {photos[name]:,} photos of {name} look alike, such as {first}, so they "
            f"stay in one split; if they show different things, {lower}"
        )
    if are_many(accepted["across"].to_numpy()):
        notes.append(
            f"{accepted['across'].sum():,} photos look like one of another class, which is then "
            f"no sign of a wrong label; {lower}"
        )
    return notes + _note_fractions(accepted, prepare)


def _note_fractions(accepted: pd.DataFrame, prepare: Prepare) -> list[str]:
    """Return a line for a split that groups make over half too large or too small."""
    free = accepted[accepted["given"].isin(["", "train"])]
    size, first = free["group"].value_counts(), free.groupby("group")["path"].min()
    for split in ("test", "validation"):
        name = f"{split}_fraction"
        asked = sum(max(1, getattr(prepare, name) * n) for n in free["class"].value_counts())
        got = (free["split"] == split).sum()
        if split not in set(accepted["given"]) and abs(got - asked) > asked / 2:
            return [
                f"{split} has {got:,} of {len(free):,} photos, prepare.{name} asks for "
                f"{asked:,.0f}: groups are kept whole, and that of {first[size.index[0]]} has "
                f"{size.iloc[0]:,} photos"
            ]
    return []
