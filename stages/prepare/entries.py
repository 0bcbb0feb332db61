"""A name in a folder or an archive of photos, and what becomes of it: a candidate, or rejected."""

import posixpath
from dataclasses import dataclass
from typing import Literal

from stages.common.names import printable_name
from stages.common.store import Split


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
        Where the header of an archive's member begins, which identifies it; else 0.
    to_folder : bool
        Whether a link leads to a folder; always False in an archive.
    guessed : bool
        Whether an archive's name has letters in a coding that it does not say.
    """

    name: str
    kind: Literal["file", "folder", "link", "special"]
    size: int = 0
    target: str = ""
    offset: int = 0
    to_folder: bool = False
    guessed: bool = False


def link_entry(name: str, text: str) -> Entry:
    """Return a symbolic link; its text is relative to the folder it is in."""
    return Entry(name, "link", target=posixpath.join(posixpath.dirname(name), text))


Entries = dict[str, Entry]
"""By normalized name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be a photo.

    Attributes
    ----------
    path : str
        As the manifest names it: ``class/.../file``, without a wrapping folder.
    folder : str
        The class folder, as the source spells it; the label, if labels.csv names it.
    entry : Entry
        The file, or the one that a link leads to.
    split : Split or None
        The given split.
    source : str
        The group that labels.csv names; empty for a photo of its own.
    """

    path: str
    folder: str
    entry: Entry
    split: Split | None = None
    source: str = ""

    @property
    def class_name(self) -> str:
        """The class in composed characters."""
        return printable_name(self.folder.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Rejected:
    """A name that is no candidate: its path, a reason code and, for people, a detail."""

    path: str
    reason: str
    detail: str
    folder: str = ""
    """The class folder, as the source spells it; empty outside of one."""
