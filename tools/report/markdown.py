"""Markdown that stays what it is, whatever a branch, a class or a photo is called.

A pull request's author chooses those names, and the page is shown in a comment: so names stand in
code spans only, where nothing is a link, a mention or HTML.
"""

import re
from collections.abc import Iterable, Sequence

MINUS = "\N{MINUS SIGN}"
LONGEST = 80
"""Of a name; the middle of a longer one is left out."""


def code(text: object) -> str:
    """Return text as a code span, on one line, fit for a table's cell."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2 - 1]}…{line[-LONGEST // 2 :]}"
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|") if line else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table whose columns are numbers, aligned to the right, but for the first `left`."""
    rule = [":--" if column < left else "--:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])


def folded(summary: str, content: str) -> str:
    """Return content that opens with a click on its summary."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def listed(items: Sequence[str]) -> str:
    """Join items as a sentence does: a, b and c."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: 1 photo, 2 photos, 2 classes."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def signed(number: float, decimals: int = 4) -> str:
    """Return a change with its sign, a true minus; 0 without one."""
    text = f"{abs(number):.{decimals}f}"
    if float(text) == 0:
        return "0"
    return f"{'+' if number > 0 else MINUS}{text}"
