"""One photo's bytes to pixels in the array, and to the facts that later steps need.

It imports little, because every worker process imports it.
"""

import hashlib
import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.common.errors import PhotoError
from stages.common.reading import read_photo_file
from stages.common.workers import start_worker
from stages.photos.photo import Limits, decode_photo
from stages.prepare.array import ArrayFile
from stages.prepare.perceptual_hash import perceptual_hash

if TYPE_CHECKING:  # pydantic is slow to import, for every worker process
    from stages.common.schema import Fit

LEVELS = np.arange(256)
NEARLY_BLACK = 17
"""Level that no pixel of a nearly black picture has: 12 bits in a 16-bit file stay below it."""

KEPT_BYTES = 1 << 24
"""More than most photos take, decoded."""

Content = bytes | Path | PhotoError
"""A photo's bytes, where to read them, or why there are none."""

Chunk = list[tuple[int, Content]]
"""Candidates' numbers and contents."""


class Decoded(NamedTuple):
    """What is known of a photo once it is decoded, or why it is rejected.

    Attributes
    ----------
    number : int
        Of the candidate, and of its place in the array.
    sha256 : str
        Of the photo's file.
    pixels_sha256 : str
        Of the square that the network sees.
    perceptual_hash : int
        64 bits.
    width, height : int
        Of the whole photo, in pixels.
    sums, squares : tuple of 3 int
        Per channel, over the square's values and over their squares.
    colors : str
        What is odd about them: a key of `checks.COLORS`, or nothing.
    reason, detail : str
        Empty for a photo that is accepted.
    """

    number: int
    sha256: str = ""
    pixels_sha256: str = ""
    perceptual_hash: int = 0
    width: int = 0
    height: int = 0
    sums: tuple[int, ...] = (0, 0, 0)
    squares: tuple[int, ...] = (0, 0, 0)
    colors: str = ""
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Decoder:
    """Where the pixels go and which photos are accepted: all that a worker needs."""

    array: ArrayFile
    fit: "Fit"
    limits: Limits

    def __call__(self, chunk: Chunk) -> list[Decoded]:
        """Decode numbered photos and write their pixels."""
        with self.array.open_for_writing() as file:
            return [self._decode(number, content, file) for number, content in chunk]

    def _decode(self, number: int, content: Content, file: FileIO) -> Decoded:
        try:
            data = read_content(content, self.limits.max_bytes)
            photo = decode_photo(data, self.array.side_px, self.fit, self.limits)
        except PhotoError as error:
            return Decoded(number, reason=error.reason, detail=error.detail)
        pixels = photo.square.tobytes()
        self.array.write(file, number, pixels)
        histogram = np.array(photo.square.histogram()).reshape(3, 256)
        colors = "profile" if photo.profile_ignored else ""
        if not histogram[:, NEARLY_BLACK:].any():
            colors = "black"
        return Decoded(
            number,
            hashlib.sha256(data).hexdigest(),
            hashlib.sha256(pixels).hexdigest(),
            perceptual_hash(photo.square),
            photo.width,
            photo.height,
            tuple((histogram @ LEVELS).tolist()),
            tuple((histogram @ LEVELS**2).tolist()),
            colors,
        )


def start_decoder() -> None:
    """Call it first in a worker process.

    It silences libtiff, which prints a line for each broken file, as rejected.csv does.
    """
    start_worker()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    # glibc keeps freed memory up to twice the largest block that was ever freed. Without this
    # block, every photo's pages come from the system again: a tenth of the processor's time.
    bytes(KEPT_BYTES)


def read_content(content: Content, most: int) -> bytes:
    """Return the bytes, at most so many; a PhotoError says why there are none."""
    if isinstance(content, PhotoError):
        raise content
    if isinstance(content, bytes):
        return content
    return read_photo_file(content, most)
