"""Draw every photo of the garden on all cores, into one folder per species."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from stages.common.files import clear_errors
from stages.common.params import Demo
from stages.demo.photo import photograph
from stages.demo.species import SPECIES

Photo = tuple[str, int]
"""A species and a number from 1."""


def draw_garden(folder: Path, demo: Demo, workers: int) -> None:
    """Write ``<species>/<species>_0001.jpg`` and so on into a folder.

    Raises
    ------
    UserError
        If a photo cannot be written.
    """
    wanted = list(product(SPECIES, range(1, demo.photos_per_species + 1)))
    for species in SPECIES:
        (folder / species).mkdir()
    drawn = _draw_all(wanted, demo, workers)
    for (species, number), photo in zip(wanted, _with_bar(drawn, len(wanted)), strict=True):
        path = folder / species / f"{species}_{number:04}.jpg"
        with clear_errors(path):
            path.write_bytes(photo)


def available_cores() -> int:
    """Count the cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _draw_all(wanted: list[Photo], demo: Demo, workers: int) -> Iterator[bytes]:
    """Yield the photos in the order wanted, whichever process draws them."""
    draw = partial(_draw, demo)
    # Fresh processes: a fork of one with threads, as a test's may have, can hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _leave_ctrl_c_to_parent) as pool:
        yield from pool.map(draw, wanted, chunksize=16)


def _draw(demo: Demo, photo: Photo) -> bytes:
    species, number = photo
    return photograph(species, number, demo.seed, demo.image_size_px)


def _leave_ctrl_c_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _with_bar(photos: Iterator[bytes], total: int) -> Iterator[bytes]:
    """Show a bar where a person watches, and nothing in a log."""
    return iter(
        tqdm(photos, "drawing", total, ncols=80, unit="photo", disable=not sys.stderr.isatty())
    )
