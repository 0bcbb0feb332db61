"""Files are read without waiting and without end, whatever stands in their place by then.

Imports little, because every worker process imports it.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from stages.common.errors import PhotoError

LARGEST = 64_000_000
"""Bytes of the largest file that is read at once, where nothing else is said."""

CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""Where DVC keeps a file's content; with `cache.type symlink` a tracked file is a link there."""


@contextmanager
def open_regular(path: Path, flags: int = 0) -> Iterator[BufferedReader]:
    """Open a file to read, but no pipe, which may wait, and no device, which may never end.

    Raises
    ------
    OSError
        Which says so in ``strerror``.
    """
    # Opened before it is looked at: between the two, somebody might put a pipe in its place.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_bytes(path: Path, most: int = LARGEST, flags: int = 0) -> bytes:
    """Read a regular file; an OSError says so if it has over `most` bytes, also if it grows."""
    with open_regular(path, flags) as file:
        too_large = os.fstat(file.fileno()).st_size > most
        content = b"" if too_large else file.read(most + 1)
        if too_large or len(content) > most:
            raise OSError(errno.EFBIG, f"has over {most:,} bytes", str(path))
    return content


def read_photo_file(path: Path, most: int, is_listed: bool = True) -> bytes:
    """Read a photo's file; a PhotoError says why it cannot be.

    A photo that is listed as a file may be a link by now only if it leads into DVC's cache.
    """
    is_plain = is_listed and not (path.is_symlink() and CACHED.search(str(path.readlink())))
    try:
        return read_bytes(path, most, os.O_NOFOLLOW if is_plain else 0)
    except FileNotFoundError as error:
        raise PhotoError("vanished", "was listed, then was gone") from error
    except OSError as error:
        reasons = {
            errno.EINVAL: ("special_file", "a device, a socket or a pipe"),
            errno.ENXIO: ("special_file", "a device, a socket or a pipe"),
            errno.EFBIG: ("too_many_bytes", f"over {most:,} bytes is too large for a photo"),
            errno.ELOOP: ("link_outside", "was listed as a file, and is a link now"),
        }
        other = "unreadable_file", error.strerror or str(error)
        raise PhotoError(*reasons.get(error.errno or 0, other)) from error
