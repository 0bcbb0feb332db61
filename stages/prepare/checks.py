"""What a name in a source is: a photo, perhaps, or rejected; and what cannot go on."""

import posixpath
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from stages.common.errors import UserError
from stages.common.names import is_clutter, printable_name
from stages.common.store import Split
from stages.prepare.entries import Entry
from stages.prepare.table import Label

SHOWN = 5
"""Names that an error lists."""

SAME_NAMES = 0.9
"""Share of the names of two classes that are the same if they are parallel trees."""

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
        The class folder, as the source spells it; the label, where a table names it.
    entry : Entry
        The file; for a link the one it points to.
    split : Split or None
        The split that it is given in.
    """

    path: str
    folder: str
    entry: Entry
    split: Split | None = None

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


def note_parallel_trees(candidates: list[Candidate]) -> list[str]:
    """Return a line if classes hold files of the same names, as images/ and masks/ do.

    Names that only count, such as 001.jpg, say nothing: they may be the same in honest classes.
    """
    stems: dict[str, set[str]] = {}
    for candidate in candidates:
        stem = posixpath.splitext(posixpath.basename(candidate.path))[0]
        stems.setdefault(candidate.class_name, set()).add(stem)
    # Only these few are compared with each other: the others share too few names with all.
    classes_of = Counter(stem for found in stems.values() for stem in found)
    telling = {
        name: found
        for name, found in stems.items()
        if sum(classes_of[stem] > 1 for stem in found) >= SAME_NAMES * len(found)
        and len({re.sub(r"\d+", "", stem) for stem in found}) > 1
    }
    parallel = {
        name
        for name, found in telling.items()
        for other, theirs in telling.items()
        if name != other and len(found & theirs) >= SAME_NAMES * max(len(found), len(theirs))
    }
    if 2 * len(parallel) <= len(stems):
        return []
    names = ", ".join(map(repr, sorted(parallel)[:SHOWN]))
    return [f"the classes {names} hold files of the same names: are they classes, or masks?"]


def check_table_is_meant(table: Path, labels: dict[str, Label], names: list[str]) -> None:
    """Raise a UserError if a table stands beside class folders that it does not name."""
    unnamed = sorted(name for name in names if name not in labels)
    if len(unnamed) > len(labels):
        raise UserError(
            f"{table}: names {len(labels):,} of {len(names):,} files, not "
            f"{printable_name(unnamed[0])}, for example; a table must name the photos, whatever "
            "folders they are in: complete it, or remove it if class folders hold the labels"
        )


def check_paths_differ(path: Path, candidates: list[Candidate]) -> None:
    """Raise a UserError if two photos would have one path in the manifest."""
    for one, other in pairwise(candidates):  # they are sorted
        if one.path == other.path:
            names = " and ".join(printable_name(each.entry.name) for each in (one, other))
            raise UserError(
                f"{path}: two photos would both be called {one.path}: {names}; rename one of them"
            )


def check_links_to_folders(path: Path, everything: Entries, folders: set[str]) -> None:
    """Raise a UserError that names links to folders: one could stand for any number of photos."""
    places = folders | {"."}
    found = [
        name
        for name, entry in everything.items()
        if entry.kind == "link"
        and (entry.to_folder or posixpath.normpath(entry.target) in places)
        and not is_clutter(name)
    ]
    if found:
        shown = ", ".join(map(printable_name, sorted(found)[:SHOWN]))
        more = f" and {len(found) - SHOWN:,} more" if found[SHOWN:] else ""
        raise UserError(
            f"{path}: links to folders are not followed: {shown}{more}; "
            "put the folders in their place (`cp -rL` copies what links lead to), or remove them"
        )


def check_no_class_is_lost(
    path: Path, folders: set[str], candidates: list[Candidate], rejected: list[Rejected]
) -> None:
    """Raise a UserError that names the class folders without a candidate, and why."""
    lost = (folders | {one.folder for one in rejected}) - {one.folder for one in candidates} - {""}
    if not lost:
        return
    counts = Counter((one.folder, one.reason) for one in rejected)
    named, linked = [], False
    for name in sorted(lost):
        reasons = [f"{n} {reason}" for (folder, reason), n in counts.items() if folder == name]
        linked |= any("link" in reason for reason in reasons)
        why = ", ".join(reasons) or "no file that may be a photo"
        named.append(f"{printable_name(name)!r} ({why})")
    copy = "; `cp -rL` copies the files that links lead to" if linked else ""
    raise UserError(
        f"{path}: no photos in {', '.join(named)}; add photos that can be used, or remove the "
        f"folder{copy}"
    )
