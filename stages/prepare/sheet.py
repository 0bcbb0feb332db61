"""What the contact sheet shows: photos of each class, rejected ones, and doubtful labels."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from PIL import Image

from stages.drawing import PER_ROW, Section, Tile, draw
from stages.prepare.array import ArrayFile

CLASS_TILES = 60
MOST_SECTIONS = 12
"""Classes with a section of their own; of more, a photo each."""
MOST_CLASSES = 8 * PER_ROW
TILES_PER_REASON = 4
MOST_REJECTED = 3 * PER_ROW
MOST_ALIKE = 3 * PER_ROW


def contact_sheet(
    array: ArrayFile,
    photos: pd.DataFrame,
    accepted: pd.DataFrame,
    rejected: pd.DataFrame,
    alike: pd.DataFrame,
) -> Image.Image:
    """Draw the contact sheet, while the array still holds rejected photos.

    `photos` is every candidate, decoded or not, with its ``number`` in the array.
    """
    seen = f"{len(accepted)} photos as the network sees them, {array.side_px} x {array.side_px} px"
    classes = _classes(accepted)
    sections = [Section(seen, []), *classes, _rejected(photos, rejected), _alike(alike)]
    return draw(sections, array.read)


def _classes(accepted: pd.DataFrame) -> list[Section]:
    """Choose photos by their content's hash: at random, but the same ones when data grow."""
    classes = accepted.groupby("class")
    if len(classes) > MOST_SECTIONS:
        return [_many_classes(accepted)]
    count = max(2, min(PER_ROW, CLASS_TILES // len(classes)))
    sections = []
    for name, photos in classes:
        chosen = photos.sort_values("content_key").head(count)
        tiles = [Tile(number) for number in chosen["number"]]
        sections.append(Section(f"{name}: {len(photos)}", tiles))
    return sections


def _many_classes(accepted: pd.DataFrame) -> Section:
    """Show one photo of each class, with its name."""
    photos = accepted.groupby("class").size()
    first = accepted.sort_values("content_key").groupby("class").head(1).sort_values("class")
    tiles = [
        Tile(number, (name, f"{photos[name]:,} photos"))
        for number, name in _rows(first.head(MOST_CLASSES), "number", "class")
    ]
    return Section(f"classes: {_of(len(tiles), len(photos))}", tiles)


def _rejected(photos: pd.DataFrame, rejected: pd.DataFrame) -> Section:
    """Choose a few photos for each reason; doubtful labels have their own section."""
    shown = rejected[rejected["reason"] != "conflicting_label"]
    chosen = shown.groupby("reason").head(TILES_PER_REASON).sort_values(["reason", "path"])
    number_of = (
        photos[photos["reason"].isin(["duplicate", "leak"])].set_index("path")["number"].to_dict()
    )
    tiles = [
        Tile(number_of.get(path), (reason, path.rpartition("/")[2]))
        for path, reason in _rows(chosen.head(MOST_REJECTED), "path", "reason")
    ]
    return Section(f"rejected: {_of(len(tiles), len(shown))}", tiles)


def _alike(alike: pd.DataFrame) -> Section:
    """Choose photos that look the same and have different labels."""
    doubtful = alike[alike["classes"] > 1]
    turn, _ = pd.factorize(doubtful["group"])
    chosen = doubtful.assign(mark=turn % 2).head(MOST_ALIKE)
    tiles = [
        Tile(number, (name, split or "rejected"), mark)
        for number, name, split, mark in _rows(chosen, "number", "class", "split", "mark")
    ]
    return Section(f"alike under different labels: {_of(len(tiles), len(doubtful))}", tiles)


def _rows(table: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    return table[list(columns)].itertuples(index=False, name=None)


def _of(shown: int, count: int) -> str:
    return str(count) if shown == count else f"{shown} of {count}"
