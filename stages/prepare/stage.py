"""From a source of photos to the finished store, in one readable chain."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from stages.common.errors import UserError
from stages.common.files import readable_os_errors
from stages.photos.photo import Limits
from stages.common.schema import Prepare
from stages.common.store import SPLITS
from stages.common.workers import cores
from stages.prepare.array import ArrayFile
from stages.prepare.decode import Decoded, Decoder
from stages.prepare.duplicates import (
    group_near_duplicates,
    list_alike,
    mark_leaks,
    mark_same_pixels,
)
from stages.prepare.listing import Listing, list_photos
from stages.prepare.sheet import contact_sheet
from stages.prepare.split import assign_splits
from stages.prepare.decoding import decode_photos
from stages.prepare.writing import write_store

BYTES_PER_PIXEL = 8
"""No honest photo needs more: four channels of 16 bits."""

SHOWN = 5
"""Rejected photos that an error names."""


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
    alike : DataFrame
        Photos that are the same or look the same, by group.
    picture : Image
        The contact sheet.
    notes : list of str
        What a person should know of the photos.
    """

    skipped: int
    classes: list[str]
    accepted: pd.DataFrame
    rejected: pd.DataFrame
    alike: pd.DataFrame
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
        Where the store's files go.
    workers : int, optional
        Processes that decode; one per core when not given. Changes no byte of the store.

    Raises
    ------
    UserError
        If the photos do not make a data set; the message says why and what to do.
    """
    max_bytes = round(prepare.max_megapixels * 1e6 * BYTES_PER_PIXEL)
    listing = list_photos(source, max_bytes, prepare.given_splits == "keep")
    array = ArrayFile(folder / "images.npy", prepare.image_size_px)
    with readable_os_errors(array.path):
        array.reserve(len(listing.candidates))
    limits = Limits(prepare.min_side_px, prepare.max_megapixels, prepare.max_aspect_ratio)
    decoded = decode_photos(listing, Decoder(array, limits), workers or cores())
    photos = mark_same_pixels(_table(listing, decoded, prepare.given_splits == "keep"))
    photos = mark_leaks(group_near_duplicates(photos, prepare.near_duplicate_bits))
    rejected = _rejected(listing, photos)
    check_rejected(source, rejected, len(photos) + len(listing.rejected), prepare)
    check_classes(source, photos)
    check_given_splits(source, photos)
    accepted = photos[photos["reason"] == ""].copy()
    notes = listing.notes + note_missing_classes(source, accepted)
    accepted["split"] = assign_splits(accepted, prepare)
    alike = list_alike(photos.join(accepted["split"]).fillna(""))
    picture = contact_sheet(array, photos, accepted, rejected, alike)
    write_store(folder, array, listing.classes, accepted, rejected, alike)
    return Outcome(listing.skipped, listing.classes, accepted, rejected, alike, picture, notes)


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


def _table(listing: Listing, decoded: list[Decoded], keep_splits: bool) -> pd.DataFrame:
    """Return a row per candidate, by path; ``given`` is the split it comes in, or empty."""
    table = pd.DataFrame(decoded, columns=list(Decoded._fields))
    table.insert(0, "path", [candidate.path for candidate in listing.candidates])
    table.insert(1, "class", [candidate.class_name for candidate in listing.candidates])
    given = [candidate.split if keep_splits else None for candidate in listing.candidates]
    table.insert(2, "given", [split or "" for split in given])
    return table


def _rejected(listing: Listing, photos: pd.DataFrame) -> pd.DataFrame:
    """Return those rejected by their names and those by their content, by path."""
    columns = ["path", "reason", "detail"]
    by_name = pd.DataFrame(listing.rejected, columns=columns)
    by_content = photos.loc[photos["reason"] != "", columns]
    return pd.concat([by_name, by_content]).sort_values(columns).reset_index(drop=True)
