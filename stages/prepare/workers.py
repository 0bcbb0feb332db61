"""All candidates decoded on all cores.

A worker writes a photo's pixels straight to their place in the array's file and sends back only a
few numbers, so that neither memory nor the pipes grow with the photos. The place is the candidate's
number, so the order in which workers finish changes nothing.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm

from stages.common.errors import UserError
from stages.common.files import clear_errors
from stages.common.workers import start_worker
from stages.prepare.decode import Chunk, Decoded, Decoder
from stages.prepare.entries import Content, Entry
from stages.prepare.listing import Listing

CHUNK_PHOTOS = 16
CHUNK_BYTES = 8 << 20
CHUNKS_AHEAD = 3
"""Per worker: enough that none waits, few enough that an archive's bytes do not pile up."""

Pending = dict[Future[list[Decoded]], Chunk]


def decode_photos(listing: Listing, decoder: Decoder, workers: int) -> list[Decoded]:
    """Decode all candidates of a listing in `workers` processes, with a progress bar.

    Returns
    -------
    list of Decoded
        One per candidate, in the candidates' order.

    Raises
    ------
    UserError
        If pixels cannot be written, or a worker process dies.
    """
    wanted: dict[Entry, list[int]] = {}
    for number, candidate in enumerate(listing.candidates):
        wanted.setdefault(candidate.entry, []).append(number)
    chunks = _chunks(listing.source.contents(wanted))
    gone = "was listed, then was gone"
    decoded = [
        Decoded(number, reason="vanished", detail=gone) for number in range(len(listing.candidates))
    ]
    with tqdm(total=len(decoded), desc="prepare", unit=" photos", disable=None) as progress:
        for batch in _spread(decoder, chunks, workers):
            for photo in batch:
                decoded[photo.number] = photo
            progress.update(len(batch))
    return decoded


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
    """Give the chunks' results as they come."""
    if workers == 1:
        for chunk in chunks:
            with clear_errors(decoder.array.path):
                result = decoder(chunk)
            yield result
        return
    pending: Pending = {}
    with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
        for chunk in chunks:
            pending[pool.submit(decoder, chunk)] = chunk
            if len(pending) >= CHUNKS_AHEAD * workers:
                yield from _finished(decoder, pending)
        while pending:
            yield from _finished(decoder, pending)


def _finished(decoder: Decoder, pending: Pending) -> Iterator[list[Decoded]]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        try:
            with clear_errors(decoder.array.path):
                result = future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "prepare: a worker process was killed, most likely because the memory was full; "
                "free some, or lower prepare.max_megapixels"
            ) from error
        del pending[future]
        yield result


def _start_worker() -> None:
    """Keep quiet: libtiff writes what it thinks of broken files; rejected.csv says it in order."""
    start_worker()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
