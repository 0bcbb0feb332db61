"""Where a training's state is kept: two generations of one file, each whole or refused.

The folder is ``$DVC_ROOT/.train_state/<key>/``, outside of DVC's outputs, because DVC deletes
those before a stage starts. The key is a hash of everything that the training depends on, so that a
state can only meet the training that it belongs to.
"""

import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from stages.common.errors import UserError
from stages.common.files import readable_os_errors, write_bytes

KEYS_KEPT = 3
"""Trainings whose states are kept; the oldest go first."""

State = dict[str, Any]


class Vault:
    """The states of one training.

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
        self._lock = FileLock(self.folder / "lock")

    @property
    def _generations(self) -> tuple[Path, Path]:
        return self.folder / "state", self.folder / "state.older"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the training for this process; let the oldest states of other trainings go.

        Raises
        ------
        UserError
            If another process is at the same training.
        """
        owner = self.folder / "pid"
        with readable_os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                who = f"process {owner.read_text()}" if owner.exists() else "another process"
                raise UserError(
                    f"{who} is at this very training already; wait for it or "
                    "stop it, then run the same command again"
                ) from error
        try:
            write_bytes(owner, str(os.getpid()).encode())
            write_bytes(self.folder / "key.json", self._document.encode())
            _drop_oldest(self.folder)
            yield
        finally:
            self._lock.release()

    def save(self, state: State) -> None:
        """Write a state; the one before it stays as the older generation."""
        buffer = io.BytesIO()
        torch.save({"key": self._document, "state": state}, buffer)
        newest, older = self._generations
        with readable_os_errors(newest):
            if newest.exists():
                newest.replace(older)
        write_bytes(newest, _seal(buffer.getvalue()))

    def load(self) -> State | None:
        """Return the newest state that is whole and of this training, if there is one."""
        for path in filter(Path.exists, self._generations):
            try:
                return self._read(path)
            except (OSError, ValueError) as error:
                print(f"{path}: is not used: {error}", file=sys.stderr)
                path.unlink(missing_ok=True)  # else the next save would keep it as the older one
        if any(self.folder.parent.glob("*/state")):
            print("no saved state is of these parameters, photos, code and versions: starting anew")
        return None

    def _read(self, path: Path) -> State:
        """Return a file's state; a ValueError says why it cannot be trusted."""
        content = _unseal(path.read_bytes())
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if saved["key"] != self._document:
            raise ValueError("it is of another training")
        state: State = saved["state"]
        return state

    def clear(self) -> None:
        """Forget the states: the training is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _seal(content: bytes) -> bytes:
    """Put a digest before the content."""
    return hashlib.sha256(content).digest() + content


def _unseal(sealed: bytes) -> bytes:
    """Return the content.

    Raises
    ------
    ValueError
        If a single bit is not as it was written.
    """
    digest, content = sealed[:32], sealed[32:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its digest is not that of its content")
    return content


def _drop_oldest(newest: Path) -> None:
    """Remove the oldest states, but none of a training that is running."""
    others = [folder for folder in newest.parent.iterdir() if folder.is_dir() and folder != newest]
    others.sort(key=_last_saved)
    for folder in others[: max(len(others) + 1 - KEYS_KEPT, 0)]:
        with suppress(Timeout, OSError), FileLock(folder / "lock", timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


def _last_saved(folder: Path) -> float:
    """Return when a training was last saved; one that just ended has no folder any more."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0
