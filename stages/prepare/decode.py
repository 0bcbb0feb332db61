"""Every candidate's bytes decoded, fitted and fingerprinted, on all cores.

A worker writes a photo's pixels straight to their place in the array's file and sends back only a
few numbers, so that neither memory nor the pipes grow with the photos. The place is the candidate's
number, so the order in which workers finish changes nothing.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from stages.common.errors import UserError
from stages.common.photo import Limits, PhotoError, decode_photo
from stages.prepare.array import ArrayFile
from stages.prepare.entries import Content, Entry
from stages.prepare.fingerprint import fingerprint
from stages.prepare.listing import Listing

CHUNK_PHOTOS = 16
CHUNK_BYTES = 8 << 20
LEVELS = np.arange(256)

Chunk = list[tuple[int, Content]]


class Decoded(NamedTuple):
    """What is known of a photo once it is decoded, or why it is left out.

    Attributes
    ----------
    number : int
        Of the candidate, and of its place in the array.
    sha256 : str
        Of the photo's file.
    pixels_sha256 : str
        Of the square that the network sees.
    fingerprint : int
        64 bits.
    width, height : int
        Of the whole photo.
    sums, squares : tuple of 3 int
        Per channel, over the square's values and over their squares.
    reason, detail : str
        Empty for a photo that is accepted.
    """

    number: int
    sha256: str = ""
    pixels_sha256: str = ""
    fingerprint: int = 0
    width: int = 0
    height: int = 0
    sums: tuple[int, ...] = (0, 0, 0)
    squares: tuple[int, ...] = (0, 0, 0)
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Decoder:
    """What a worker needs to know: where the pixels go and what is accepted."""

    array: ArrayFile
    limits: Limits

    def decode_chunk(self, chunk: Chunk) -> list[Decoded]:
        """Decode numbered photos and write their pixels."""
        return [self._decode(number, content) for number, content in chunk]

    def _decode(self, number: int, content: Content) -> Decoded:
        try:
            data = _read(content)
            photo = decode_photo(data, self.array.side_px, self.limits)
        except PhotoError as error:
            return Decoded(number, reason=error.reason, detail=error.detail)
        self.array.write(number, photo.pixels)
        square = Image.fromarray(photo.pixels)
        histogram = np.array(square.histogram()).reshape(3, 256)
        return Decoded(
            number,
            hashlib.sha256(data).hexdigest(),
            hashlib.sha256(photo.pixels.tobytes()).hexdigest(),
            fingerprint(square),
            photo.width,
            photo.height,
            tuple((histogram @ LEVELS).tolist()),
            tuple((histogram @ LEVELS**2).tolist()),
        )


def decode_photos(listing: Listing, decoder: Decoder, workers: int | None = None) -> list[Decoded]:
    """Decode all candidates of a listing, in `workers` processes or one per core.

    Returns
    -------
    list of Decoded
        One per candidate, in the candidates' order.

    Raises
    ------
    UserError
        If the array does not fit on the disk, or a worker process dies.
    """
    wanted: dict[Entry, list[int]] = {}
    for number, candidate in enumerate(listing.candidates):
        wanted.setdefault(candidate.entry, []).append(number)
    workers = workers or len(os.sched_getaffinity(0))
    decoded: list[Decoded | None] = [None] * len(listing.candidates)
    with tqdm(total=len(decoded), desc="prepare", unit="photo", disable=None) as progress:
        for batch in _spread(decoder, _chunks(listing.source.contents(wanted)), workers):
            for photo in batch:
                decoded[photo.number] = photo
            progress.update(len(batch))
    return [photo or _vanished(number) for number, photo in enumerate(decoded)]


def _vanished(number: int) -> Decoded:
    return Decoded(number, reason="vanished", detail="was listed, then was gone")


def _chunks(contents: Iterable[tuple[int, Content]]) -> Iterator[Chunk]:
    """Gather photos until they are worth a worker's while."""
    chunk: Chunk = []
    size = 0
    for number, content in contents:
        chunk.append((number, content))
        size += len(content) if isinstance(content, bytes) else 0
        if len(chunk) == CHUNK_PHOTOS or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _spread(decoder: Decoder, chunks: Iterator[Chunk], workers: int) -> Iterator[list[Decoded]]:
    """Decode chunks in worker processes, a few ahead of each, and give them as they are done."""
    if workers == 1:
        yield from map(decoder.decode_chunk, chunks)
        return
    pending: dict[Future[list[Decoded]], Chunk] = {}
    with ProcessPoolExecutor(workers) as pool:
        for chunk in chunks:
            pending[pool.submit(decoder.decode_chunk, chunk)] = chunk
            if len(pending) >= 3 * workers:
                yield from _finished(pending)
        while pending:
            yield from _finished(pending)


def _finished(pending: dict[Future[list[Decoded]], Chunk]) -> Iterator[list[Decoded]]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        try:
            yield future.result()
        except BrokenProcessPool as error:
            raise UserError("prepare: a worker process died; was the memory full?") from error
        del pending[future]


def _read(content: Content) -> bytes:
    if isinstance(content, PhotoError):
        raise content
    if isinstance(content, bytes):
        return content
    try:
        return content.read_bytes()
    except FileNotFoundError as error:
        raise PhotoError("vanished", "was listed, then was gone") from error
    except OSError as error:
        raise PhotoError("unreadable_file", error.strerror or str(error)) from error
