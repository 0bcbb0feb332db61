"""All photos of a source, listed before the first is decoded: what the names tell.

A photo's class is that of the folder it is in, or what a table of labels says. Nothing outside of
the source is ever looked at.
"""

import posixpath
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import UserError
from stages.common.names import is_clutter, printable_name
from stages.prepare.checks import (
    check_links_to_folders,
    check_no_class_is_lost,
    check_paths_differ,
    check_table_is_meant,
    note_parallel_trees,
)
from stages.prepare.entries import Candidate, Entries, Entry, Rejected
from stages.prepare.layout import Layout, find_folders, find_layout, is_unsafe
from stages.prepare.sources import Source, open_source, read_entry
from stages.prepare.table import TABLE, Label, read_table

BAD_LINKS = {
    "link_outside": "is absolute, or points out of the source",
    "link_loop": "leads back to itself",
    "link_broken": "points to no file of the source",
}

PHOTO_SUFFIX = re.compile(r"\.(jpe?g|png|webp|avif|hei[cf]|bmp|tiff?|gif)$", re.IGNORECASE)


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
    notes : list of str
        What a person should know of the layout.
    """

    source: Source
    classes: list[str]
    candidates: list[Candidate]
    rejected: list[Rejected]
    skipped: int
    notes: list[str]


def list_photos(path: Path, max_bytes: int, keep_splits: bool = True) -> Listing:
    """List the photos of a folder or an archive; files over `max_bytes` are rejected.

    Raises
    ------
    UserError
        If there is no such source, it cannot be read, or it does not say what the classes are.
    """
    source = open_source(path)
    everything = {_key(entry.name): entry for entry in source.entries()}
    folders = find_folders(everything)
    entries = {name: entry for name, entry in everything.items() if entry.kind != "folder"}
    check_links_to_folders(path, everything, folders)
    table = find_table(entries)
    names = [name for name in entries if not is_clutter(name) and name != table]
    if table:
        folder = table[: -len(TABLE)]
        content = read_entry(source, entries[table])
        labels = read_table(path / table, content, folder, set(entries))
        check_table_is_meant(path / table, labels, names)
        splits = {label.split for label in labels.values()}
        if keep_splits and splits - {None} and "train" not in splits:
            raise UserError(f"{path / table}: no line has the split train; name some")
        found = [by_table(name, entries, folder, labels) for name in names]
        class_folders: set[str] = set()
    else:
        layout = find_layout(path, folders, keep_splits)
        found = [by_folder(name, entries, layout) for name in names]
        class_folders = layout.class_folders(folders)
    found = [reject_by_kind_and_size(one, max_bytes) for one in found]
    candidates = [one for one in found if isinstance(one, Candidate)]
    rejected = [one for one in found if isinstance(one, Rejected)]
    candidates.sort(key=lambda candidate: (candidate.path, candidate.folder))
    rejected.sort(key=lambda one: one.path)
    check_no_class_is_lost(path, class_folders, candidates, rejected)
    classes = _classes(path, {candidate.folder.rpartition("/")[2] for candidate in candidates})
    check_paths_differ(path, candidates)
    notes = note_parallel_trees(candidates)
    return Listing(source, classes, candidates, rejected, len(entries) - len(names), notes)


def find_table(entries: Entries) -> str:
    """Return the table of labels, at the top or in one folder around everything; or nothing."""
    tops = {name.split("/")[0] for name in entries if not is_clutter(name)}
    places = [TABLE, f"{next(iter(tops))}/{TABLE}".casefold() if len(tops) == 1 else TABLE]
    return next((name for name in sorted(entries) if name.casefold() in places), "")


def by_table(
    name: str, entries: Entries, folder: str, labels: dict[str, Label]
) -> Candidate | Rejected:
    """Tell by the table of labels in `folder` what a name is.

    The photo's path begins with its label, so that a table gives what class folders would give.
    """
    inner = name.removeprefix(folder)
    if is_unsafe(entries[name].name):
        return _unsafe(entries[name])
    if name not in labels:
        return Rejected(printable_name(inner), "no_label", f"no line of {TABLE} names it")
    label = labels[name].label
    path = inner if inner.startswith(f"{label}/") else f"{label}/{inner}"
    target = follow_links(entries[name], entries, folder)
    if isinstance(target, str):
        return Rejected(printable_name(path), target, BAD_LINKS[target], label)
    return Candidate(printable_name(path), label, target, labels[name].split)


def by_folder(name: str, entries: Entries, layout: Layout) -> Candidate | Rejected:
    """Tell by its folders what a name is."""
    inner = name.removeprefix(layout.wrapper)
    if is_unsafe(entries[name].name):
        return _unsafe(entries[name])
    path, folder = printable_name(inner), layout.class_folder(inner)
    target = follow_links(entries[name], entries, layout.wrapper)
    if not folder and isinstance(target, str) and not PHOTO_SUFFIX.search(inner):
        folder = inner  # it is where a class folder would be, and a link
    if not folder:
        told = "; a backslash does not part folders here" if "\\" in inner else ""
        return Rejected(path, "no_class", f"not in a class folder{told}")
    if isinstance(target, str):
        return Rejected(path, target, BAD_LINKS[target], folder)
    return Candidate(path, folder, target, layout.split(folder))


def reject_by_kind_and_size(found: Candidate | Rejected, max_bytes: int) -> Candidate | Rejected:
    """Reject a candidate that is no plain file, or has more bytes than a photo can have."""
    if isinstance(found, Rejected):
        return found
    if found.entry.kind == "special":
        return Rejected(found.path, "special_file", "a device, a socket or a pipe", found.folder)
    if found.entry.size > max_bytes:
        detail = f"{found.entry.size} bytes, over {max_bytes}"
        return Rejected(found.path, "too_many_bytes", detail, found.folder)
    return found


def follow_links(entry: Entry, entries: Entries, wrapper: str) -> Entry | str:
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


def _unsafe(entry: Entry) -> Rejected:
    return Rejected(printable_name(entry.name), "unsafe_name", "absolute, or leads upwards")


def _key(name: str) -> str:
    """Return the normalized name of an entry; that of an unsafe one is its own."""
    return name if is_unsafe(name) else posixpath.normpath(name)


def _classes(path: Path, folders: set[str]) -> list[str]:
    spelled: dict[str, str] = {}
    for name in sorted(folders):
        seen = unicodedata.normalize("NFKC", printable_name(name)).casefold()
        same = spelled.setdefault(seen, name)
        if same != name:
            raise UserError(
                f"{path}: the class folders {same!a} and {name!a} differ only in letter "
                "case or Unicode form; give one of them another name"
            )
    classes = sorted(printable_name(name) for name in folders)
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "no class folder"
        raise UserError(
            f"{path}: must hold at least two classes, each a folder of photos or a label of "
            f"{TABLE}, found {found}"
        )
    return classes
