"""All photos of a source, listed before the first is decoded: what the names tell.

A photo's class is that of the folder it is in, or what labels.csv says. Nothing outside of the
source is ever looked at.
"""

import posixpath
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import UserError, about
from stages.common.names import is_clutter, printable_name
from stages.prepare.checks import (
    check_links_to_folders,
    check_no_class_is_lost,
    check_no_folder_is_ignored,
    check_paths_differ,
    note_guessed_names,
    note_parallel_trees,
)
from stages.prepare.entries import Candidate, Entries, Entry, Rejected
from stages.prepare.labels import LABELS, MAX_BYTES, Labels, check_labels, read_labels
from stages.prepare.layout import Layout, find_folders, find_layout, is_unsafe
from stages.prepare.sources import Source, open_source, read_entry

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

    A source that does not say what the classes are is a UserError.
    """
    source = open_source(path)
    everything = {_key(entry.name): entry for entry in source.entries()}
    folders = find_folders(everything)
    files = {name: entry for name, entry in everything.items() if entry.kind != "folder"}
    with about(path):
        check_links_to_folders(everything, folders)
        check_no_folder_is_ignored(folders)
    labels_csv = find_labels(files)
    names = [name for name in files if not is_clutter(name) and name != labels_csv]
    class_folders: set[str] = set()
    if labels_csv:
        folder = labels_csv[: -len(LABELS)]
        with about(path / labels_csv):
            labels = read_labels(
                read_entry(source, files[labels_csv], MAX_BYTES), folder, set(files)
            )
            check_labels(labels, names, keep_splits)
        items = [by_labels(name, files, folder, labels) for name in names]
    else:
        with about(path):
            layout = find_layout(folders, keep_splits)
        items = [by_folder(name, files, layout) for name in names]
        class_folders = layout.class_folders(folders)
    items = [reject_by_kind_and_size(item, max_bytes) for item in items]
    candidates = [item for item in items if isinstance(item, Candidate)]
    rejected = [item for item in items if isinstance(item, Rejected)]
    candidates.sort(key=lambda candidate: (candidate.path, candidate.folder))
    rejected.sort(key=lambda item: item.path)
    with about(path):
        check_no_class_is_lost(class_folders, candidates, rejected)
        classes = _classes({candidate.folder.rpartition("/")[2] for candidate in candidates})
        check_paths_differ(candidates)
    notes = note_parallel_trees(candidates) + note_guessed_names(candidates)
    return Listing(source, classes, candidates, rejected, len(files) - len(names), notes)


def find_labels(files: Entries) -> str:
    """Return labels.csv, at the top or in one folder around everything; or nothing."""
    tops = {name.split("/")[0] for name in files if not is_clutter(name)}
    wrapped = f"{next(iter(tops))}/{LABELS}".casefold() if len(tops) == 1 else LABELS
    return next((name for name in sorted(files) if name.casefold() in (LABELS, wrapped)), "")


def by_labels(name: str, files: Entries, folder: str, labels: Labels) -> Candidate | Rejected:
    """Tell by the labels.csv in `folder` what a file is.

    The photo's path begins with its label, so that labels.csv gives what class folders would give.
    """
    inner = name.removeprefix(folder)
    if is_unsafe(files[name].name):
        return _unsafe(files[name])
    if name not in labels:
        return Rejected(printable_name(inner), "no_label", f"no line of {LABELS} names it")
    row = labels[name]
    label = row.label
    path = inner if inner.startswith(f"{label}/") else f"{label}/{inner}"
    target = follow_links(files[name], files, folder)
    if isinstance(target, str):
        return Rejected(printable_name(path), target, BAD_LINKS[target], label)
    return Candidate(printable_name(path), label, target, row.split, row.group)


def by_folder(name: str, files: Entries, layout: Layout) -> Candidate | Rejected:
    """Tell by its folders what a file is."""
    inner = name.removeprefix(layout.wrapper)
    if is_unsafe(files[name].name):
        return _unsafe(files[name])
    path, folder = printable_name(inner), layout.class_folder(inner)
    target = follow_links(files[name], files, layout.wrapper)
    if not folder and isinstance(target, str) and not PHOTO_SUFFIX.search(inner):
        folder = inner  # a link, where a class folder would be
    if not folder:
        hint = "; a backslash does not part folders here" if "\\" in inner else ""
        return Rejected(path, "no_class", f"not in a class folder{hint}")
    if isinstance(target, str):
        return Rejected(path, target, BAD_LINKS[target], folder)
    return Candidate(path, folder, target, layout.split(folder))


def reject_by_kind_and_size(item: Candidate | Rejected, max_bytes: int) -> Candidate | Rejected:
    """Reject a candidate that is no plain file, or has more bytes than a photo can have."""
    if isinstance(item, Rejected):
        return item
    if item.entry.kind == "special":
        return Rejected(item.path, "special_file", "a device, a socket or a pipe", item.folder)
    if item.entry.size > max_bytes:
        detail = f"{item.entry.size} bytes, over {max_bytes}"
        return Rejected(item.path, "too_many_bytes", detail, item.folder)
    return item


def follow_links(entry: Entry, files: Entries, wrapper: str) -> Entry | str:
    """Return the file that an entry is or links to inside the source, or a key of BAD_LINKS."""
    seen = set()
    while entry.kind == "link":
        target = posixpath.normpath(entry.target)
        if is_unsafe(target) or not target.startswith(wrapper):
            return "link_outside"
        if target in seen:
            return "link_loop"
        if target not in files:
            return "link_broken"
        seen.add(target)
        entry = files[target]
    return entry


def _unsafe(entry: Entry) -> Rejected:
    return Rejected(printable_name(entry.name), "unsafe_name", "absolute, or leads upwards")


def _key(name: str) -> str:
    """Return the normalized name of an entry; that of an unsafe one is its own."""
    return name if is_unsafe(name) else posixpath.normpath(name)


def _classes(folders: set[str]) -> list[str]:
    spelled: dict[str, str] = {}
    for name in sorted(folders):
        seen = unicodedata.normalize("NFKC", printable_name(name)).casefold()
        same = spelled.setdefault(seen, name)
        if same != name:
            raise UserError(
                f"the class folders {same!a} and {name!a} differ only in letter case or Unicode "
                "form; give one of them another name"
            )
    classes = sorted(printable_name(name) for name in folders)
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "no class folder"
        raise UserError(
            "must hold at least two classes, each a folder of photos or a label of "
            f"{LABELS}, found {found}"
        )
    return classes
