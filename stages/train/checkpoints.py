"""Checkpoints of a running training: two generations of one file, each complete or refused.

The folder is ``$DVC_ROOT/.train_state/<key>/``, outside of DVC's outputs, because DVC deletes
those before a stage starts. The key is a hash of everything that the training depends on, so that a
checkpoint can only meet the training that it belongs to.
"""

import hashlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from stages.common.errors import UserError
from stages.common.files import NO_LOCKS, readable_os_errors, write_bytes

KEYS_KEPT = 3
"""Trainings whose checkpoints are kept; the oldest go first."""

FINISHED = "model.md5"
"""In the folder of a training that ended: what dvc.lock calls its model."""

DIGEST_BYTES = 32
SECONDS_BETWEEN_TRIES = 0.2

StateDict = dict[str, Any]


class Checkpoints:
    """The checkpoints of one training.

    Parameters
    ----------
    root : Path
        Holds a folder per key.
    document : dict
        All that the training depends on, as JSON values.
    """

    def __init__(self, root: Path, document: dict[str, Any]) -> None:
        self._document = json.dumps(document, sort_keys=True, indent=2)
        self.folder = root / hashlib.sha256(self._document.encode()).hexdigest()[:16]
        self._newest = self.folder / "checkpoint"
        self._older = self.folder / "checkpoint.older"
        self._finished = self.folder / FINISHED

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Take the training for this process; drop the oldest checkpoints of other trainings.

        If another process is at the same training, as a second worker of a queue may be, wait for
        it, and say so once.
        """
        with readable_os_errors(self.folder):
            lock = self._wait_for_lock()
        try:
            write_bytes(self.folder / "pid", str(os.getpid()).encode())
            write_bytes(self.folder / "key.json", self._document.encode())
            self._drop_recorded()
            _drop_oldest(self.folder)
            yield
        finally:
            lock.release()

    def _wait_for_lock(self) -> BaseFileLock:
        is_told = False
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)  # it may be dropped just now
            with suppress(Timeout, FileNotFoundError):
                return _lock(self.folder)
            if not is_told:
                print(
                    f"{self._owner()} is already running this training: waiting for it to end",
                    flush=True,
                )
                is_told = True
            time.sleep(SECONDS_BETWEEN_TRIES)

    def _owner(self) -> str:
        with suppress(FileNotFoundError):  # it may be removed just now
            return f"process {(self.folder / 'pid').read_text()}"
        return "another process"

    def save(self, state: StateDict) -> None:
        """Write a checkpoint; the one before it stays as the older generation."""
        buffer = io.BytesIO()
        torch.save({"key": self._document, "state": state}, buffer)
        with readable_os_errors(self._newest):
            if self._newest.exists():
                self._newest.replace(self._older)
        write_bytes(self._newest, _with_digest(buffer.getvalue()))

    def load(self) -> StateDict | None:
        """Return the newest checkpoint that is intact and of this training, if there is one."""
        for path in filter(Path.is_file, (self._newest, self._older)):
            try:
                return self._read(path)
            except OSError as error:  # it may be intact
                raise UserError(
                    f"{path}: cannot be read: {error.strerror}; fix that, or start again with "
                    "FLOWERBED_FRESH=1"
                ) from error
            except ValueError as error:
                print(f"{path}: is not used: {error}", file=sys.stderr)
                path.unlink(missing_ok=True)  # else the next save would keep it as the older one
        others = {path.parent for path in self.folder.parent.glob(f"*/{self._newest.name}")}
        if any(not (folder / FINISHED).exists() for folder in others):
            print("there are checkpoints of other trainings, none of this one: starting at epoch 1")
        return None

    def clear(self) -> None:
        """Forget the checkpoints."""
        for path in (self._finished, self._newest, self._older):
            path.unlink(missing_ok=True)

    def keep(self, model: Path) -> None:
        """Keep only the last checkpoint of a training that ended, until DVC has its model."""
        md5 = hashlib.md5(model.read_bytes(), usedforsecurity=False).hexdigest()
        write_bytes(self._finished, md5.encode())
        self._older.unlink(missing_ok=True)

    def _drop_recorded(self) -> None:
        """Forget the trainings that ended in a model that dvc.lock names: DVC has it."""
        lock = Path("dvc.lock")
        recorded = lock.read_text(encoding="utf-8") if lock.is_file() else ""
        for finished in self.folder.parent.glob(f"*/{FINISHED}"):
            with suppress(OSError):  # another process may drop it
                if finished.read_text() in recorded:
                    _drop(finished.parent) if finished != self._finished else self.clear()

    def _read(self, path: Path) -> StateDict:
        """Return a file's state; a ValueError says why it cannot be trusted."""
        content = _without_digest(path.read_bytes())
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            document, state = saved["key"], saved["state"]
        except Exception as error:  # whatever a file of another kind makes PyTorch raise
            raise ValueError(f"it is not a checkpoint: {type(error).__name__}") from error
        if document != self._document or not isinstance(state, dict):
            raise ValueError("it is of another training")
        return state


def misfit(error: Exception) -> UserError:
    """Return the error that an intact checkpoint holds something else than it should."""
    return UserError(
        f"the checkpoint does not fit this training ({type(error).__name__}: {error!s:.100}); "
        "start again with `FLOWERBED_FRESH=1 dvc repro`"
    )


def _with_digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def _without_digest(file: bytes) -> bytes:
    """Return what follows the digest; a ValueError says that a bit is not as it was written."""
    digest, content = file[:DIGEST_BYTES], file[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its digest is not that of its content")
    return content


def _lock(folder: Path) -> BaseFileLock:
    """Lock the folder of a training, or raise Timeout at once if another process has it."""
    lock: BaseFileLock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except OSError as error:  # Timeout, which is one, has no number
        if error.errno not in NO_LOCKS:
            raise
        # On a file system without locks, a file that is there is one.
        lock = SoftFileLock(folder / "lock.soft")
        lock.acquire(timeout=0)
    return lock


def _drop_oldest(newest: Path) -> None:
    """Remove the oldest checkpoints."""
    others = [folder for folder in newest.parent.iterdir() if folder.is_dir() and folder != newest]
    others.sort(key=_last_saved)
    for folder in others[: max(len(others) + 1 - KEYS_KEPT, 0)]:
        _drop(folder)


def _drop(folder: Path) -> None:
    """Remove the checkpoints of a training, unless it is running."""
    with suppress(OSError):
        lock = _lock(folder)
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _last_saved(folder: Path) -> float:
    """Return when a training was last saved; one that just ended has no folder any more."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0
