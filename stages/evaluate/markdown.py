"""Tables and names in Markdown: whatever a name holds, it stays text.

A stranger may choose the names of classes, photos and parameters; people read them in a terminal,
in a comment on a pull request and on the model's page. So each passes through `code` or `plain`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from stages.common.names import printable_name

LONGEST_NAME = 80
"""Characters of a name or value; the middle of a longer one is left out."""
MOST_ROWS = 50
"""Of a table."""
ESCAPES = {ord("`"): r"\x60", ord("|"): r"\x7c"}
"""What would end a code span or a table's cell."""


def plain(text: object, longest: int = LONGEST_NAME) -> str:
    """Return text on one line, with control, bidirectional and invisible characters escaped."""
    line = printable_name(" ".join(str(text).split()))
    if len(line) <= longest:
        return line
    return f"{line[: longest // 2 - 1]}…{line[-(longest // 2) :]}"


def code(text: object, longest: int = LONGEST_NAME) -> str:
    """Return text as a code span, in which nothing is HTML, a link, a picture or a mention."""
    line = plain(str(text).translate(ESCAPES), longest)
    return f"`{line}`" if line else "(empty)"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    noun: str,
    left: int = 1,
    most: int = MOST_ROWS,
) -> str:
    """Return a table of the first rows, and a line that counts the others.

    Parameters
    ----------
    noun : str
        What a row is.
    left : int
        Columns of text. The others hold numbers and are aligned to the right.
    most : int
        Rows to show.
    """
    rule = [":--" if column < left else "--:" for column in range(len(header))]
    lines = [f"| {' | '.join(cells)} |" for cells in [header, rule, *rows[:most]]]
    if rows[most:]:
        lines += ["", f"and {plural(len(rows) - most, f'more {noun}')}."]
    return "\n".join(lines)


def count_confusions(predictions: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Count the test photos of each class that are taken for another, the most frequent first."""
    pairs = zip(predictions["actual"], predictions["predicted"], strict=True)
    counts = Counter(sorted(pair for pair in pairs if pair[0] != pair[1]))
    return dict(counts.most_common())


def listed(items: Iterable[str], most: int = 10) -> str:
    """Join items as a sentence does: a, b and 3 more."""
    items = list(items)
    if items[most:]:
        items[most:] = [f"{len(items) - most:,} more"]
    return " and ".join([", ".join(items[:-1]), *items[-1:]] if items[1:] else items)


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: 1 photo, 2 photos, 2 classes."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"
