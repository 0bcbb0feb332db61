"""The array of all images, written out of order and compacted afterwards.

It writes to reserved space instead of a memory map: on a full disk a write raises an error, where
touching a map kills the process, and what is written does not count as the process's memory.
"""

import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

HEADER_BYTES = 128


@dataclass(frozen=True)
class ArrayFile:
    """An .npy file of square RGB images.

    Attributes
    ----------
    path : Path
    side_px : int
        Side S of each image.
    """

    path: Path
    side_px: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return self.side_px * self.side_px * 3

    def reserve(self, rows: int) -> None:
        """Create the file and allocate its space, so that a full disk is noticed at once."""
        size = HEADER_BYTES + rows * self.row_bytes
        with self.path.open("wb") as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)

    def open_for_writing(self) -> FileIO:
        """Open the reserved file for `write`, once for a chunk of images."""
        return FileIO(self.path, "r+b")

    def write(self, file: FileIO, row: int, pixels: bytes) -> None:
        """Write an image of `row_bytes`, uint8 RGB in C order."""
        file.seek(HEADER_BYTES + row * self.row_bytes)
        file.write(pixels)

    def read(self, row: int) -> npt.NDArray[np.uint8]:
        """Return an image, uint8 of shape (S, S, 3)."""
        with self.path.open("rb") as file:
            file.seek(HEADER_BYTES + row * self.row_bytes)
            pixels = np.frombuffer(file.read(self.row_bytes), np.uint8)
        return pixels.reshape(self.side_px, self.side_px, 3)

    def compact(self, kept: Iterable[int]) -> str:
        """Keep only some images, in ascending order, and return the finished file's sha256."""
        shape = (len(kept := list(kept)), self.side_px, self.side_px, 3)
        digest = hashlib.sha256()
        with self.path.open("r+b") as file:
            header = _header(shape)
            file.write(header)
            digest.update(header)
            for row, old_row in enumerate(kept):
                file.seek(HEADER_BYTES + old_row * self.row_bytes)
                pixels = file.read(self.row_bytes)
                digest.update(pixels)
                if row != old_row:
                    file.seek(HEADER_BYTES + row * self.row_bytes)
                    file.write(pixels)
            file.truncate(HEADER_BYTES + len(kept) * self.row_bytes)
        return digest.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    assert stream.tell() == HEADER_BYTES
    return stream.getvalue()
