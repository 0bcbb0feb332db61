"""The photos that the command line names, and those of them that are rejected."""

import os
import stat
import sys
from collections.abc import Iterable
from math import inf
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.common.errors import PhotoError
from stages.common.names import is_clutter, printable_name
from stages.photos.photo import Limits, decode_photo

LIMITS = Limits(min_side_px=1, max_megapixels=250, max_aspect_ratio=inf)
"""Photos need not be good to train on, but must fit in memory: 250 megapixels take 0.75 GB."""

MAX_BYTES = 2 * 10**9


class Rejected:
    """Prints a line on standard error for each photo or folder that is rejected; counts them."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, path: Path, reason: str) -> None:
        """Print why a photo or folder is rejected."""
        self.count += 1
        print(f"{printable_name(str(path))}: {reason}", file=sys.stderr, flush=True)


def find_photos(arguments: Iterable[Path], rejected: Rejected) -> list[Path]:
    """Return the photos in the order of the arguments, those of a folder sorted.

    In folders, hidden files, readme files and the like are skipped, as prepare does; links to
    folders are not followed.
    """
    found: list[Path] = []
    for path in arguments:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            rejected.add(path, "not found; pass a photo or a folder that exists")
        except OSError as error:
            rejected.add(path, f"cannot be read: {error.strerror}")
        else:
            photos = _photos_in(path, rejected) if is_folder else [path]
            if not photos:
                rejected.add(path, "holds no photos; pass a folder that does, or photos")
            found += photos
    return found


def _photos_in(folder: Path, rejected: Rejected) -> list[Path]:
    def reject(error: OSError) -> None:
        rejected.add(Path(error.filename), f"cannot be listed: {error.strerror}")

    walk = os.walk(folder, onerror=reject)
    files = [Path(parent, name) for parent, _, names in walk for name in names]
    return sorted(path for path in files if not is_clutter(path.relative_to(folder).as_posix()))


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
            raise PhotoError("too_many_bytes", f"over {MAX_BYTES:,} bytes is too large for a photo")
        content = path.read_bytes()
    except OSError as error:
        raise PhotoError("unreadable_file", error.strerror or str(error)) from error
    return decode_photo(content, size_px, LIMITS).pixels
