"""A name in a folder or an archive of photos."""

import posixpath
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a source.

    Attributes
    ----------
    name : str
        Relative to the source, with slashes, as the source has it.
    kind : {"file", "folder", "link", "special"}
        ``special`` is a device, a socket or a pipe.
    size : int
        Bytes of a file.
    target : str
        Where a link points, from the top of the source.
    offset : int
        Where the header of an archive's member begins, which tells it from all others; else 0.
    to_folder : bool
        Whether a link leads to a folder, as far as the system knows.
    """

    name: str
    kind: Literal["file", "folder", "link", "special"]
    size: int = 0
    target: str = ""
    offset: int = 0
    to_folder: bool = False


def link_entry(name: str, text: str) -> Entry:
    """Return a symbolic link; its text is relative to the folder it is in."""
    return Entry(name, "link", target=posixpath.join(posixpath.dirname(name), text))
