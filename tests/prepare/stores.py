"""Make stores and archives of photos."""

import random
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from stages.prepare.stage import Outcome, prepare_store
from tests.hazards import settings


def prepared(source: Path, folder: Path, workers: int = 1, **changes: Any) -> Outcome:
    folder.mkdir()
    return prepare_store(source, settings(**changes), folder, workers)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def pack(root: Path, archive: Path, wrapper: str = "") -> Path:
    """Pack a folder as the archive's suffix says, in no particular order."""
    names = {path: wrapper + path.relative_to(root).as_posix() for path in shuffled(root)}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path, name in names.items():
                if path.is_symlink():
                    member = zipfile.ZipInfo(name)
                    member.external_attr = 0o120777 << 16
                    file.writestr(member, str(path.readlink()))
                else:
                    file.write(path, name)
    else:
        with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as file:
            for path, name in names.items():
                file.add(path, name, recursive=False)
    return archive


def shuffled(root: Path) -> list[Path]:
    paths = sorted(root.rglob("*"))
    random.Random(1).shuffle(paths)
    return paths
