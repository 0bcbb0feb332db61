"""Which entries of a source are photos, and of which class; judged by their names alone.

A photo's class is the folder it is in: the first one on its way, or the second where one folder
wraps the whole source. Nothing outside of the source is ever looked at.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import UserError
from stages.prepare.archive import Tar, Zip
from stages.prepare.entries import Entry, Source, shown
from stages.prepare.folder import Folder

ARCHIVES: dict[str, type[Tar | Zip]] = {".tar": Tar, ".tar.gz": Tar, ".tgz": Tar, ".zip": Zip}
CLUTTER = re.compile(
    r"(thumbs\.db|desktop\.ini|(readme|licen[cs]e|copying)([._-].*)?|__macosx)", re.IGNORECASE
)
"""Names, beside hidden ones, of what lies in photo folders without being meant as a photo."""


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
        return shown(self.folder)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A name that is refused: its path, a reason code and, for people, a detail."""

    path: str
    reason: str
    detail: str


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
    refused : list of LeftOut
        By path.
    skipped : int
        Hidden files, readme files and the like.
    """

    source: Source
    classes: list[str]
    candidates: list[Candidate]
    refused: list[LeftOut]
    skipped: int


def list_photos(path: Path, max_bytes: int) -> Listing:
    """List the photos of a folder or an archive; larger files than `max_bytes` are refused.

    Raises
    ------
    UserError
        If there is no such source, it cannot be read, or it does not hold a folder per class.
    """
    source = open_source(path)
    entries = {posixpath.normpath(entry.name): entry for entry in source.entries()}
    named = {name: entry for name, entry in entries.items() if not is_clutter(name)}
    wrapper = _wrapper([name for name, entry in named.items() if not is_unsafe(entry.name)])
    candidates, refused = [], []
    for name, entry in named.items():
        found = _judge(name.removeprefix(wrapper), entry, entries)
        if isinstance(found, Candidate) and found.entry.size > max_bytes:
            detail = f"{found.entry.size} bytes, over {max_bytes}"
            refused.append(LeftOut(found.path, "too_many_bytes", detail))
        elif isinstance(found, Candidate):
            candidates.append(found)
        else:
            refused.append(found)
    candidates.sort(key=lambda candidate: (candidate.path, candidate.folder))
    refused.sort(key=lambda left_out: left_out.path)
    classes = _classes(path, {candidate.folder for candidate in candidates})
    return Listing(source, classes, candidates, refused, len(entries) - len(named))


def open_source(path: Path) -> Source:
    """Tell a folder and the kinds of archive apart.

    Raises
    ------
    UserError
        If `path` is neither.
    """
    if path.is_dir():
        return Folder(path)
    allowed = f"a folder or a {', '.join(ARCHIVES)} archive with one folder per class"
    if not path.exists():
        raise UserError(f"params.yaml: data.photos: {path} not found; it must be {allowed}")
    for suffix, archive in ARCHIVES.items():
        if path.name.lower().endswith(suffix):
            return archive(path)
    raise UserError(f"params.yaml: data.photos must be {allowed}, got {path}")


def is_clutter(name: str) -> bool:
    """Tell whether a file is hidden, in a hidden folder, or no photo by its well-known name."""
    parts = [part for part in name.split("/") if part != ".."]
    return any(part.startswith(".") or CLUTTER.fullmatch(part) for part in parts)


def is_unsafe(name: str) -> bool:
    """Tell whether a name is absolute or leads upwards, which no honest archive's does."""
    return name.startswith("/") or ".." in name.split("/")


def _judge(name: str, entry: Entry, entries: dict[str, Entry]) -> Candidate | LeftOut:
    path = shown(name)
    if is_unsafe(entry.name):
        return LeftOut(shown(entry.name), "unsafe_name", "absolute, or leads upwards")
    if "/" not in name:
        return LeftOut(path, "no_class", "not in a class folder")
    target = _follow(entry, entries)
    if isinstance(target, str):
        return LeftOut(path, target, f"points to {shown(entry.target)}")
    if target.kind == "special":
        return LeftOut(path, "special_file", "a device, a socket or a pipe")
    return Candidate(path, name.split("/")[0], target)


def _follow(entry: Entry, entries: dict[str, Entry]) -> Entry | str:
    """Return the file that a link leads to inside the source, or the reason to refuse it."""
    seen = set()
    while entry.kind == "link":
        target = posixpath.normpath(entry.target)
        if target.startswith(("/", "..")):
            return "link_outside"
        if target in seen:
            return "link_loop"
        if target not in entries:
            return "link_broken"
        seen.add(target)
        entry = entries[target]
    return entry


def _wrapper(names: Iterable[str]) -> str:
    """Return ``folder/`` if one folder holds everything that is in a folder, and two more."""
    parts = [name.split("/") for name in names if "/" in name]
    outer = {part[0] for part in parts}
    inner = {part[1] for part in parts if len(part) > 2}
    return f"{outer.pop()}/" if len(outer) == 1 and len(inner) >= 2 else ""


def _classes(path: Path, folders: set[str]) -> list[str]:
    spelled: dict[str, str] = {}
    for name in sorted(folders):
        same = spelled.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if same != name:
            raise UserError(
                f"{path}: the class folders {same!a} and {name!a} differ only in letter "
                "case or Unicode form; give one of them another name"
            )
    classes = sorted(shown(name) for name in folders)
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "no class folder"
        raise UserError(
            f"{path}: must hold a folder of photos for each of at least two classes, found {found}"
        )
    return classes
