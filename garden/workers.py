"""Photos drawn in several processes, in the order asked for.

Imports little, because every process that draws imports it.
"""

from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from garden.photo import photograph
from stages.common.workers import start_worker

Photo = tuple[str, int]
"""A species and a number from 1."""

CHUNK = 16  # photos handed to a process at a time


def draw_all(wanted: list[Photo], seed: int, image_size_px: int, workers: int) -> Generator[bytes]:
    """Yield a JPEG for each photo wanted, whichever process draws it."""
    draw = partial(photograph, seed=seed, image_size_px=image_size_px)
    # Fresh processes: a fork of a process that has threads, as the tests' may, can hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), start_worker) as pool:
        yield from pool.map(draw, *zip(*wanted, strict=True), chunksize=CHUNK)
