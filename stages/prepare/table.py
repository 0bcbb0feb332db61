"""A table of labels, labels.csv at the top of a source, for photos that lie in one folder.

Columns: ``path``, from the table's folder and with slashes; ``label``; and perhaps ``split``.
"""

import csv
import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import UserError
from stages.common.names import is_clutter, printable_name
from stages.common.store import Split
from stages.prepare.layout import SPLIT_NAMES

TABLE = "labels.csv"
MAX_BYTES = 64_000_000
LONGEST_LABEL = 200
SHOWN = 5
"""Problems that an error names."""


@dataclass(frozen=True, slots=True)
class Label:
    """A row of the table."""

    label: str
    split: Split | None


def read_table(table: Path, content: bytes, folder: str, names: set[str]) -> dict[str, Label]:
    """Return the rows of a table by the normalized names of their photos.

    Parameters
    ----------
    table : Path
        For messages.
    content : bytes
    folder : str
        The table's, with its slash, or nothing.
    names : set of str
        All files of the source, by normalized name.

    Raises
    ------
    UserError
        With the line of each of the first problems.
    """
    if len(content) > MAX_BYTES:
        raise UserError(f"{table}: has {len(content):,} bytes, over {MAX_BYTES:,}: no such table")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{table}: line {line}: is not UTF-8; save it as UTF-8") from error
    rows: dict[str, Label] = {}
    problems: list[str] = []
    for line, problem, name, label in _rows(text, folder, names):
        if not problem and name in rows:
            problem = f"{_short(name)} is listed twice"
        if problem:
            problems.append(f"line {line}: {problem}")
        else:
            rows[name] = label
    if problems:
        more = f"\n  and {len(problems) - SHOWN:,} more" if problems[SHOWN:] else ""
        lines = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
        raise UserError(f"{table}: fix these lines:{lines}{more}")
    return rows


def _rows(text: str, folder: str, names: set[str]) -> Iterator[tuple[int, str, str, Label]]:
    """Give each row's line, what is wrong with it, its photo's name and its label."""
    reader = csv.reader(io.StringIO(text), strict=True)
    nothing = "", Label("", None)
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        if sorted(header) not in (["label", "path"], ["label", "path", "split"]):
            found = ", ".join(map(_short, header[:4])) or "nothing"
            columns = f"the columns must be path,label or path,label,split; found {found}"
            yield 1, columns, *nothing
            return
        for values in filter(None, reader):
            if len(values) == len(header):
                row = dict(zip(header, (value.strip() for value in values), strict=True))
                yield reader.line_num, *_check_row(row, folder, names)
            else:
                wrong = f"has {len(values)} values for {len(header)} columns"
                yield reader.line_num, wrong, *nothing
    except csv.Error as error:
        yield reader.line_num, str(error), *nothing


def _check_row(row: dict[str, str], folder: str, names: set[str]) -> tuple[str, str, Label]:
    name = posixpath.normpath(folder + row["path"])
    split = row.get("split", "")
    problem = ""
    if not row["path"] or name not in names:
        problem = f"there is no file {_short(row['path'])!r}"
    elif is_clutter(name):
        problem = f"{_short(row['path'])} is hidden, or no photo by its name"
    elif not row["label"]:
        problem = f"{_short(row['path'])} has no label"
    elif "/" in row["label"] or row["label"] in (".", ".."):
        problem = f"the label {_short(row['label'])!r} can't name a folder"
    elif len(row["label"]) > LONGEST_LABEL:
        problem = f"the label {_short(row['label'])!r} is over {LONGEST_LABEL} characters"
    elif "split" in row and split.casefold() not in SPLIT_NAMES:
        problem = f"split must be train, validation or test, got {_short(split)!r}"
    return problem, name, Label(row["label"], SPLIT_NAMES.get(split.casefold()))


def _short(text: str) -> str:
    return f"{printable_name(text[:200]):.80}"
