"""What a folder and an archive have in common: named entries."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from stages.common.photo import PhotoError

Content = bytes | Path | PhotoError
"""A photo's bytes, where to read them, or why they cannot be had."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a source.

    Attributes
    ----------
    name : str
        Relative to the source, with slashes, as the source has it.
    kind : {"file", "link", "special"}
        ``special`` is a device, a socket or a pipe.
    size : int
        Bytes of a file.
    target : str
        Where a link points, from the top of the source.
    place : int
        Where an archive holds a file's content.
    """

    name: str
    kind: Literal["file", "link", "special"]
    size: int = 0
    target: str = ""
    place: int = 0


class Source(Protocol):
    """Where photos come from."""

    def entries(self) -> Iterable[Entry]:
        """Give every entry that is not a folder, in any order."""

    def contents(self, wanted: Mapping[Entry, list[int]]) -> Iterator[tuple[int, Content]]:
        """Give the content of the wanted files, each with its numbers, in any order."""


def link_target(name: str, text: str) -> str:
    """Say from the top of the source where the symbolic link `name`, which says `text`, points."""
    return posixpath.join(posixpath.dirname(name), text)
