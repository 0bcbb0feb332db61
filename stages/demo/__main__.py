"""Draw the built-in garden: reads the ``demo`` section of params.yaml, writes data/demo.

Run it as ``python -m stages.demo``; ``dvc repro data/dvc.yaml`` does so when something changed.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.files import new_folder
from stages.common.params import load_params
from stages.common.workers import cores
from stages.demo.garden import draw_garden
from stages.demo.species import SPECIES

PHOTOS = Path("data/demo")


def main() -> None:
    """Draw all photos, or leave what was there."""
    demo = load_params().demo
    with new_folder(PHOTOS) as folder:
        draw_garden(folder, demo, cores())
    print(f"{PHOTOS}: drew {demo.photos_per_species} photos of each of {len(SPECIES)} species")


if __name__ == "__main__":
    run_stage(main)
