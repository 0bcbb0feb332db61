"""Every photo of the garden, in one folder per species."""

from contextlib import closing
from itertools import product
from pathlib import Path

from tqdm import tqdm

from garden.species import SPECIES
from garden.workers import draw_all
from stages.common.files import readable_os_errors
from stages.common.schema import Garden


def draw_garden(folder: Path, garden: Garden, workers: int) -> None:
    """Write ``<species>/<species>_0001.jpg`` and so on into a folder, with a bar in a terminal.

    Raises
    ------
    UserError
        If a photo cannot be written.
    """
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
