"""Archives of photos, read as a stream and never unpacked to disk."""

import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from stages.common.errors import UserError
from stages.common.photo import PhotoError
from stages.prepare.entries import Content, Entry, link_target

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    NotImplementedError,
)
"""What the readers of archives raise for wrong bytes."""

LONGEST_LINK = 4096
"""Bytes of the longest path of any system."""


class Tar:
    """A .tar, .tar.gz or .tgz archive, passed through once to list it and once to read it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> Iterator[Entry]:
        """Give every member that is not a folder; of two with one name the later counts.

        Raises
        ------
        UserError
            If the archive is damaged.
        """
        with self._stream() as archive:
            members = [member for member in archive if not member.isdir()]
        yield from {member.name: _tar_entry(member) for member in members}.values()

    def contents(self, wanted: Mapping[Entry, list[int]]) -> Iterator[tuple[int, Content]]:
        """Give the wanted files' bytes in the archive's order."""
        numbers_at = {entry.place: numbers for entry, numbers in wanted.items()}
        with self._stream() as archive:
            for member in archive:
                if numbers := numbers_at.get(member.offset):
                    file = archive.extractfile(member)
                    assert file is not None
                    content = file.read()
                    for number in numbers:
                        yield number, content

    @contextmanager
    def _stream(self) -> Iterator[tarfile.TarFile]:
        with _clear_damage(self.path), _unpacked(self.path) as file:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                yield archive
            while file.read(1 << 20):  # to the end, where gzip checks what it gave
                pass


class Zip:
    """A .zip archive."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> Iterator[Entry]:
        """Give every member that is not a folder; of two with one name the later counts.

        Raises
        ------
        UserError
            If the archive is damaged.
        """
        with _clear_damage(self.path), zipfile.ZipFile(self.path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            for member in members.values():
                if not member.is_dir():
                    yield _zip_entry(archive, member)

    def contents(self, wanted: Mapping[Entry, list[int]]) -> Iterator[tuple[int, Content]]:
        """Give the wanted files' bytes in the archive's order, or why one has none."""
        numbers_at = {entry.place: numbers for entry, numbers in wanted.items()}
        with _clear_damage(self.path), zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                if numbers := numbers_at.get(member.header_offset):
                    content = _zip_content(archive, member)
                    for number in numbers:
                        yield number, content


def _tar_entry(member: tarfile.TarInfo) -> Entry:
    name = member.name
    if member.issym():
        return Entry(name, "link", target=link_target(name, member.linkname))
    if member.islnk():  # a hard link names its target from the top of the archive
        return Entry(name, "link", target=member.linkname)
    if not member.isfile():
        return Entry(name, "special")
    return Entry(name, "file", size=member.size, place=member.offset)


def _zip_entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        content = _zip_content(archive, member) if member.file_size <= LONGEST_LINK else b""
        target = content.decode(errors="surrogateescape") if isinstance(content, bytes) else ""
        return Entry(member.filename, "link", target=link_target(member.filename, target))
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Entry(member.filename, "special")
    return Entry(member.filename, "file", size=member.file_size, place=member.header_offset)


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | PhotoError:
    try:
        return archive.read(member)
    except RuntimeError as error:  # encrypted, or packed by a rare method
        return PhotoError("unreadable_file", str(error))
    except DAMAGED as error:
        return PhotoError("damaged", f"damaged in the archive: {error}")


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")


@contextmanager
def _clear_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise UserError(
            f"{path}: is not an archive that can be read to its end: {error}; fetch it again"
        ) from error
