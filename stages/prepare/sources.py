"""Where photos come from: a folder or an archive."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from stages.common.errors import PhotoError, UserError
from stages.common.names import printable_name
from stages.common.reading import CACHED
from stages.prepare.archives import Tar, Zip
from stages.prepare.decoder import Content, read_content
from stages.prepare.entries import Entry, link_entry


@dataclass(frozen=True)
class Folder:
    """A folder; links to folders are never entered, so that it cannot loop."""

    path: Path

    def entries(self) -> Iterator[Entry]:
        """Give everything below the folder."""
        pending = [""]
        while pending:
            inside = pending.pop()
            try:
                with os.scandir(self.path / inside) as items:
                    for item in items:
                        entry = _folder_entry(inside, item)
                        if entry.kind == "folder":
                            pending.append(f"{entry.name}/")
                        yield entry
            except OSError as error:
                raise UserError(
                    f"{self.path / inside}: cannot be listed: {error.strerror}; "
                    "give read permission or take it out"
                ) from error

    def contents(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Content]]:
        """Give the paths: the workers read them."""
        for entry in entries:
            yield entry, self.path / entry.name


Source = Folder | Tar | Zip
ARCHIVES: dict[str, type[Tar | Zip]] = {".tar": Tar, ".tar.gz": Tar, ".tgz": Tar, ".zip": Zip}


def open_source(path: Path) -> Source:
    """Tell a folder and the kinds of archive apart."""
    allowed = f"a folder or a {', '.join(ARCHIVES)} archive with one folder per class"
    shown = printable_name(str(path))
    try:
        path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "cannot be a path")  # NUL is a ValueError
        if isinstance(error, FileNotFoundError):
            reason = "not found"
        raise UserError(
            f"params.yaml: data.photos: {shown:.300} {reason}; it must be {allowed}"
        ) from error
    if path.is_dir():
        return Folder(path)
    for suffix, archive in ARCHIVES.items():
        if path.name.lower().endswith(suffix):
            return archive(path)
    raise UserError(f"params.yaml: data.photos must be {allowed}, got {path}")


def read_entry(source: Source, entry: Entry, most: int) -> bytes:
    """Return a file's bytes."""
    if entry.kind != "file":
        raise UserError("must be a plain file")
    if entry.size > most:
        raise UserError(f"has {entry.size:,} bytes, over {most:,}: no such table")
    (_, content), *_ = source.contents([entry])
    try:
        return read_content(content, most)
    except PhotoError as error:
        raise UserError(f"cannot be read: {error.detail}") from error


def _folder_entry(inside: str, item: os.DirEntry[str]) -> Entry:
    name = inside + item.name
    if item.is_symlink():
        text = str(Path(item.path).readlink())
        if CACHED.search(text) and Path(item.path).is_file():
            return Entry(name, "file", size=item.stat().st_size)
        return replace(link_entry(name, text), to_folder=os.path.isdir(item.path))  # noqa: PTH112
    if item.is_dir():
        return Entry(name, "folder")
    if not item.is_file(follow_symlinks=False):
        return Entry(name, "special")
    return Entry(name, "file", size=item.stat(follow_symlinks=False).st_size)
