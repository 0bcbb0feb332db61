"""The prepared store: the photos as one array, and who they are.

The folder holds

    images.npy      uint8 (N, S, S, 3), RGB, C order
    manifest.csv    a row per image, in the array's order: path, class, label, split, sha256, width,
                    height, group
    meta.json       what the readers need to trust and use both
    rejected.csv    a row per rejected photo: path, reason, detail
    alike.csv       a row per photo that has a twin, by group, doubtful labels first: for review

``prepare`` writes it; ``train`` and ``evaluate`` read it through `open_store`, which checks every
byte before it is used.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from stages.common.errors import UserError
from stages.common.files import Guarded, read_guarded
from stages.common.reading import open_regular
from stages.common.schema import Fit

STORE = Path("data/prepared")
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

TEXT_COLUMNS = ("path", "class", "split", "sha256", "group")

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Channels = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=3, max_length=3)]
"""Per channel, of values in [0, 1]."""


class StoreMeta(Guarded):
    """The content of meta.json."""

    schema_version: Literal[2]
    classes: Annotated[list[str], Field(min_length=2)]
    """In the order of the labels."""
    image_size_px: Annotated[int, Field(ge=1, le=1024)]
    mean: Channels
    """Over the train split, as is the next one."""
    std: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=3, max_length=3)]
    mirror_keeps_class: bool = True
    """See `Prepare`, also for the next one."""
    fit: Fit = "crop"
    counts: dict[Split, dict[str, int]]
    """Images per split and class."""
    images_sha256: Digest
    manifest_sha256: Digest


@dataclass(frozen=True)
class Store:
    """An opened store.

    Attributes
    ----------
    meta : StoreMeta
    images : uint8 array of shape (N, S, S, 3)
        Read-only memory map, RGB.
    manifest : DataFrame of N rows
        In the order of `images`.
    """

    meta: StoreMeta
    images: npt.NDArray[np.uint8]
    manifest: pd.DataFrame

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The label of every image, int64 of shape (N,)."""
        return self.manifest["label"].to_numpy(np.int64)

    def indices(self, split: Split) -> npt.NDArray[np.int64]:
        """Return the positions of a split's images, ascending, int64."""
        return np.flatnonzero(self.manifest["split"].to_numpy() == split)


def open_store(folder: Path = STORE, check_digests: bool = True) -> Store:
    """Check a store's schema, sizes and digests, then map its images.

    Parameters
    ----------
    folder : Path
    check_digests : bool
        Whether to read every byte; one of several processes on a machine is enough.
    """
    meta = read_guarded(folder / "meta.json", StoreMeta, _remedy(folder))
    if check_digests:
        _check_digest(folder / "manifest.csv", meta.manifest_sha256)
        _check_digest(folder / "images.npy", meta.images_sha256)
    try:
        # A class may be called "None" or "007": text stays text.
        manifest = pd.read_csv(
            folder / "manifest.csv", keep_default_na=False, dtype=dict.fromkeys(TEXT_COLUMNS, str)
        )
        images = np.lib.format.open_memmap(folder / "images.npy", mode="r")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: cannot be read: {error!s:.200}; {_remedy(folder)}") from error
    if problem := _contradiction(manifest, meta):
        raise UserError(f"{folder}/manifest.csv: {problem}; {_remedy(folder)}")
    size = meta.image_size_px
    expected = (sum(sum(counts.values()) for counts in meta.counts.values()), size, size, 3)
    if images.shape != expected or images.dtype != np.uint8 or len(manifest) != expected[0]:
        raise UserError(
            f"{folder}: the files do not fit each other: images.npy is {images.dtype} "
            f"{images.shape}, manifest.csv has {len(manifest)} rows, meta.json says uint8 "
            f"{expected}; {_remedy(folder)}"
        )
    return Store(meta, images, manifest)


def _contradiction(manifest: pd.DataFrame, meta: StoreMeta) -> str:
    """Say what readers rely on and the manifest does not keep; nothing where it does."""
    if missing := {"path", "class", "label", "split"} - set(manifest):
        return f"has no column {min(missing)}"
    named = dict(enumerate(meta.classes))
    if not (manifest["label"].map(named) == manifest["class"]).all():
        return "labels and classes are not those of meta.json"
    counts = manifest.groupby(["split", "class"]).size().to_dict()
    said = {(s, name): n for s, row in meta.counts.items() for name, n in row.items() if n}
    if counts != said:
        return "splits do not have the photos that meta.json counts"
    if empty := [split for split in SPLITS if not any(meta.counts.get(split, {}).values())]:
        return f"there are no {empty[0]} photos"
    return ""


def _check_digest(path: Path, expected: str) -> None:
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}; {_remedy(path.parent)}"
        ) from error
    if digest != expected:
        raise UserError(
            f"{path}: is damaged: its sha256 is {digest[:12]}..., meta.json says "
            f"{expected[:12]}...; {_remedy(path.parent)}"
        )


def _remedy(folder: Path) -> str:
    return f"make {folder} again with `dvc repro --force prepare`"
