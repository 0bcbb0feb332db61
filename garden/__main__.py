"""Draw the built-in garden: reads the ``garden`` section of params.yaml, writes data/demo.

prepare runs it first when ``data.photos`` is garden; ``python -m garden`` runs it by hand. Photos
stay if the same code, parameters and libraries have drawn them.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from garden.garden import draw_garden
from garden.species import SPECIES
from stages.common.errors import run_stage
from stages.common.files import new_folder, write_bytes
from stages.common.params import load_params
from stages.common.schema import DRAWN, Garden
from stages.common.workers import cores

RECORD = DRAWN.with_name(".demo.json")
"""By what the photos in data/demo were drawn, and their digest."""


def main() -> None:
    """Draw all photos, or leave what is there."""
    garden = load_params().garden
    if RECORD.is_file() and RECORD.read_bytes() == record(garden):
        return
    with new_folder(DRAWN) as folder:
        draw_garden(folder, garden, cores())
    write_bytes(RECORD, record(garden))
    print(f"{DRAWN}: drew {garden.photos_per_species} photos of each of {len(SPECIES)} species")


def record(garden: Garden) -> bytes:
    """Return what RECORD holds when the photos in data/demo are those of the present garden."""
    content = {
        "code": digest(Path(__file__).parent, "*.py"),
        "garden": garden.model_dump(),
        "libraries": {name: version(name) for name in ("numpy", "pillow")},
        "photos": digest(DRAWN, "*"),
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def digest(folder: Path, pattern: str) -> str:
    """Return the sha256 of the names and bytes of all files below a folder."""
    names_and_bytes = hashlib.sha256()
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        names_and_bytes.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape"))
        names_and_bytes.update(content)
    return names_and_bytes.hexdigest()


if __name__ == "__main__":
    run_stage(main)
