"""The labels of photos that lie in one folder: labels.csv, at the top of a source.

Columns: ``path``, from the folder of labels.csv and with slashes; ``label``; perhaps ``split``, and
``group``: the plant, video or patient that a photo is of.
"""

import csv
import io
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from stages.common.errors import UserError
from stages.common.names import is_clutter, printable_name
from stages.common.store import Split
from stages.prepare.checks import SHOWN
from stages.prepare.layout import SPLIT_NAMES

LABELS = "labels.csv"
MAX_BYTES = 64_000_000
LONGEST_LABEL = 200
COLUMNS = {"path", "label", "split", "group"}
CONFLICT = re.compile(r"^<{7}( |$)", re.MULTILINE)
"""How a merge in Git marks where two branches changed the same lines."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a row says of its photo."""

    label: str
    split: Split | None
    group: str = ""
    """Photos of one group stay in one split; empty for a photo of its own."""


Labels = dict[str, Label]
"""By the normalized names of the photos."""


def read_labels(content: bytes, folder: str, names: set[str]) -> Labels:
    """Return the rows of labels.csv, or raise a UserError with the first lines that are wrong.

    Parameters
    ----------
    content : bytes
    folder : str
        The folder of labels.csv, with its slash, or nothing.
    names : set of str
        All files of the source, by normalized name.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"line {line}: is not UTF-8; save it as UTF-8") from error
    if marker := CONFLICT.search(text):
        line = text[: marker.start()].count("\n") + 1
        raise UserError(
            f"line {line}: has a merge conflict; keep the rows that are right, one for each photo, "
            "and remove the lines that begin with <<<<<<<, ======= and >>>>>>>"
        )
    labels: Labels = {}
    problems: list[str] = []
    for line, problem, name, label in _rows(text, folder, Names(names)):
        if not problem and name in labels:
            problem = f"{short(name)} is listed twice"
        if problem:
            problems.append(f"line {line}: {problem}")
        else:
            labels[name] = label
    refuse_lines(problems + _odd_labels({row.label for row in labels.values()}))
    return labels


class Names:
    """The files of a source, found by what a table says."""

    def __init__(self, names: set[str]) -> None:
        composed = {unicodedata.normalize("NFC", name): name for name in names}
        self._names = composed | {name: name for name in names}

    def find(self, name: str) -> str:
        """Return the file of a name, in whichever Unicode form; empty if there is none."""
        return self._names.get(name) or self._names.get(unicodedata.normalize("NFC", name), "")

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        alike: dict[str, list[str]] = {}
        for name in sorted(set(self._names.values())):
            alike.setdefault(_bare(name), []).append(name)
        return alike

    def suggest(self, name: str) -> str:
        """Ask for the file that may be meant, if only one has this name in another spelling."""
        alike = self._alike.get(_bare(name), [])
        return f"; did you mean {short(alike[0])!r}?" if len(alike) == 1 else ""


def _bare(name: str) -> str:
    """Return a file's name without folders, drive, suffix, letter case and Unicode form."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return unicodedata.normalize("NFKC", posixpath.splitext(last)[0]).casefold()


def _odd_labels(labels: set[str]) -> list[str]:
    """Say which labels are several in one, or one in two spellings of a number."""
    problems, numbers = [], dict[float, str]()
    for label in sorted(labels):
        parts = {part.strip() for part in re.split(r"[|;,]", label)}
        if len(parts) > 1 and parts <= labels:
            problems.append(f"{short(label)!r} is several labels; a photo has one")
        if re.fullmatch(r"\d+(\.0*)?", label):
            same = numbers.setdefault(float(label), label)
            if same != label:
                problems.append(
                    f"{short(same)!r} and {short(label)!r} are one number; write it alike"
                )
    return problems


def refuse_lines(problems: list[str]) -> None:
    """Raise a UserError with the first of the lines that are wrong, if any is."""
    if problems:
        more = f"\n  and {len(problems) - SHOWN:,} more" if problems[SHOWN:] else ""
        lines = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
        raise UserError(f"fix these lines:{lines}{more}")


def check_labels(labels: Labels, photos: list[str], keep_splits: bool) -> None:
    """Raise a UserError if labels.csv leaves out most photos, or none of its splits is train."""
    unnamed = sorted(name for name in photos if name not in labels)
    if len(unnamed) > len(labels):
        raise UserError(
            f"names {len(labels):,} of {len(photos):,} files, not {printable_name(unnamed[0])}, "
            "for example; a table must name the photos, whatever folders they are in: complete "
            "it, or remove it if class folders hold the labels"
        )
    splits = {label.split for label in labels.values()}
    if keep_splits and splits - {None} and "train" not in splits:
        raise UserError("no line has the split train; name some")


def _rows(text: str, folder: str, names: Names) -> Iterator[tuple[int, str, str, Label]]:
    """Give each row's line, what is wrong with it, its photo's name and its label."""
    reader = csv.reader(io.StringIO(text, newline=None), strict=True)
    nothing = "", Label("", None)
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        if not {"path", "label"} <= set(header) <= COLUMNS or len(set(header)) < len(header):
            got = ", ".join(map(short, header[:5])) or "nothing"
            columns = f"the columns must be path, label and perhaps split and group; found {got}"
            yield 1, f"{columns}; if it is another table, rename or remove it", *nothing
            return
        for values in filter(any, reader):  # spreadsheets leave rows of nothing at the end
            if len(values) == len(header):
                row = dict(zip(header, (value.strip() for value in values), strict=True))
                yield reader.line_num, *_check_row(row, folder, names)
            else:
                wrong = f"has {len(values)} values for {len(header)} columns"
                yield reader.line_num, wrong, *nothing
    except csv.Error as error:
        yield reader.line_num, str(error), *nothing


def _check_row(row: dict[str, str], folder: str, names: Names) -> tuple[str, str, Label]:
    name = names.find(posixpath.normpath(folder + row["path"]))
    split = row.get("split", "")
    problem = ""
    if not row["path"] or not name:
        problem = f"there is no file {short(row['path'])!r}{names.suggest(row['path'])}"
    elif is_clutter(name):
        problem = f"{short(row['path'])} is hidden, or no photo by its name"
    elif not row["label"]:
        problem = f"{short(row['path'])} has no label"
    elif any(unicodedata.category(letter) == "Cf" for letter in row["label"]):
        problem = f"the label {short(row['label'])!r} has an invisible letter"
    elif "/" in row["label"] or row["label"] in (".", ".."):
        problem = f"the label {short(row['label'])!r} can't name a folder"
    elif len(row["label"]) > LONGEST_LABEL:
        problem = f"the label {short(row['label'])!r} is over {LONGEST_LABEL} characters"
    elif "split" in row and split.casefold() not in SPLIT_NAMES:
        problem = f"split must be train, validation or test, got {short(split)!r}"
    given = SPLIT_NAMES.get(split.casefold())
    return problem, name, Label(row["label"], given, row.get("group", ""))


def short(text: str) -> str:
    """Return what a person may read of a cell, however long it is."""
    return f"{printable_name(text[:200]):.80}"
