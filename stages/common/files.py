"""Whole files or none: every output takes its final name only when it is complete on disk.

A file is written to a temporary name in the same folder, flushed to the disk, then renamed. A
stage that is killed leaves at most a ``.*.partial`` beside its outputs, which Git and DVC ignore
and which the next run removes.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.errors import UserError


def partial_name(path: Path) -> Path:
    """Return the temporary name beside `path`, hidden from Git and DVC."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def readable_os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block (a full disk, a lost permission) into a line naming `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"{path}: cannot be written: {reason}; check the folder's permissions and free space"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole: readers see the old content or the new one, never a part.

    Raises
    ------
    UserError
        If the file cannot be written; the old one is then still in place.
    """
    partial = partial_name(path)
    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a diff reads well: indented, keys in the given order, no NaN."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, with the same bytes on every platform."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` when the block ends well, and vanishes when not.

    A folder that stood at `path` stays until the new one is complete.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    partial = partial_name(path)
    with readable_os_errors(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    try:
        yield partial
        with readable_os_errors(path):
            sync_tree(partial)
            if path.exists():
                shutil.rmtree(path)
            partial.rename(path)
            sync_folder(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, itself included, to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        sync_folder(Path(parent))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the platform can (Windows cannot)."""
    if os.name == "posix":
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
