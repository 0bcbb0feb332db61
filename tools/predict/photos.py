"""The photos that the command line names, and what is wrong with some of them."""

import os
import stat
import sys
from collections.abc import Iterable
from math import inf
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.common.names import is_clutter, printable_name
from stages.common.photo import Limits, PhotoError, decode_photo

LIMITS = Limits(min_side_px=1, max_megapixels=250, max_aspect_ratio=inf)
"""Any photo is worth an answer, but none may fill the memory: 250 megapixels take 0.75 GB."""

MAX_BYTES = 2 * 10**9


class Complaints:
    """Lines on standard error about photos that cannot be used, and their count."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, path: Path, problem: str) -> None:
        """Say what is wrong with a photo or folder."""
        self.count += 1
        print(f"{printable_name(str(path))}: {problem}", file=sys.stderr, flush=True)


def find_photos(arguments: Iterable[Path], complaints: Complaints) -> list[Path]:
    """Return the photos in the order of the arguments, those of a folder sorted.

    In folders, hidden files, readme files and the like are passed over, as prepare does; links to
    folders are not followed.
    """
    found: list[Path] = []
    for path in arguments:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            complaints.add(path, "not found; name photos or folders of photos that are there")
        except OSError as error:
            complaints.add(path, f"cannot be read: {error.strerror}")
        else:
            if stat.S_ISDIR(mode):
                inside = _walk(path, complaints)
                if not inside:
                    complaints.add(path, "holds no photos; name a folder that does, or photos")
                found += inside
            else:
                found.append(path)
    return found


def read_photo(path: Path, size_px: int) -> npt.NDArray[np.uint8]:
    """Decode a photo as prepare does, uint8 of shape (size_px, size_px, 3).

    Raises
    ------
    PhotoError
        If it cannot be read or decoded; docs/photos.md lists the reasons.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError("special_file", "neither a file nor a folder of photos")
        if status.st_size > MAX_BYTES:
            raise PhotoError("too_many_bytes", f"over {MAX_BYTES:,} bytes is no photo")
        content = path.read_bytes()
    except OSError as error:
        raise PhotoError("unreadable_file", error.strerror or str(error)) from error
    return decode_photo(content, size_px, LIMITS).pixels


def _walk(folder: Path, complaints: Complaints) -> list[Path]:
    def complain(error: OSError) -> None:
        complaints.add(Path(error.filename), f"cannot be listed: {error.strerror}")

    files = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=complain)
        for name in names
    ]
    return sorted(path for path in files if not is_clutter(path.relative_to(folder).as_posix()))
