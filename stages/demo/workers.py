"""Photos drawn in several processes, in the order asked for.

Imports little, because every process that draws imports it.
"""

import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import connection, get_context, parent_process

from stages.demo.photo import photograph

Photo = tuple[str, int]
"""A species and a number from 1."""

CHUNK = 16  # photos handed to a process at a time


def cores() -> int:
    """Count the cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def draw_all(wanted: list[Photo], seed: int, image_size_px: int, workers: int) -> Generator[bytes]:
    """Yield a JPEG for each photo wanted, whichever process draws it."""
    draw = partial(photograph, seed=seed, image_size_px=image_size_px)
    # Fresh processes: a fork of a process that has threads, as the tests' may, can hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        yield from pool.map(draw, *zip(*wanted, strict=True), chunksize=CHUNK)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
