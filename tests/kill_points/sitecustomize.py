"""Sends a stage a signal at one of its writes, fsyncs, renames or unlinks, or after some seconds.

Python imports this module at its start when its folder is on PYTHONPATH, where tests put it. The
process of the stage numbers what it does to the disk from 1: every write to a file opened for
binary writing, every fsync, every rename, every file or folder removed. It appends them, one per
line, to the file KILL_LOG; at the number KILL_AT of the stage KILL_STAGE it gets the signal
KILL_SIGNAL (SIGKILL if not given): in the middle of the write, or before any of the others. With
KILL_AFTER the signal comes so many seconds after the start, or at the process's end if that is
earlier. The log's last line of a stage, numbered 0, has the seconds it took.
"""

import atexit
import io
import os
import shutil  # noqa: F401  # it looks at os before that is watched
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

STAGES = ("garden", "stages.prepare", "stages.train", "stages.evaluate")
STAGE = next((n.removeprefix("stages.") for n in sys.orig_argv[1:] if n in STAGES), "")
MEANT = bool(STAGE) and os.environ.get("KILL_STAGE") == STAGE
KILL_AT = int(os.environ.get("KILL_AT", 0)) if MEANT else 0
KILL_AFTER = float(os.environ.get("KILL_AFTER", 0)) if MEANT else 0
KILL_SIGNAL = signal.Signals[os.environ.get("KILL_SIGNAL", "SIGKILL")]
LOG = os.environ.get("KILL_LOG")
PROCESS = os.getpid()
START = time.monotonic()

open_file = io.open
passed = 0


def is_time(what: str, path: object) -> bool:
    """Count a point, and tell whether it is the one to strike at."""
    global passed
    if os.getpid() != PROCESS:  # a worker process: killing it is not killing the stage
        return False
    passed += 1
    note(passed, what, Path(str(path)).name)
    return passed == KILL_AT


def note(number: int, what: str, detail: object) -> None:
    if LOG and os.getpid() == PROCESS:
        with open_file(LOG, "a") as log:
            log.write(f"{STAGE},{number},{what},{detail}\n")


def strike() -> None:
    os.kill(os.getpid(), KILL_SIGNAL)


class Watched:
    """A file that may be struck in the middle of a write."""

    def __init__(self, file: Any, path: object) -> None:
        self._file, self._path = file, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> int:
        if not is_time("write", self._path):
            return int(self._file.write(content))
        half = len(content) // 2
        self._file.write(bytes(content)[:half])
        self._file.flush()
        strike()
        self._file.write(bytes(content)[half:])
        return len(content)


def watched_open(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
    file = open_file(path, mode, *arguments, **options)
    return Watched(file, path) if "b" in mode and set(mode) & set("wax+") else file


def watched(step: Any, what: str, place: int) -> Any:
    """Return a step that may be struck before it is taken; the file is its argument at `place`."""

    def watched_step(*arguments: Any, **options: Any) -> Any:
        if is_time(what, arguments[place]):
            strike()
        return step(*arguments, **options)

    return watched_step


if STAGE and (KILL_AT or LOG):
    os.fsync = watched(os.fsync, "fsync", 0)
    os.rename, os.replace = watched(os.rename, "rename", 1), watched(os.replace, "rename", 1)
    os.unlink, os.remove = watched(os.unlink, "unlink", 0), watched(os.remove, "unlink", 0)
    os.rmdir = watched(os.rmdir, "unlink", 0)
    vars(io)["open"] = watched_open
    atexit.register(lambda: note(0, "seconds", time.monotonic() - START))
if KILL_AFTER:
    timer = threading.Timer(KILL_AFTER, strike)
    timer.daemon = True
    timer.start()
    atexit.register(strike)
