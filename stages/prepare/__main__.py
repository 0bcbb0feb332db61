"""Photos to the store.

Reads the photos that ``data.photos`` names; those of the built-in garden are drawn first. Writes
data/prepared and, in metrics/, prepare.json, photos.csv and photos.png.

Run it with ``python -m stages.prepare``, or through ``dvc repro``.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.files import check_output_folders, new_folder, write_bytes, write_csv, write_json
from stages.common.inputs import Inputs
from stages.common.params import load_params
from stages.common.schema import GARDEN
from stages.common.store import STORE
from stages.common.workers import run_module
from stages.drawing import png
from stages.prepare.stage import describe, list_taken, prepare_store, summarize

SECTIONS = ("data", "garden", "model.weights", "prepare")
CODE = (
    "stages/__init__.py",
    "stages/drawing.py",
    "stages/common",
    "stages/photos",
    "stages/prepare",
)
"""What DVC records of params.yaml and of modules; see dvc.yaml."""

SUMMARY = Path("metrics/prepare.json")
PICTURE = Path("metrics/photos.png")
TAKEN = Path("metrics/photos.csv")


def main() -> None:
    """Make the store, and say what became of the photos."""
    inputs = Inputs(SECTIONS, CODE)
    params = load_params()
    check_output_folders()
    if params.data.photos == GARDEN:
        inputs.add(Path(GARDEN))
        run_module(GARDEN)
    inputs.add(params.data.source)
    with new_folder(STORE) as folder:
        outcome = prepare_store(params.data.source, params.prepare, folder)
        write_json(SUMMARY, summarize(outcome))
        write_csv(TAKEN, list_taken(outcome))
        write_bytes(PICTURE, png(outcome.picture))
    print(describe(outcome), flush=True)
    inputs.check()


if __name__ == "__main__":
    run_stage(main)
