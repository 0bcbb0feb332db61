"""How the folders of a source are laid out: a folder per class, perhaps below one per split.

daisy/1.jpg             classes
train/daisy/1.jpg       given splits, each with a folder per class
flowers/...             either of them, in one more folder around it all
"""

import posixpath
import re
from dataclasses import dataclass, field

from stages.common.errors import UserError
from stages.common.names import is_hidden_folder, printable_name
from stages.common.store import Split
from stages.prepare.entries import Entry

SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
"""What people call given splits, in any case."""

ADDED = re.compile(r"(set|data|images|imgs|photos)$")
"""What may follow in a folder's name: ``test_set``, ``train2017``, ``Validation images``."""


def split_of_folder(name: str) -> Split | None:
    """Return the split that a folder's name says."""
    letters = re.sub(r"[^a-z]", "", name.casefold())
    return SPLIT_NAMES.get(ADDED.sub("", letters))


@dataclass(frozen=True)
class Layout:
    """What a photo's folders mean.

    Attributes
    ----------
    wrapper : str
        The folder around everything, with its slash, or nothing.
    splits : dict of str to Split
        The folders of given splits; empty where there are none.
    """

    wrapper: str = ""
    splits: dict[str, Split] = field(default_factory=dict)

    def class_folder(self, inner: str) -> str:
        """Return the class folder of a file, named from inside the wrapper; empty outside one."""
        *folders, _ = inner.split("/")
        depth = 2 if self.splits else 1
        return "/".join(folders[:depth]) if len(folders) >= depth else ""

    def class_folders(self, folders: set[str]) -> set[str]:
        """Return all class folders among the folders of a source."""
        inner = (name.removeprefix(self.wrapper) for name in folders if name + "/" != self.wrapper)
        return {name for name in inner if name.count("/") == (1 if self.splits else 0)}

    def split(self, folder: str) -> Split | None:
        """Return the given split of a class folder."""
        return self.splits.get(folder.split("/")[0])


def find_layout(folders: set[str], keep_splits: bool = True) -> Layout:
    """Tell from all folders of a source, by normalized name, how it is laid out.

    Folders named like splits are splits if two of them share a class, or if no other folder is
    beside them and one of them holds folders. A folder beside the splits, or a split without
    classes, is a UserError; a missing train split only if the splits are kept.
    """
    wrapper = find_wrapper(folders)
    inside = {name: set[str]() for name in Layout(wrapper).class_folders(folders)}
    for name in folders:
        top, *rest = name.removeprefix(wrapper).split("/")
        if name.startswith(wrapper) and len(rest) == 1:
            inside[top].add(rest[0])
    splits = {name: split for name in inside if (split := split_of_folder(name))}
    if not _are_splits(inside, splits):
        _check_unknown_splits(inside, splits)
        return Layout(wrapper)
    shown = ", ".join(printable_name(name) for name in sorted(splits))
    for name in sorted(inside):
        if name not in splits:
            raise UserError(
                f"{printable_name(name)!r} is beside the splits {shown}; move it into them or out "
                "of here, or rename the splits if they are classes"
            )
        if not inside[name]:
            raise UserError(
                f"the split {printable_name(name)!r} holds no class folders, so the labels of its "
                "photos are unknown; give it one folder per class, or move it out of here"
            )
    if keep_splits and "train" not in splits.values():
        raise UserError(f"of the given splits {shown}, none is called train; rename one")
    return Layout(wrapper, splits)


def _check_unknown_splits(inside: dict[str, set[str]], splits: dict[str, Split]) -> None:
    """Raise a UserError if a folder holds the same folders as one that is named like a split."""
    for one in splits:
        for other in sorted(set(inside) - set(splits)):
            if len(inside[one] & inside[other]) > 1:
                raise UserError(
                    f"{printable_name(other)!r} holds the same folders as {printable_name(one)!r}, "
                    "which is named like a split; call it train, val or test, or move it out of "
                    "here"
                )


def _are_splits(inside: dict[str, set[str]], splits: dict[str, Split]) -> bool:
    with_classes = [name for name in splits if inside[name]]
    if len(splits) == len(inside) > 1 and with_classes:
        return True
    return any(
        inside[one] & inside[other]
        for one in with_classes
        for other in with_classes
        if splits[one] != splits[other]
    )


def find_folders(entries: dict[str, Entry]) -> set[str]:
    """Return all folders that are not hidden, empty ones included, by normalized name."""
    pending = {
        name if entry.kind == "folder" else posixpath.dirname(name)
        for name, entry in entries.items()
        if not is_unsafe(entry.name)
    }
    folders: set[str] = set()
    while pending:  # the folders on the way, which an archive need not list
        folders |= pending
        pending = {posixpath.dirname(name) for name in pending} - folders
    return {name for name in folders - {"", "."} if not is_hidden_folder(name)}


def find_wrapper(folders: set[str]) -> str:
    """Return ``folder/`` if one folder holds all the others, at least two of them side by side."""
    outer = {name for name in folders if "/" not in name}
    inner = {name for name in folders if name.count("/") == 1}
    return f"{outer.pop()}/" if len(outer) == 1 and len(inner) >= 2 else ""


def is_unsafe(name: str) -> bool:
    """Tell whether a name is absolute or leads upwards, which no honest archive's does."""
    return name.startswith("/") or ".." in name.split("/")
