"""File names, as they are printed and as they are read."""

import re
import unicodedata

CLUTTER = re.compile(
    r"(thumbs\.db|desktop\.ini|(readme|licen[cs]e|copying)([._-].*)?|__macosx)", re.IGNORECASE
)
"""Names, beside hidden ones, of what lies in photo folders without being meant as a photo."""


def printable_name(name: str) -> str:
    """Spell a file's name in composed characters, with escapes for what cannot be printed."""
    composed = unicodedata.normalize("NFC", name)
    if composed.isprintable():
        return composed
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in composed
    )


def is_clutter(name: str) -> bool:
    """Tell whether a file is hidden, in a hidden folder, or no photo by its well-known name."""
    parts = [part for part in name.split("/") if part != ".."]
    return any(part.startswith(".") or CLUTTER.fullmatch(part) for part in parts)
