"""Every photo of the garden, in one folder per species."""

from collections.abc import Generator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path

from tqdm import tqdm

from garden.photograph import photograph
from garden.species import SPECIES
from stages.common.errors import UserError
from stages.common.files import readable_os_errors
from stages.common.schema import Garden
from stages.common.workers import worker_pool


def draw_garden(folder: Path, garden: Garden, workers: int) -> None:
    """Write ``<species>/<species>_0001.jpg`` and so on into a folder, with a bar in a terminal."""
    wanted = list(product(SPECIES, range(1, garden.photos_per_species + 1)))
    for species in SPECIES:
        (folder / species).mkdir()
    drawing = draw_all(wanted, garden.seed, garden.image_size_px, workers)
    with closing(drawing) as drawn:  # a failure here stops the workers at once
        bar = tqdm(drawn, "garden", len(wanted), unit=" photos", ncols=80, disable=None)
        for (species, number), photo in zip(wanted, bar, strict=True):
            path = folder / species / f"{species}_{number:04}.jpg"
            with readable_os_errors(path):
                path.write_bytes(photo)


Photo = tuple[str, int]
"""A species and a number from 1."""

CHUNK = 16  # photos handed to a process at a time


def draw_all(wanted: list[Photo], seed: int, image_size_px: int, workers: int) -> Generator[bytes]:
    """Yield a JPEG for each photo wanted, whichever process draws it."""
    draw = partial(photograph, seed=seed, image_size_px=image_size_px)
    try:
        with worker_pool(workers) as pool:
            yield from pool.map(draw, *zip(*wanted, strict=True), chunksize=CHUNK)
    except BrokenProcessPool as error:
        raise UserError(
            "garden: a worker process was killed, most likely because the memory was full; free "
            "some, or lower garden.image_size_px, and run the same command again"
        ) from error
