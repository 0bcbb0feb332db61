"""Apply the decisions of a review to the labels: ``python -m tools.relabel decisions.csv``.

decisions.csv, from the page of tools.review, has the columns ``path,sha256,label,decision,class``.
Rows of labels.csv, at the top of the photos, are changed; where there is none, it is made from the
class folders. Photos to remove move into the hidden folder .removed beside it, which prepare skips.
All decisions are applied, or none.
"""

import argparse
import bisect
import csv
import hashlib
import io
import os
import shlex
from pathlib import Path
from typing import NamedTuple

from stages.common.errors import UserError, about, run_stage
from stages.common.files import read_guarded, write_bytes
from stages.common.names import is_clutter, printable_name
from stages.common.params import PARAMS_FILE, load_params
from stages.common.reading import read_bytes
from stages.common.schema import GARDEN
from stages.common.store import STORE, StoreMeta
from stages.prepare.entries import Entries, Entry
from stages.prepare.labels import LABELS, MAX_BYTES, Labels, read_labels, refuse_lines, short
from stages.prepare.layout import find_folders, find_layout
from stages.prepare.listing import find_labels
from stages.prepare.sources import Folder, open_source, read_entry
from tools.options import named

COLUMNS = "path,sha256,label,decision,class"
REMOVED = ".removed"
LARGEST = 10**9
"""Bytes of a photo."""
SHOWN = 3
"""Photos named for each change."""


class Decision(NamedTuple):
    """A row of decisions.csv; `label` is that of its time, empty for a photo without one."""

    path: str
    sha256: str
    label: str
    action: str
    new: str


Chosen = dict[str, Decision]
"""Decisions by the file they are about, named from the top of the photos."""


def main() -> None:
    """Check all decisions, then write labels.csv and move what is to be removed."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.relabel", description="Apply the decisions of a review to labels.csv."
    )
    parser.add_argument("decisions", type=named, metavar="decisions.csv")
    path = parser.parse_args().decisions
    params = load_params()
    photos = Path(params.data.photos)
    if params.data.photos == GARDEN:
        raise UserError(f"{PARAMS_FILE}: data.photos: labels of the {GARDEN} are drawn, not given")
    source = open_source(photos)
    if not isinstance(source, Folder):
        raise UserError(f"{photos}: labels in an archive cannot change; unpack it and name that")
    with about(path):
        decisions = read_decisions(path)
    everything = {entry.name: entry for entry in source.entries()}
    files = {name: entry for name, entry in everything.items() if entry.kind != "folder"}
    name = find_labels(files)
    if name:
        subject = str(photos / name)
        with about(subject):
            content = read_entry(source, files[name], MAX_BYTES)
    else:
        subject = f"{photos}: its class folders make no {LABELS}"
        new = {locate(one.path, photos) for one in decisions if not one.label}
        with about(subject):
            name, content = make_labels(everything, new, params.prepare.given_splits == "keep")
            if find_labels({**files, name: Entry(name, "file")}) != name:
                raise UserError(
                    f"{name} would not be at the top; take out what is beside its folder"
                )
    folder = name[: -len(LABELS)]
    with about(subject):
        labels = read_labels(content, folder, set(files))
    with about(path):
        chosen = choose(decisions, labels, folder, photos, set(files))
    before, content = content, edit(content, labels, folder, chosen)
    with about(subject):
        read_labels(content, folder, set(files))
    removed = [photos / file for file, one in chosen.items() if one.action == "remove"]
    if content != before or removed:
        write(photos / name, content, removed)
    print("\n".join(describe(chosen, photos / name)))


def read_decisions(path: Path) -> list[Decision]:
    """Return the decisions, each sound by itself."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
        header, *rows = list(csv.reader(io.StringIO(text), strict=True)) or [[]]
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}; download it from the page") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"is no CSV in UTF-8: {error}; download it again") from error
    if ",".join(header) != COLUMNS:
        raise UserError(f"the columns must be {COLUMNS}, got {short(','.join(header))!r}")
    problems = [(line, _fault(row)) for line, row in enumerate(rows, start=2)]
    refuse_lines([f"line {line}: {problem}" for line, problem in problems if problem])
    return [Decision(*row) for row in rows]


