"""Whole files or none: every output takes its final name only when it is complete on disk.

A file is written to a temporary name in the same folder, flushed to the disk, then renamed. A
stage that is killed leaves at most ``.*.partial`` and ``.*.partial.old`` beside its outputs, which
Git and DVC ignore and which the next run removes.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from filelock import SoftFileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from stages.common.errors import UserError
from stages.common.reading import read_bytes

OUTPUT_FOLDERS = ("data", "metrics", "models")
"""The folders that hold the stages' outputs."""

NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What some shares answer to the fsync of a folder, whose entries they write at once."""

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without locks answer."""

Content = TypeVar("Content", bound="Guarded")


def check_output_folders() -> None:
    """Refuse linked folders before the work: DVC fails at them only after a stage has run."""
    for name in OUTPUT_FOLDERS:
        if Path(name).is_symlink():
            raise UserError(
                f"{name}: is a link, and DVC keeps nothing behind one; make it a folder again. For "
                "another disk, link data/prepared or the photos, and see `dvc cache dir`"
            )


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
    """Write a file whole: readers see the old content or the new one, never a part."""
    partial = partial_name(path)
    with readable_os_errors(path):
        if path.exists() and not path.is_file():  # as root, a rename replaces even a device
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
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


class Guarded(BaseModel):
    """The content of a small JSON file with a digest of itself: a flipped bit is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: int
    sha256: str = ""
    """Of the rest; only files of version 1 have none."""

    def digest(self) -> str:
        """Return the sha256 of all other fields."""
        # What a file of an earlier version does not have is not in its digest.
        rest = self.model_dump(mode="json", exclude={"sha256"}, exclude_unset=True)
        return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_guarded(path: Path, content: Guarded) -> None:
    """Write a file for `read_guarded`."""
    content = type(content).model_validate(content.model_dump())  # 1 where a float is due is 1.0
    write_json(path, {**content.model_dump(), "sha256": content.digest()})


def read_guarded(path: Path, kind: type[Content], remedy: str) -> Content:
    """Read a file that the stages wrote, as an instance of its schema."""
    try:
        content = kind.model_validate_json(read_bytes(path))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; {remedy}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    except ValidationError as error:
        detail = error.errors()[0]
        name = ".".join(str(part) for part in detail["loc"]) or "the file"
        raise UserError(f"{path}: {name:.80}: {detail['msg']:.200}; {remedy}") from error
    if content.sha256 != content.digest() and (content.sha256 or content.schema_version > 1):
        raise UserError(f"{path}: is damaged: its sha256 is not that of its content; {remedy}")
    return content


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, with the same bytes on every platform."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` when the block ends well, and vanishes when not.

    A folder that stood at `path` stays until the new one is complete. Killed at any moment, `path`
    is the old folder or the new one; or, between two renames, it is missing, and the next call puts
    the old one back. Where `path` is a link, all this happens where it points.
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
    soft = SoftFileLock(partial_name(path).with_suffix(".partial.lock"))
    with readable_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    try:
        _lock(folder, soft, path)
        yield
    finally:
        soft.release()
        os.close(folder)


def _lock(folder: int, soft: SoftFileLock, path: Path) -> None:
    """Lock an open folder; on a file system without locks, take a lock that is only a file."""
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            soft.acquire(timeout=0)
    except (BlockingIOError, Timeout) as error:
        raise UserError(
            f"{path}: another process is writing into {path.parent}; wait for it or stop it, "
            "then run the same command again"
        ) from error


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
    """Flush a file, or a folder's entries where they can be flushed, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in NOT_FOR_FOLDERS):
            raise
    finally:
        os.close(descriptor)
