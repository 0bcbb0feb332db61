"""Photos drawn in several processes, in the order asked for.

Imports little, because every process that draws imports it.
"""

from collections.abc import Generator
from functools import partial

from garden.photograph import photograph
from stages.common.workers import worker_pool

Photo = tuple[str, int]
"""A species and a number from 1."""

CHUNK = 16  # photos handed to a process at a time


def draw_all(wanted: list[Photo], seed: int, image_size_px: int, workers: int) -> Generator[bytes]:
    """Yield a JPEG for each photo wanted, whichever process draws it."""
    draw = partial(photograph, seed=seed, image_size_px=image_size_px)
    with worker_pool(workers) as pool:
        yield from pool.map(draw, *zip(*wanted, strict=True), chunksize=CHUNK)