def _fault(row: list[str]) -> str:
    """Say what is wrong with a row of decisions.csv."""
    if len(row) != len(Decision._fields):
        return f"has {len(row)} values, not {len(Decision._fields)}"
    _, _, label, action, new = row
    if action not in ("keep", "relabel", "remove"):
        return f"the decision must be keep, relabel or remove, got {short(action)!r}"
    if (action == "relabel") != bool(new):
        return f"relabel needs a class, keep and remove none; {action} has {short(new)!r}"
    return "" if label or action != "keep" else "there is no label to keep; relabel or remove it"


def make_labels(everything: Entries, new: set[str], keep_splits: bool) -> tuple[str, bytes]:
    """Return name and content of the labels.csv that says what the class folders say.

    A folder that is no class of the store may hold photos of `new`, which have no label yet.
    """
    folders = find_folders(everything)
    layout = find_layout(folders, keep_splits)
    classes = read_guarded(STORE / "meta.json", StoreMeta, "make it with `dvc repro`").classes
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["path", "label", "split"] if layout.splits else ["path", "label"])
    for file in sorted(set(everything) - folders):
        inner = file.removeprefix(layout.wrapper)
        folder = layout.class_folder(inner)
        label = folder.rpartition("/")[2]
        if not folder or is_clutter(file):
            continue
        if printable_name(label) in classes:
            table.writerow([inner, label, layout.split(folder)][: 3 if layout.splits else 2])
        elif not any(name.startswith(f"{layout.wrapper}{folder}/") for name in new):
            raise UserError(f"{folder!r} is not in {STORE}; `dvc repro`, then review again")
    try:
        return layout.wrapper + LABELS, stream.getvalue().encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the name {error.object[error.start]!a} ... is not UTF-8") from error


def locate(path: str, photos: Path) -> str:
    """Return the file at a path from the current folder, named from the top of the photos."""
    place = Path(path.replace("\0", ""))
    return Path(os.path.relpath(place.parent.resolve() / place.name, photos.resolve())).as_posix()


def choose(
    decisions: list[Decision], labels: Labels, folder: str, photos: Path, files: set[str]
) -> Chosen:
    """Return the decisions by file, or raise a UserError with those that do not fit the photos."""
    spelled = {printable_name(one.label): one.label for one in labels.values()}
    known: dict[tuple[str, str], str] = {}
    for prefixed in (False, True):  # as class folders give it, else as labels.csv does
        for file, row in labels.items():
            path = f"{row.label}/" * prefixed + file.removeprefix(folder)
            known.setdefault((printable_name(path), printable_name(row.label)), file)
    chosen: Chosen = {}
    problems = []
    for line, one in enumerate(decisions, start=2):
        file = known.get((one.path, one.label), "") if one.label else locate(one.path, photos)
        problem = ""
        if file not in files or is_clutter(file) or not file.startswith(folder):
            label = f" with the label {short(one.label)!r}" if one.label else ""
            problem = f"is not in {photos}{label}: it is another store's, or decided before"
        elif not one.label and file in labels:
            problem = f"has the label {short(labels[file].label)!r} by now"
        elif file in chosen:
            problem = "is decided twice"
        elif one.new and one.new not in spelled:
            problem = f"cannot be {short(one.new)!r}: the classes are {', '.join(spelled):.300}"
        else:
            problem = _misfit(one, photos / file, _removed(photos / folder, photos / file))
        if problem:
            problems.append(f"line {line}: {short(one.path)} {problem}")
        chosen[file] = one._replace(new=spelled.get(one.new, ""))
    refuse_lines(problems)
    return chosen


