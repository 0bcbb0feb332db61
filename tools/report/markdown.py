"""Text from a revision made harmless, and a page that fits in a comment.

The author of a pull request chooses names and values; a reviewer reads them in a terminal and in a
comment. So everything that comes from a revision passes through `code` or `plain`.
"""

from collections.abc import Iterable, Sequence

from stages.common.names import printable_name

MINUS = "\N{MINUS SIGN}"
LONGEST_NAME = 80
"""Characters of a name or value; the middle of a longer one is left out."""
MOST_ROWS = 50
"""Of a table."""
LONGEST_PAGE = 65_000
"""Bytes; a comment on GitHub holds 65,536 characters."""
ESCAPES = {ord("`"): r"\x60", ord("|"): r"\x7c"}
"""What would end a code span or a table's cell."""


def plain(text: object, longest: int = LONGEST_NAME) -> str:
    """Return text on one line, with control, turning and invisible characters escaped."""
    line = printable_name(" ".join(str(text).split()))
    if len(line) <= longest:
        return line
    return f"{line[: longest // 2 - 1]}…{line[-(longest // 2) :]}"


def code(text: object, longest: int = LONGEST_NAME) -> str:
    """Return text as a code span, in which nothing is HTML, a link, a picture or a mention."""
    line = plain(str(text).translate(ESCAPES), longest)
    return f"`{line}`" if line else "(empty)"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], noun: str, left: int = 1) -> str:
    """Return a table of the first rows, and a line that counts the others.

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
    lines = [f"| {' | '.join(cells)} |" for cells in [header, rule, *rows[:MOST_ROWS]]]
    if rows[MOST_ROWS:]:
        lines += ["", f"and {plural(len(rows) - MOST_ROWS, f'more {noun}')}."]
    return "\n".join(lines)


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


def assemble(marker: str, sections: dict[str, str]) -> str:
    """Join headings and contents; the longest contents give way until the page fits."""
    contents = dict(sections)
    while True:
        parts = (f"{heading}\n\n{content}" for heading, content in contents.items())
        page = "\n\n".join([marker, *parts]) + "\n"
        if len(page.encode()) <= LONGEST_PAGE:
            return page
        longest = max(contents, key=lambda heading: len(contents[heading].encode()))
        contents[longest] = f"Too long to show here: {len(contents[longest]):,} characters."
