"""Archives of photos, read as streams and never unpacked; an incomplete one is an error."""

import gzip
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from stages.common.errors import PhotoError, UserError
from stages.prepare.decoder import Content
from stages.prepare.entries import Entry, link_entry

FORMAT_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
SENSELESS_NUMBERS = (ValueError, IndexError, OverflowError, MemoryError, RecursionError)
DAMAGED = (*FORMAT_ERRORS, *SENSELESS_NUMBERS, OSError, EOFError, NotImplementedError)
"""What the readers of archives raise for wrong bytes."""

GNU_LABEL, GNU_FOLDER = b"V", b"D"
"""Kinds of members that tarfile does not know."""

ZIP_END = struct.Struct("<4s6xH10x")
"""The record at a zip's end: its signature, and the number of members."""
ZIP64 = 0xFFFF
"""Stands for a number of members that is elsewhere."""
LONGEST_DESCRIPTOR = 24
"""Bytes that may follow a member in a zip."""

LONGEST_LINK = 4096
"""Bytes of the longest path of any system."""


@dataclass(frozen=True)
class Tar:
    """A .tar, .tar.gz or .tgz archive, passed through once to list it and once to read it."""

    path: Path

    def entries(self) -> Iterator[Entry]:
        """Give every member; of two with one name, the later counts. Folders may be missing."""
        with self._stream() as archive:
            entries = [_tar_entry(member) for member in archive if not _says_nothing(member)]
        yield from with_slashes(entries)

    def contents(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Content]]:
        """Give the files' bytes in the archive's order."""
        entry_at = {entry.offset: entry for entry in entries}
        with self._stream() as archive:
            for member in archive:
                if entry := entry_at.get(member.offset):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield entry, file.read()

    @contextmanager
    def _stream(self) -> Iterator[tarfile.TarFile]:
        with _readable_damage(self.path), _decompressed(self.path) as file:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                yield archive
                end = archive.offset
            _check_end(file, end)


@dataclass(frozen=True)
class Zip:
    """A .zip archive."""

    path: Path

    def entries(self) -> Iterator[Entry]:
        """Give every member; of two with one name, the later counts. Folders may be missing."""
        with _readable_damage(self.path), zipfile.ZipFile(self.path) as archive:
            with self.path.open("rb") as file:
                _check_zip(file, archive)
            entries = [_zip_entry(archive, member) for member in archive.infolist()]
        yield from with_slashes(entries)

    def contents(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Content]]:
        """Give the files' bytes in the archive's order, or why one has none."""
        entry_at = {entry.offset: entry for entry in entries}
        with _readable_damage(self.path), zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                if entry := entry_at.get(member.header_offset):
                    yield entry, _zip_content(archive, member)


def with_slashes(entries: list[Entry]) -> list[Entry]:
    """Turn backslashes into slashes if no file has a slash: some Windows programs write them."""
    if any("/" in entry.name for entry in entries if entry.kind != "folder"):
        return entries
    mended = [
        replace(entry, name=entry.name.replace("\\", "/"), target=entry.target.replace("\\", "/"))
        for entry in entries
    ]
    return [replace(one, kind="folder") if one.name.endswith("/") else one for one in mended]


def _says_nothing(member: tarfile.TarInfo) -> bool:
    """Tell whether a member is a volume's label, or a file's link to itself, as GNU tar adds."""
    if member.islnk():
        return posixpath.normpath(member.linkname) == posixpath.normpath(member.name)
    return member.type == GNU_LABEL


def _tar_entry(member: tarfile.TarInfo) -> Entry:
    name = member.name
    if member.issym():
        return link_entry(name, member.linkname)
    if member.islnk():  # a hard link names its target from the top of the archive
        return Entry(name, "link", target=member.linkname)
    if member.isdir() or member.type == GNU_FOLDER:
        return Entry(name, "folder")
    if not member.isfile():
        return Entry(name, "special")
    return Entry(name, "file", size=member.size, offset=member.offset)


def _check_zip(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Check that an archive is its members and its directory, and nothing else.

    zipfile reads the last directory that it finds, and ignores what that does not list.
    """
    end = file.seek(0, os.SEEK_END) - ZIP_END.size - len(archive.comment)
    file.seek(max(end, 0))
    signature, count = ZIP_END.unpack(file.read(ZIP_END.size).ljust(ZIP_END.size))
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    if signature != b"PK\5\6":
        raise zipfile.BadZipFile("something follows its end")
    if count not in (len(members), ZIP64):
        raise zipfile.BadZipFile(f"it says that it has {count} members, and lists {len(members)}")
    if members and members[0].header_offset:
        raise zipfile.BadZipFile("another archive, or something else, precedes it")
    starts = [member.header_offset for member in members[1:]] + [archive.start_dir]
    for member, start in zip(members, starts, strict=True):
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(name + extra + member.compress_size, os.SEEK_CUR)
        if b"PK\3\4" in file.read(min(max(start - file.tell(), 0), LONGEST_DESCRIPTOR + 4)):
            raise zipfile.BadZipFile(
                f"a member after {member.filename!a:.60} is not in its directory"
            )


def _zip_name(member: zipfile.ZipInfo) -> tuple[str, bool]:
    """Return a member's name, and whether its coding is a guess.

    Many programs write UTF-8 without the flag that says so.
    """
    if member.flag_bits & 0x800 or member.filename.isascii():
        return member.filename, False
    try:
        return member.filename.encode("cp437").decode(), False
    except UnicodeError:
        return member.filename, True


def _zip_entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    mode, (name, guessed) = member.external_attr >> 16, _zip_name(member)
    if member.is_dir():
        return Entry(name, "folder")
    if stat.S_ISLNK(mode):
        content = _zip_content(archive, member) if member.file_size <= LONGEST_LINK else b""
        text = content.decode(errors="surrogateescape") if isinstance(content, bytes) else ""
        return link_entry(name, text)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Entry(name, "special")
    size, offset = member.file_size, member.header_offset
    return Entry(name, "file", size, offset=offset, guessed=guessed)


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | PhotoError:
    try:
        return archive.read(member)
    except RuntimeError as error:  # encrypted, or compressed by a rare method
        is_encrypted = member.flag_bits & 1
        return PhotoError("unreadable_file", "is encrypted" if is_encrypted else str(error))
    except DAMAGED as error:
        return PhotoError("damaged", f"damaged in the archive: {error}")


def _check_end(file: BinaryIO, end: int) -> None:
    """Read an archive from where its members ended: only zeros may follow.

    tarfile takes anything that is no header for the end, even a damaged header. Reading to the end
    makes gzip compare its checksum.
    """
    file.seek(end)
    size = 0
    while part := file.read(1 << 20):
        size += len(part)
        if part.strip(b"\0"):
            raise tarfile.ReadError(
                f"a member's header is damaged at byte {end:,}, or another archive is joined to it"
            )
    if size < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends without the mark of its end")


def _decompressed(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if compressed else path.open("rb")


@contextmanager
def _readable_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise UserError(f"{path}: {error.strerror}; give read permission") from error
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, RecursionError):
            reason = "its headers have no end"
        raise UserError(
            f"{path}: is not an archive that can be read to its end: {reason}; fetch it again"
        ) from error
