"""All photos of a source, listed before the first is decoded."""

import posixpath
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import UserError
from stages.common.names import is_clutter, printable_name
from stages.prepare.archive import Tar, Zip
from stages.prepare.entries import Source
from stages.prepare.folder import Folder
from stages.prepare.names import Candidate, Judge, LeftOut, is_unsafe, wrapping

ARCHIVES: dict[str, type[Tar | Zip]] = {".tar": Tar, ".tar.gz": Tar, ".tgz": Tar, ".zip": Zip}


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
    named = [name for name in entries if not is_clutter(name)]
    wrapper = wrapping(name for name in named if not is_unsafe(entries[name].name))
    judge = Judge(entries, wrapper, max_bytes)
    found = [judge.judge(name) for name in named]
    candidates = [one for one in found if isinstance(one, Candidate)]
    refused = [one for one in found if isinstance(one, LeftOut)]
    candidates.sort(key=lambda candidate: (candidate.path, candidate.folder))
    refused.sort(key=lambda left_out: left_out.path)
    classes = _classes(path, {candidate.folder for candidate in candidates})
    _check_lost(
        path, {printable_name(one.folder): one.reason for one in refused if one.folder}, classes
    )
    return Listing(source, classes, candidates, refused, len(entries) - len(named))


def _check_lost(path: Path, reasons: dict[str, str], classes: list[str]) -> None:
    """Raise a UserError if a class folder has nothing but what was refused by its name."""
    lost = [f"{name!r} ({reasons[name]})" for name in sorted(set(reasons) - set(classes))]
    if lost:
        raise UserError(
            f"{path}: no file of {', '.join(lost)} can be a photo; "
            "add photos that can be used, or remove the folder"
        )


def open_source(path: Path) -> Source:
    """Tell a folder and the kinds of archive apart.

    Raises
    ------
    UserError
        If `path` is neither.
    """
    allowed = f"a folder or a {', '.join(ARCHIVES)} archive with one folder per class"
    try:
        path.stat()
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(
            f"params.yaml: data.photos: {path} {reason}; it must be {allowed}"
        ) from error
    if path.is_dir():
        return Folder(path)
    for suffix, archive in ARCHIVES.items():
        if path.name.lower().endswith(suffix):
            return archive(path)
    raise UserError(f"params.yaml: data.photos must be {allowed}, got {path}")


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
