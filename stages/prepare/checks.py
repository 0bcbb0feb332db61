"""What keeps photos from being a data set, as errors that name it; what is odd, as notes."""

import posixpath
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pandas as pd

from stages.common.errors import UserError
from stages.common.names import is_clutter, printable_name
from stages.common.schema import Prepare
from stages.common.store import SPLITS
from stages.prepare.entries import Candidate, Entries, Rejected
from stages.prepare.table import Label

SHOWN = 5
"""Names that an error lists."""

SAME_NAMES = 0.9
"""Share of the names of two classes that are the same if they are parallel trees."""


def note_parallel_trees(candidates: list[Candidate]) -> list[str]:
    """Return a line if classes hold files of the same names, as images/ and masks/ do.

    Names that only count, such as 001.jpg, say nothing: they may be the same in honest classes.
    """
    stems: dict[str, set[str]] = {}
    for candidate in candidates:
        stem = posixpath.splitext(posixpath.basename(candidate.path))[0]
        stems.setdefault(candidate.class_name, set()).add(stem)
    # Only these few are compared with each other: the others share too few names with all.
    classes_of = Counter(stem for found in stems.values() for stem in found)
    telling = {
        name: found
        for name, found in stems.items()
        if sum(classes_of[stem] > 1 for stem in found) >= SAME_NAMES * len(found)
        and len({re.sub(r"\d+", "", stem) for stem in found}) > 1
    }
    parallel = {
        name
        for name, found in telling.items()
        for other, theirs in telling.items()
        if name != other and len(found & theirs) >= SAME_NAMES * max(len(found), len(theirs))
    }
    if 2 * len(parallel) <= len(stems):
        return []
    names = ", ".join(map(repr, sorted(parallel)[:SHOWN]))
    return [f"the classes {names} hold files of the same names: are they classes, or masks?"]


def check_table_is_meant(table: Path, labels: dict[str, Label], names: list[str]) -> None:
    """Raise a UserError if a table stands beside class folders that it does not name."""
    unnamed = sorted(name for name in names if name not in labels)
    if len(unnamed) > len(labels):
        raise UserError(
            f"{table}: names {len(labels):,} of {len(names):,} files, not "
            f"{printable_name(unnamed[0])}, for example; a table must name the photos, whatever "
            "folders they are in: complete it, or remove it if class folders hold the labels"
        )


def check_paths_differ(path: Path, candidates: list[Candidate]) -> None:
    """Raise a UserError if two photos would have one path in the manifest."""
    for one, other in pairwise(candidates):  # they are sorted
        if one.path == other.path:
            names = " and ".join(printable_name(each.entry.name) for each in (one, other))
            raise UserError(
                f"{path}: two photos would both be called {one.path}: {names}; rename one of them"
            )


def check_links_to_folders(path: Path, everything: Entries, folders: set[str]) -> None:
    """Raise a UserError that names links to folders: one could stand for any number of photos."""
    places = folders | {"."}
    found = [
        name
        for name, entry in everything.items()
        if entry.kind == "link"
        and (entry.to_folder or posixpath.normpath(entry.target) in places)
        and not is_clutter(name)
    ]
    if found:
        shown = ", ".join(map(printable_name, sorted(found)[:SHOWN]))
        more = f" and {len(found) - SHOWN:,} more" if found[SHOWN:] else ""
        raise UserError(
            f"{path}: links to folders are not followed: {shown}{more}; "
            "put the folders in their place (`cp -rL` copies what links lead to), or remove them"
        )


def check_no_class_is_lost(
    path: Path, folders: set[str], candidates: list[Candidate], rejected: list[Rejected]
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
        f"{path}: no photos in {', '.join(named)}; add photos that can be used, or remove the "
        f"folder{copy}"
    )


def check_rejected(source: Path, rejected: pd.DataFrame, photos: int, prepare: Prepare) -> None:
    """Raise a UserError with the count of each reason if too many photos are rejected."""
    # A quotient, not a product: 29 / 100 is what 0.29 is read as; 0.29 * 100 is below 29.
    if len(rejected) / photos <= prepare.max_rejected_fraction:
        return
    reasons = rejected["reason"].value_counts().sort_index()
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    first = rejected.head(SHOWN).itertuples()
    lines = "".join(f"\n  {photo.path}: {photo.reason}: {photo.detail}" for photo in first)
    raise UserError(
        f"{source}: {len(rejected)} of {photos} photos would be rejected ({counts}), more than "
        f"params.yaml: prepare.max_rejected_fraction = {prepare.max_rejected_fraction:g} allows; "
        f"fix or remove them, or allow more. The first are:{lines}"
    )


def check_classes(source: Path, photos: pd.DataFrame) -> None:
    """Raise a UserError that names the classes of which every photo is rejected, and why."""
    lost = [
        f"{name!r} ({', '.join(sorted(set(reasons)))})"
        for name, reasons in photos.groupby("class")["reason"]
        if all(reasons)
    ]
    if lost:
        raise UserError(
            f"{source}: every photo of {', '.join(lost)} is rejected; "
            "add photos that can be used, or remove the folder"
        )


def check_given_splits(source: Path, photos: pd.DataFrame) -> None:
    """Raise a UserError that names a given split of which every photo is rejected, and why."""
    for split, reasons in photos[photos["given"] != ""].groupby("given")["reason"]:
        if all(reasons):
            counts = ", ".join(f"{n} {reason}" for reason, n in reasons.value_counts().items())
            raise UserError(
                f"{source}: every photo of the given split {split} is rejected ({counts}); fix "
                "them, or take the split's folder out"
            )


def note_missing_classes(source: Path, accepted: pd.DataFrame) -> list[str]:
    """Return a line for each class that a given split lacks; a UserError if train lacks one."""
    given = accepted[accepted["given"] != ""].groupby("given")["class"].unique()
    lacking = {
        split: sorted(set(accepted["class"]) - set(given[split]))
        for split in SPLITS
        if split in given.index
    }
    if lacking.get("train"):
        raise UserError(
            f"{source}: train has no photos of {', '.join(map(repr, lacking['train']))}, unlike "
            "other splits; add some, or set prepare.given_splits: ignore in params.yaml"
        )
    return [
        f"{split} has no photos of {', '.join(map(repr, names))}"
        for split, names in lacking.items()
        if names
    ]
