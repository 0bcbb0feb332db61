"""A folder of photos."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from stages.common.errors import UserError
from stages.prepare.entries import Content, Entry, link_target


class Folder:
    """A folder; links to folders are never entered, so that it cannot loop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> Iterator[Entry]:
        """Give every entry below the folder that is not a folder itself.

        Raises
        ------
        UserError
            If a folder cannot be listed.
        """
        pending = [""]
        while pending:
            inside = pending.pop()
            try:
                with os.scandir(self.path / inside) as found:
                    for item in found:
                        if item.is_dir(follow_symlinks=False):
                            pending.append(f"{inside}{item.name}/")
                        else:
                            yield _entry(inside, item)
            except OSError as error:
                raise UserError(
                    f"{self.path / inside}: cannot be listed: {error.strerror}; "
                    "give read permission or take it out"
                ) from error

    def contents(self, wanted: Mapping[Entry, list[int]]) -> Iterator[tuple[int, Content]]:
        """Give the paths: the workers read them."""
        for entry, numbers in wanted.items():
            for number in numbers:
                yield number, self.path / entry.name


def _entry(inside: str, item: os.DirEntry[str]) -> Entry:
    name = inside + item.name
    if item.is_symlink():
        return Entry(name, "link", target=link_target(name, str(Path(item.path).readlink())))
    if not item.is_file(follow_symlinks=False):
        return Entry(name, "special")
    return Entry(name, "file", size=item.stat(follow_symlinks=False).st_size)
