"""Every photo of the garden, in one folder per species."""

from contextlib import closing
from itertools import product
from pathlib import Path

from tqdm import tqdm

from stages.common.files import clear_errors
from stages.common.params import Demo
from stages.demo.species import SPECIES
from stages.demo.workers import draw_all


def draw_garden(folder: Path, demo: Demo, workers: int) -> None:
    """Write ``<species>/<species>_0001.jpg`` and so on into a folder, with a bar in a terminal.

    Raises
    ------
    UserError
        If a photo cannot be written.
    """
    wanted = list(product(SPECIES, range(1, demo.photos_per_species + 1)))
    for species in SPECIES:
        (folder / species).mkdir()
    drawing = draw_all(wanted, demo.seed, demo.image_size_px, workers)
    with closing(drawing) as drawn:  # a failure here stops the workers at once
        bar = tqdm(drawn, "demo", len(wanted), unit=" photos", ncols=80, disable=None)
        for (species, number), photo in zip(wanted, bar, strict=True):
            path = folder / species / f"{species}_{number:04}.jpg"
            with clear_errors(path):
                path.write_bytes(photo)
