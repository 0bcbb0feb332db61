"""Draw the built-in garden: reads the ``garden`` section of params.yaml, writes data/demo.

Run it as ``python -m garden``; ``dvc repro data/dvc.yaml`` does so when something changed.
"""

from pathlib import Path

from garden.garden import draw_garden
from garden.species import SPECIES
from stages.common.errors import run_stage
from stages.common.files import new_folder
from stages.common.params import load_params
from stages.common.workers import cores

PHOTOS = Path("data/demo")


def main() -> None:
    """Draw all photos, or leave what was there."""
    garden = load_params().garden
    with new_folder(PHOTOS) as folder:
        draw_garden(folder, garden, cores())
    print(f"{PHOTOS}: drew {garden.photos_per_species} photos of each of {len(SPECIES)} species")


if __name__ == "__main__":
    run_stage(main)
