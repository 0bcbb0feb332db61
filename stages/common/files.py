"""Whole files or none: every output takes its final name only when it is complete on disk.

A file is written to a temporary name in the same folder, flushed to the disk, then renamed. A
stage that is killed leaves at most ``.*.partial`` and ``.*.partial.old`` beside its outputs, which
Git and DVC ignore and which the next run removes.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from stages.common.errors import UserError

OUTPUT_FOLDERS = ("data", "metrics", "models")
"""The folders that hold the stages' outputs."""

Content = TypeVar("Content", bound=BaseModel)


def check_output_folders() -> None:
    """Refuse linked folders before the work: DVC fails at them only after a stage has run.

    Raises
    ------
    UserError
    """
    for name in OUTPUT_FOLDERS:
        if Path(name).is_symlink():
            raise UserError(
                f"{name}: is a link, and DVC keeps nothing behind one; make it a folder again. For "
                "another disk, link data/prepared or the photos, and see `dvc cache dir`"
            )


def partial_name(path: Path) -> Path:
    """Return the temporary name beside `path`, hidden from Git and DVC."""
    return path.with_name(f".{path.name}.partial")


def check_regular(path: Path) -> None:
    """Refuse what is there but no regular file: reading a pipe waits, and a device may never end.

    Raises
    ------
    OSError
        Which says so.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is not a regular file", str(path))


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
        check_regular(path)  # as root, a rename replaces even a device
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
        _sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a diff reads well: indented, keys in the given order, no NaN."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, kind: type[Content], remedy: str) -> Content:
    """Read a file that the stages wrote, as an instance of its schema.

    Raises
    ------
    UserError
        If it is missing, damaged or of another schema; the message ends with the remedy.
    """
    try:
        check_regular(path)
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; {remedy}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    except ValidationError as error:
        detail = error.errors()[0]
        name = ".".join(str(part) for part in detail["loc"]) or "the file"
        raise UserError(f"{path}: {name:.80}: {detail['msg']:.200}; {remedy}") from error


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, with the same bytes on every platform."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` when the block ends well, and vanishes when not.

    A folder that stood at `path` stays until the new one is complete. Killed at any moment, `path`
    is the old folder or the new one; or, between two renames, it is missing, and the next call puts
    the old one back. Where `path` is a link, all this happens where it points.

    Raises
    ------
    UserError
        If the folder cannot be written, or another process is writing beside it.
    """
    path = path.resolve() if path.is_symlink() else path
    partial = partial_name(path)
    with _only_writer(path):
        with readable_os_errors(path):
            _finish_replacement(path, partial)
            if path.exists() and not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            partial.mkdir()
        try:
            yield partial
            with readable_os_errors(path):
                sync_tree(partial)
                if path.exists():
                    path.rename(_old_name(partial))
                partial.rename(path)
                _sync(path.parent)
        finally:
            with readable_os_errors(path):
                _finish_replacement(path, partial)


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Lock the folder that `path` is in, against another process that would write there too.

    The lock leaves no file behind, and ends with the process.
    """
    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{path}: another process is writing into {path.parent}; wait for it or stop it, "
                "then run the same command again"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(folder)


def _old_name(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.old")


def _finish_replacement(path: Path, partial: Path) -> None:
    """Remove what was replaced or is half made; put the old folder back where the new one is not.

    The old one, though the new one may be complete: it fits the other outputs. It gets another
    name before its files go, so that under the name of an old folder there is always a whole one.
    """
    _remove(partial)
    old = _old_name(partial)
    if old.exists():
        old.rename(partial if path.exists() else path)
        _remove(partial)


def _remove(folder: Path) -> None:
    """Remove a folder, also one in which nothing may be written."""
    for parent, _, _ in os.walk(folder):
        with suppress(OSError):
            Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, itself included, to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