def _misfit(decision: Decision, photo: Path, removed: Path) -> str:
    """Say why a file is not the one decided on, or cannot move."""
    try:
        digest = hashlib.sha256(read_bytes(photo, LARGEST)).hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if digest[:12] != decision.sha256:
        return f"has the sha256 {digest[:12]}, not {short(decision.sha256)}: it is another photo"
    if decision.action == "remove" and removed.exists():
        return f"cannot be removed: there is a {removed}; take that away first"
    return ""


def edit(content: bytes, labels: Labels, folder: str, chosen: Chosen) -> bytes:
    """Return labels.csv with other rows for what is relabeled, and all other bytes as they were.

    New rows are of the train split, where splits are given; rows in the order of path stay so.
    """
    text = content.decode()
    mark = "\ufeff" * text.startswith("\ufeff")
    lines = list(io.StringIO(text.removeprefix(mark), newline=""))
    reader, files = csv.reader(lines, strict=True), iter(labels)
    header = [name.strip().lower() for name in next(reader)]
    begin = reader.line_num
    texts, paths = ["".join(lines[:begin])], [""]
    end = texts[0][len(texts[0].rstrip("\r\n")) :] or "\n"
    for values in reader:
        begin, text = reader.line_num, "".join(lines[begin : reader.line_num])
        file = next(files) if any(values) else ""
        decision = chosen.get(file)
        if decision and decision.action == "relabel":
            values[header.index("label")] = decision.new
            text = _row(values, text[len(text.rstrip("\r\n")) :])
        if not decision or decision.action != "remove":
            texts.append(text)
            paths.append(file)
    for file, decision in chosen.items():
        if decision.action == "relabel" and file not in labels:
            place = bisect.bisect(paths, file) if paths == sorted(paths) else len(paths)
            said = {"path": file.removeprefix(folder), "label": decision.new, "split": "train"}
            texts[place - 1] += "" if texts[place - 1].endswith(end) else end
            texts.insert(place, _row([said.get(name, "") for name in header], end))
            paths.insert(place, file)
    return (mark + "".join(texts)).encode()


def write(path: Path, content: bytes, removed: list[Path]) -> None:
    """Write labels.csv and move the photos that it no longer names, or leave all as it was."""
    before = path.read_bytes() if path.exists() else None
    moved = []
    write_bytes(path, content)
    try:
        for photo in removed:
            place = _removed(path.parent, photo)
            place.parent.mkdir(parents=True, exist_ok=True)
            photo.rename(place)
            moved.append((place, photo))
    except BaseException as error:  # Ctrl-C too
        for place, photo in moved:
            place.rename(photo)
        if before is None:
            path.unlink()
        else:
            write_bytes(path, before)
        if not isinstance(error, OSError):
            raise
        raise UserError(f"{photo}: cannot be moved to {place}: {error.strerror}") from error


def describe(chosen: Chosen, path: Path) -> list[str]:
    """Say what changed, and what to type next."""
    kept = [one for one in chosen.values() if one.action == "keep"]
    changes: dict[str, list[str]] = {}
    for one in chosen.values():
        if one.action != "keep":
            change = f"{one.label or 'no label'} -> {one.new or REMOVED}"
            changes.setdefault(change, []).append(one.path)
    lines = [f"{path}: {len(chosen) - len(kept):,} changed, {len(kept):,} kept"]
    for change, photos in sorted(changes.items()):
        more = ", ..." if photos[SHOWN:] else ""
        lines.append(f"  {change}: {len(photos):,} ({', '.join(photos[:SHOWN])}{more})")
    tracked = [place for place in (path, *path.parents) if Path(f"{place}.dvc").is_file()]
    add = f"dvc add {shlex.quote(str(tracked[0]))} && " if tracked else ""
    return [printable_name(line) for line in [*lines, f"next: {add}dvc repro" if changes else ""]]


def _row(values: list[str], end: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator=end).writerow(values)
    return stream.getvalue()


def _removed(top: Path, photo: Path) -> Path:
    """Return where a photo goes that is removed from the folder of labels.csv."""
    return top / REMOVED / photo.relative_to(top)


if __name__ == "__main__":
    run_stage(main)
