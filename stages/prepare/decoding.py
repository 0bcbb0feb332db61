"""All photos decoded on all cores.

A worker writes a photo's pixels straight to their place in the array's file and sends back only a
few numbers, so that neither memory nor pipes grow with the photos. The place is the candidate's
number, so the order in which workers finish does not matter.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm

from stages.common.errors import UserError
from stages.common.files import readable_os_errors
from stages.common.workers import worker_pool
from stages.prepare.decoder import Chunk, Content, Decoded, Decoder, start_decoder
from stages.prepare.entries import Entry
from stages.prepare.listing import Listing

CHUNK_PHOTOS = 16
CHUNK_BYTES = 8 << 20
CHUNKS_AHEAD = 3
"""Per worker: enough that none waits, few enough that an archive's bytes do not pile up."""


def decode_photos(listing: Listing, decoder: Decoder, workers: int) -> list[Decoded]:
    """Decode all candidates of a listing in `workers` processes, with a progress bar.

    The results are in the candidates' order. A worker process that dies is a UserError.
    """
    decoded = [
        Decoded(number, reason="vanished", detail="was listed, then was gone")
        for number in range(len(listing.candidates))
    ]
    chunks = _chunks(_contents(listing))
    with tqdm(total=len(decoded), desc="prepare", unit=" photos", disable=None) as progress:
        for batch in _decode_chunks(decoder, chunks, workers):
            for photo in batch:
                decoded[photo.number] = photo
            progress.update(len(batch))
    return decoded


def _contents(listing: Listing) -> Iterator[tuple[int, Content]]:
    """Give each candidate's number and content; links have that of the file that they lead to."""
    numbers: dict[Entry, list[int]] = {}
    for number, candidate in enumerate(listing.candidates):
        numbers.setdefault(candidate.entry, []).append(number)
    for entry, content in listing.source.contents(numbers):
        for number in numbers[entry]:
            yield number, content


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


def _decode_chunks(
    decoder: Decoder, chunks: Iterator[Chunk], workers: int
) -> Iterator[list[Decoded]]:
    """Give the chunks' results, in the order in which they are ready."""
    if workers == 1:
        for chunk in chunks:
            with readable_os_errors(decoder.array.path):
                result = decoder(chunk)
            yield result
        return
    pending: set[Future[list[Decoded]]] = set()
    with worker_pool(workers, start_decoder) as pool:
        for chunk in chunks:
            pending.add(pool.submit(decoder, chunk))
            if len(pending) >= CHUNKS_AHEAD * workers:
                yield from _finished(decoder, pending)
        while pending:
            yield from _finished(decoder, pending)


def _finished(decoder: Decoder, pending: set[Future[list[Decoded]]]) -> Iterator[list[Decoded]]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        pending.remove(future)
        try:
            with readable_os_errors(decoder.array.path):
                result = future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "prepare: a worker process was killed, most likely because the memory was full; "
                "free some, or lower prepare.max_megapixels"
            ) from error
        yield result
