"""All photos of a source, listed before the first is decoded: what the names alone tell.

A photo's class is the folder it is in: the first one on its way, or the second where one folder
wraps the whole source. Nothing outside of the source is ever looked at.
"""

import posixpath
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import UserError
from stages.common.names import is_clutter, is_hidden_folder, printable_name
from stages.prepare.sources import Entry, Source, open_source

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
class Rejected:
    """A name that is no candidate: its path, a reason code and, for people, a detail."""

    path: str
    reason: str
    detail: str
    folder: str = ""
    """The class folder, as the source spells it; empty outside of one."""


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes
    ----------
    source : Source
    classes : list of str
        In the order of the labels.
    candidates : list of Candidate
        By path.
    rejected : list of Rejected
        By path.
    skipped : int
        Hidden files, readme files and the like.
    """

    source: Source
    classes: list[str]
    candidates: list[Candidate]
    rejected: list[Rejected]
    skipped: int


def list_photos(path: Path, max_bytes: int) -> Listing:
    """List the photos of a folder or an archive; files over `max_bytes` are rejected.

    Raises
    ------
    UserError
        If there is no such source, it cannot be read, or it does not hold a folder per class.
    """
    source = open_source(path)
    everything = {posixpath.normpath(entry.name): entry for entry in source.entries()}
    entries = {name: entry for name, entry in everything.items() if entry.kind != "folder"}
    names = [name for name in entries if not is_clutter(name)]
    folders = find_folders(everything)
    wrapper = find_wrapper(folders)
    found = [classify_entry(name, entries, wrapper, max_bytes) for name in names]
    candidates = [one for one in found if isinstance(one, Candidate)]
    rejected = [one for one in found if isinstance(one, Rejected)]
    candidates.sort(key=lambda candidate: (candidate.path, candidate.folder))
    rejected.sort(key=lambda one: one.path)
    _check_no_class_is_lost(path, class_folders(folders, wrapper), candidates, rejected)
    classes = _classes(path, {candidate.folder for candidate in candidates})
    return Listing(source, classes, candidates, rejected, len(entries) - len(names))


def classify_entry(
    name: str, entries: dict[str, Entry], wrapper: str, max_bytes: int
) -> Candidate | Rejected:
    """Tell by its name whether an entry may be a photo.

    Parameters
    ----------
    name : str
        Normalized.
    entries : dict of str to Entry
        All of the source, by normalized name.
    wrapper : str
        The folder around the class folders, with its slash, or nothing.
    max_bytes : int
    """
    entry = entries[name]
    if is_unsafe(entry.name):
        return Rejected(printable_name(entry.name), "unsafe_name", "absolute, or leads upwards")
    inner = name.removeprefix(wrapper)
    path, folder = printable_name(inner), inner.split("/")[0]
    target = follow_links(entry, entries, wrapper)
    in_class = "/" in inner or (isinstance(target, str) and "." not in inner)  # a linked folder
    if not in_class:
        told = "; a backslash does not part folders here" if "\\" in inner else ""
        return Rejected(path, "no_class", f"not in a class folder{told}")
    if isinstance(target, str):
        return Rejected(path, target, BAD_LINKS[target], folder)
    if target.kind == "special":
        return Rejected(path, "special_file", "a device, a socket or a pipe", folder)
    if target.size > max_bytes:
        return Rejected(path, "too_many_bytes", f"{target.size} bytes, over {max_bytes}", folder)
    return Candidate(path, folder, target)


def follow_links(entry: Entry, entries: dict[str, Entry], wrapper: str) -> Entry | str:
    """Return the file that an entry is or links to inside the source, or a key of BAD_LINKS."""
    seen = set()
    while entry.kind == "link":
        target = posixpath.normpath(entry.target)
        if is_unsafe(target) or not target.startswith(wrapper):
            return "link_outside"
        if target in seen:
            return "link_loop"
        if target not in entries:
            return "link_broken"
        seen.add(target)
        entry = entries[target]
    return entry


def is_unsafe(name: str) -> bool:
    """Tell whether a name is absolute or leads upwards, which no honest archive's does."""
    return name.startswith("/") or ".." in name.split("/")


def find_folders(entries: dict[str, Entry]) -> set[str]:
    """Return all folders, empty ones too, but hidden ones, by normalized name."""
    pending = {
        name if entry.kind == "folder" else posixpath.dirname(name)
        for name, entry in entries.items()
        if not is_unsafe(entry.name)
    }
    found: set[str] = set()
    while pending:  # the folders on the way, which an archive need not list
        found |= pending
        pending = {posixpath.dirname(name) for name in pending} - found
    return {name for name in found - {"", "."} if not is_hidden_folder(name)}


def find_wrapper(folders: set[str]) -> str:
    """Return ``folder/`` if one folder holds all the others, and at least two side by side."""
    outer = {name for name in folders if "/" not in name}
    inner = {name for name in folders if name.count("/") == 1}
    return f"{outer.pop()}/" if len(outer) == 1 and len(inner) >= 2 else ""


def class_folders(folders: set[str], wrapper: str) -> set[str]:
    """Return the folders just inside the wrapper."""
    inner = (name.removeprefix(wrapper) for name in folders if name.startswith(wrapper))
    return {name for name in inner if "/" not in name}


def _check_no_class_is_lost(
    path: Path, folders: set[str], candidates: list[Candidate], rejected: list[Rejected]
) -> None:
    """Raise a UserError that names the class folders without a candidate, and why."""
    reasons = {one.folder: one.reason for one in rejected if one.folder}
    lost = (folders | set(reasons)) - {candidate.folder for candidate in candidates}
    if lost:
        named = ", ".join(
            f"{printable_name(name)!r} ({reasons.get(name, 'no file that may be a photo')})"
            for name in sorted(lost)
        )
        raise UserError(
            f"{path}: no photos in {named}; add photos that can be used, or remove the folder"
        )


def _classes(path: Path, folders: set[str]) -> list[str]:
    spelled: dict[str, str] = {}
    for name in sorted(folders):
        same = spelled.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if same != name:
            raise UserError(
                f"{path}: the class folders {same!a} and {name!a} differ only in letter "
                "case or Unicode form; give one of them another name"
            )
    classes = sorted(printable_name(name) for name in folders)
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "no class folder"
        raise UserError(
            f"{path}: must hold a folder of photos for each of at least two classes, found {found}"
        )
    return classes
