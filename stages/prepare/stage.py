"""From a source of photos to the finished store, in one readable chain."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.common.errors import UserError
from stages.common.params import Prepare
from stages.common.photo import Limits
from stages.prepare.array import ArrayFile
from stages.prepare.decode import Decoded, Decoder, decode_photos
from stages.prepare.duplicates import group_near, mark_same_pixels
from stages.prepare.listing import Listing, list_photos
from stages.prepare.split import assign_splits
from stages.prepare.writing import write_store


@dataclass(frozen=True)
class Outcome:
    """What became of every file.

    Attributes
    ----------
    skipped : int
        Hidden files, readme files and the like.
    classes : list of str
    accepted : DataFrame
        By path, in the array's order.
    rejected : DataFrame
        ``path, reason, detail``, by path.
    """

    skipped: int
    classes: list[str]
    accepted: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def scanned(self) -> int:
        """Files seen: accepted + rejected + skipped."""
        return len(self.accepted) + len(self.rejected) + self.skipped


def prepare_store(
    photos: Path, prepare: Prepare, folder: Path, workers: int | None = None
) -> Outcome:
    """Fill an empty folder with the store of a source's photos.

    Parameters
    ----------
    photos : Path
        A folder or an archive with one folder per class.
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
    listing = list_photos(photos)
    array = ArrayFile(folder / "images.npy", prepare.image_size_px)
    array.reserve(len(listing.candidates))
    limits = Limits(prepare.min_side_px, prepare.max_megapixels, prepare.max_aspect_ratio)
    decoded = decode_photos(listing, Decoder(array, limits), workers)
    judged = mark_same_pixels(_table(listing, decoded))
    outcome = _outcome(listing, judged)
    check_rejected(outcome, photos, prepare.max_rejected_fraction)
    check_classes(outcome, photos)
    outcome.accepted["group"] = group_near(outcome.accepted, prepare.near_duplicate_bits)
    outcome.accepted["split"] = assign_splits(outcome.accepted, prepare)
    write_store(folder, array, outcome.accepted, outcome.rejected, outcome.classes)
    return outcome


def _table(listing: Listing, decoded: list[Decoded]) -> pd.DataFrame:
    table = pd.DataFrame(decoded, columns=list(Decoded._fields))
    table.insert(0, "path", [candidate.path for candidate in listing.candidates])
    table.insert(1, "class", [candidate.class_name for candidate in listing.candidates])
    return table


def _outcome(listing: Listing, judged: pd.DataFrame) -> Outcome:
    accepted = judged[judged["reason"] == ""].reset_index(drop=True)
    refused = pd.DataFrame(listing.refused, columns=["path", "reason", "detail"])
    left_out = judged.loc[judged["reason"] != "", ["path", "reason", "detail"]]
    rejected = pd.concat([refused, left_out]).sort_values(["path", "reason", "detail"])
    return Outcome(listing.skipped, listing.classes, accepted, rejected.reset_index(drop=True))


def check_rejected(outcome: Outcome, photos: Path, allowed: float) -> None:
    """Refuse to go on when too much was left out.

    Raises
    ------
    UserError
        With the count per reason and the first few photos left out.
    """
    rejected, judged = outcome.rejected, outcome.scanned - outcome.skipped
    if len(rejected) <= allowed * judged:
        return
    reasons = rejected["reason"].value_counts().sort_index()
    first = "".join(
        f"\n  {row.path}: {row.reason}: {row.detail}" for row in rejected[:5].itertuples()
    )
    raise UserError(
        f"{photos}: {len(rejected)} of {judged} photos would be left out, more than "
        f"prepare.max_rejected_fraction ({allowed:g}) allows: "
        f"{', '.join(f'{count} {reason}' for reason, count in reasons.items())}. "
        f"Mend them, or allow more in params.yaml. The first are:{first}"
    )


def check_classes(outcome: Outcome, photos: Path) -> None:
    """Refuse to go on when a class has lost all its photos.

    Raises
    ------
    UserError
        Naming those classes.
    """
    empty = sorted(set(outcome.classes) - set(outcome.accepted["class"]))
    if empty:
        raise UserError(
            f"{photos}: no photo of {', '.join(map(repr, empty))} is left; "
            "add photos that can be used or take the folder out"
        )
