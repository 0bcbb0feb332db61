"""Text from a revision made harmless, and a page that fits in a comment.

The author of a pull request chooses names and values, and a reviewer reads them in a terminal and
in a comment. So whatever comes from a revision passes through `code` or `plain`, and nothing else.
"""

from collections.abc import Iterable, Sequence

from stages.common.names import printable_name

MINUS = "\N{MINUS SIGN}"
LONGEST_NAME = 80
"""Characters of a name or value; the middle of a longer one is left out."""
LONGEST_PAGE = 65_000
"""Bytes; a comment on GitHub holds 65,536 characters."""
ESCAPES = {ord("`"): r"\x60", ord("|"): r"\x7c"}
"""What would end a code span or a table's cell."""


def plain(text: object, longest: int = LONGEST_NAME) -> str:
    """Return text on one line, with escapes for control, turning and invisible characters."""
    line = printable_name(" ".join(str(text).split()))
    if len(line) <= longest:
        return line
    return f"{line[: longest // 2 - 1]}…{line[-(longest // 2) :]}"


def code(text: object, longest: int = LONGEST_NAME) -> str:
    """Return text as a code span, in which nothing is HTML, a link, a picture or a mention."""
    line = plain(str(text).translate(ESCAPES), longest)
    return f"`{line}`" if line else "(empty)"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], noun: str, most: int = 40, left: int = 1
) -> str:
    """Return a table of the first `most` rows, and a line that counts the others.

    Parameters
    ----------
    noun : str
        What a row is.
    left : int
        Columns of text. The others hold numbers and are aligned to the right.
    """
    if not rows:
        return f"No {noun} changed."
    rule = [":--" if column < left else "--:" for column in range(len(header))]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows[:most]])
    return text + (f"\n\nand {plural(len(rows) - most, f'more {noun}')}." if rows[most:] else "")


def folded(summary: str, content: str) -> str:
    """Return content that opens with a click on its summary."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def listed(items: Iterable[str], most: int = 10) -> str:
    """Join items as a sentence does: a, b and 3 more."""
    *init, last = shortened(items, most) or [""]
    return f"{', '.join(init)} and {last}" if init else last


def shortened(items: Iterable[str], most: int) -> list[str]:
    """Return the first items, and how many more there are."""
    items = list(items)
    return items[:most] + ([f"{len(items) - most:,} more"] if items[most:] else [])


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: 1 photo, 2 photos, 2 classes."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def signed(change: float, decimals: int) -> str:
    """Return a change with its sign, a true minus; 0 without one."""
    text = f"{abs(change):,.{decimals}f}"
    if not text.strip("0."):
        return "0"
    return f"{'+' if change > 0 else MINUS}{text}"


def assemble(marker: str, sections: dict[str, str]) -> str:
    """Return the page; its longest sections give way until it fits in a comment.

    Parameters
    ----------
    sections : dict
        Heading to content.
    """
    contents = dict(sections)
    while True:
        parts = (f"{heading}\n\n{content}" for heading, content in contents.items())
        page = "\n\n".join([marker, *parts]) + "\n"
        if len(page.encode()) <= LONGEST_PAGE:
            return page
        longest = max(contents, key=lambda heading: len(contents[heading].encode()))
        contents[longest] = f"Too long to show here: {len(contents[longest]):,} characters."
