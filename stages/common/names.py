"""File names, as they are printed and as they are read."""

import re
import unicodedata

NO_PHOTO = re.compile(
    r"thumbs\.db|desktop\.ini|.*\.dvc"
    r"|(readme|licen[cs]e|copying)(([._-].*)?\.(txt|md|rst|html?|pdf|rtf|docx?))?",
    re.IGNORECASE,
)
"""Names, besides hidden ones, of files that lie in photo folders without being meant as photos."""

LEFTOVERS = (".swp", ".orig", "~", ".pyc")
"""How names end that editors, merges and Python leave behind. DVC ignores them by .dvcignore."""

SYSTEM_FOLDERS = frozenset(
    {
        *("__macosx", "@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    }
)
"""What systems, network storage and Python put beside photos, in lower case."""


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
    """Tell whether a file is no photo by its well-known name, hidden, or in a hidden folder."""
    folder, _, file = name.rpartition("/")
    return (
        file.startswith(".")
        or file.endswith(LEFTOVERS)
        or NO_PHOTO.fullmatch(file) is not None
        or is_hidden_folder(folder)
    )


def is_hidden_folder(name: str) -> bool:
    """Tell whether a folder, or one that it is in, is hidden or the system's own.

    No other name hides a folder: it may be a class.
    """
    parts = [part for part in name.split("/") if part != ".."]
    return any(part.startswith(".") or part.lower() in SYSTEM_FOLDERS for part in parts)
