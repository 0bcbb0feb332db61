"""What a source's names tell: which are photos, of which class, and which are refused.

A photo's class is the folder it is in: the first one on its way, or the second where one folder
wraps the whole source. Nothing outside of the source is ever looked at.
"""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from stages.common.names import printable_name
from stages.prepare.entries import Entry

BAD_LINKS = {
    "link_outside": "is absolute, or points out of the source",
    "link_loop": "leads back to itself",
    "link_broken": "points to no file of the source",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be a photo.

    Attributes
    ----------
    path : str
        As the manifest names it: ``class/.../file``, without a wrapping folder.
    folder : str
        The class folder, as the source spells it.
    entry : Entry
        The file; for a link the one it points to.
    """

    path: str
    folder: str
    entry: Entry

    @property
    def class_name(self) -> str:
        """The folder's name in composed characters."""
        return printable_name(self.folder)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A name that is refused: its path, a reason code and, for people, a detail."""

    path: str
    reason: str
    detail: str
    folder: str = ""
    """The class folder, as the source spells it; nothing outside of one."""


@dataclass(frozen=True)
class Judge:
    """Decides by its name what an entry is.

    Attributes
    ----------
    entries : dict of str to Entry
        All of the source, by normal name.
    wrapper : str
        The folder around the class folders, with its slash, or nothing.
    max_bytes : int
        Larger files are refused.
    """

    entries: dict[str, Entry]
    wrapper: str
    max_bytes: int

    def judge(self, name: str) -> Candidate | LeftOut:
        """Return the entry `name` as a candidate, or why it is refused."""
        entry = self.entries[name]
        if is_unsafe(entry.name):
            return LeftOut(printable_name(entry.name), "unsafe_name", "absolute, or leads upwards")
        inner = name.removeprefix(self.wrapper)
        path, folder = printable_name(inner), inner.split("/")[0]
        if "/" not in inner:
            return LeftOut(path, "no_class", "not in a class folder")
        target = self._follow(entry)
        if isinstance(target, str):
            return LeftOut(path, target, BAD_LINKS[target], folder)
        if target.kind == "special":
            return LeftOut(path, "special_file", "a device, a socket or a pipe", folder)
        if target.size > self.max_bytes:
            detail = f"{target.size} bytes, over {self.max_bytes}"
            return LeftOut(path, "too_many_bytes", detail, folder)
        return Candidate(path, folder, target)

    def _follow(self, entry: Entry) -> Entry | str:
        """Return the file that a link leads to inside the source, or the reason to refuse it."""
        seen = set()
        while entry.kind == "link":
            target = posixpath.normpath(entry.target)
            if is_unsafe(target) or not target.startswith(self.wrapper):
                return "link_outside"
            if target in seen:
                return "link_loop"
            if target not in self.entries:
                return "link_broken"
            seen.add(target)
            entry = self.entries[target]
        return entry


def is_unsafe(name: str) -> bool:
    """Tell whether a name is absolute or leads upwards, which no honest archive's does."""
    return name.startswith("/") or ".." in name.split("/")


def wrapping(names: Iterable[str]) -> str:
    """Return ``folder/`` if one folder holds everything that is in a folder, and two more."""
    parts = [name.split("/") for name in names if "/" in name]
    outer = {part[0] for part in parts}
    inner = {part[1] for part in parts if len(part) > 2}
    return f"{outer.pop()}/" if len(outer) == 1 and len(inner) >= 2 else ""
