"""From a source of photos to the finished store, in one readable chain, and its summary."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from stages.common.errors import about
from stages.common.files import readable_os_errors
from stages.common.schema import Prepare
from stages.common.store import SPLITS
from stages.common.workers import cores
from stages.photos.photo import Limits
from stages.prepare.array import ArrayFile
from stages.prepare.checks import (
    check_classes,
    check_given_splits,
    check_rejected,
    note_colors,
    note_missing_classes,
    note_shape,
)
from stages.prepare.decoder import Decoded, Decoder
from stages.prepare.decoding import decode_photos
from stages.prepare.duplicates import (
    group_near_duplicates,
    list_alike,
    mark_leaks,
    mark_same_pixels,
)
from stages.prepare.listing import Listing, list_photos
from stages.prepare.sheet import contact_sheet
from stages.prepare.split import assign_splits
from stages.prepare.writing import count, write_store

DIGITS = 12
"""Of a SHA-256, which tell the photos of a data set apart."""

MOST_NAMED = 12
"""Classes that are named one by one."""


@dataclass(frozen=True)
class Outcome:
    """What became of every file.

    Attributes
    ----------
    skipped : int
        Hidden files, readme files and the like.
    classes : list of str
        In the order of the labels.
    accepted : DataFrame
        By path, in the array's order.
    rejected : DataFrame
        ``path, reason, detail``, by path.
    picture : Image
        The contact sheet.
    notes : list of str
        What a person should know of the photos.
    """

    skipped: int
    classes: list[str]
    accepted: pd.DataFrame
    rejected: pd.DataFrame
    picture: Image.Image
    notes: list[str]


def prepare_store(
    source: Path, prepare: Prepare, folder: Path, workers: int | None = None
) -> Outcome:
    """Fill an empty folder with the store of a source's photos.

    Parameters
    ----------
    source : Path
        A folder or an archive; docs/photos.md has its layouts.
    prepare : Prepare
    folder : Path
    workers : int, optional
        Processes that decode; one per core when not given. Changes no byte of the store.
    """
    limits = Limits(prepare.min_side_px, prepare.max_megapixels, prepare.max_aspect_ratio)
    listing = list_photos(source, limits.max_bytes, prepare.given_splits == "keep")
    array = ArrayFile(folder / "images.npy", prepare.image_size_px)
    with readable_os_errors(array.path):
        array.reserve(len(listing.candidates))
    decoded = decode_photos(listing, Decoder(array, prepare.fit, limits), workers or cores())
    photos = mark_same_pixels(_table(listing, decoded, prepare.given_splits == "keep"))
    photos = mark_leaks(group_near_duplicates(photos, prepare))
    rejected = _rejected(listing, photos)
    accepted = photos[photos["reason"] == ""].copy()
    with about(source):
        check_rejected(rejected, len(photos) + len(listing.rejected), prepare)
        check_classes(photos)
        check_given_splits(photos)
        notes = listing.notes + note_missing_classes(accepted) + note_colors(accepted)
    accepted["split"] = assign_splits(accepted, prepare)
    notes += note_shape(accepted, prepare)
    alike = list_alike(photos.join(accepted["split"]).fillna(""))
    picture = contact_sheet(array, photos, accepted, rejected, alike)
    write_store(folder, array, accepted, rejected, alike, prepare)
    return Outcome(listing.skipped, listing.classes, accepted, rejected, picture, notes)


def _table(listing: Listing, decoded: list[Decoded], keep_splits: bool) -> pd.DataFrame:
    """Return a row per candidate, by path; ``given`` is its given split, or empty."""
    table = pd.DataFrame(decoded, columns=list(Decoded._fields))
    table.insert(0, "path", [candidate.path for candidate in listing.candidates])
    table.insert(1, "class", [candidate.class_name for candidate in listing.candidates])
    given = [candidate.split if keep_splits else None for candidate in listing.candidates]
    table.insert(2, "given", [split or "" for split in given])
    table.insert(3, "source", [candidate.source for candidate in listing.candidates])
    return table


def _rejected(listing: Listing, photos: pd.DataFrame) -> pd.DataFrame:
    """Return the photos rejected by name and by content, by path."""
    columns = ["path", "reason", "detail"]
    by_name = pd.DataFrame(listing.rejected, columns=columns)
    by_content = photos.loc[photos["reason"] != "", columns]
    return pd.concat([by_name, by_content]).sort_values(columns).reset_index(drop=True)


def list_taken(outcome: Outcome) -> pd.DataFrame:
    """Return the content of metrics/photos.csv, whose diff shows a reviewer each photo's change.

    Its order is that of the contents, so a photo stays on its line under another name or label.
    """
    taken = outcome.accepted[["path", "class", "split"]]
    taken = taken.assign(sha256=outcome.accepted["sha256"].str[:DIGITS])
    return taken.sort_values(["sha256", "path"])


def summarize(outcome: Outcome) -> dict[str, Any]:
    """Return the content of metrics/prepare.json: nested dicts, which a metrics diff can follow."""
    reasons = outcome.rejected["reason"].value_counts().sort_index()
    accepted, rejected = len(outcome.accepted), len(outcome.rejected)
    return {
        "scanned": accepted + rejected + outcome.skipped,
        "accepted": accepted,
        "rejected": rejected,
        "skipped": outcome.skipped,
        "photos": {split: int((outcome.accepted["split"] == split).sum()) for split in SPLITS},
        "rejected_by_reason": {str(reason): int(number) for reason, number in reasons.items()},
        "near_duplicates": _near_duplicates(outcome.accepted),
    }


def _near_duplicates(accepted: pd.DataFrame) -> dict[str, int]:
    """Count groups of several photos, their photos, and the groups with several classes."""
    groups = accepted.groupby("looks")["class"].agg(["size", "nunique"])
    several = groups[groups["size"] > 1]
    return {
        "groups": len(several),
        "photos": int(several["size"].sum()),
        "groups_across_classes": int((several["nunique"] > 1).sum()),
    }


def describe(outcome: Outcome) -> str:
    """Return the summary as a few lines to print."""
    summary = summarize(outcome)
    counts = "scanned {scanned} = accepted {accepted} + rejected {rejected} + skipped {skipped}"
    lines = [counts.format(**summary)]
    lines += [
        f"{split}: {_describe_classes(classes)}"
        for split, classes in count(outcome.accepted, outcome.classes).items()
    ]
    lines += [
        f"rejected: {number} {reason}" for reason, number in summary["rejected_by_reason"].items()
    ]
    near = summary["near_duplicates"]
    lines.append(
        f"near-duplicates: {near['photos']} photos in {near['groups']} groups, "
        f"{near['groups_across_classes']} of them across classes"
    )
    return "\n".join([*lines, *(f"note: {note}" for note in outcome.notes)])


def _describe_classes(photos: dict[str, int]) -> str:
    """Name the classes and their photos; of many, those with the fewest and the most."""
    if len(photos) <= MOST_NAMED:
        return ", ".join(f"{name} ({number:,})" for name, number in photos.items())
    fewest, most = (choose(photos, key=photos.__getitem__) for choose in (min, max))
    total = f"{sum(photos.values()):,} photos of {len(photos):,} classes"
    if photos[fewest] == photos[most]:
        return f"{total}, {photos[most]:,} each"
    return f"{total}, from {fewest} ({photos[fewest]:,}) to {most} ({photos[most]:,})"
