"""A stage vouches for its inputs: none of them changed while it ran.

DVC hashes a stage's deps and parameters after its command ended. What somebody edited meanwhile
would stand in dvc.lock as what the outputs were made from. So a stage notes what it reads before it
reads it, and compares as its last act.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages import STARTED
from stages.common.errors import UserError
from stages.common.names import is_clutter, printable_name
from stages.common.params import PARAMS_FILE, read_params

PROJECT = Path(__file__).parents[2]

Notes = dict[str, Any]
"""What a person calls an input, to what must stay."""


class Inputs:
    """What a stage reads, noted when this is made.

    Parameters
    ----------
    sections : iterable of str
        Of params.yaml, or one of its parameters by its dotted name.
    code : iterable of str
        Modules and folders of modules, from the project's folder; compared by content.
    """

    def __init__(self, sections: Iterable[str], code: Iterable[str]) -> None:
        self._sections, self._code, self._data = [*sections], [*code], list[Path]()
        self._noted = self._note()

    def add(self, *data: Path) -> None:
        """Note files and folders before they are read, by name, size and time of last change."""
        self._data += data
        for path in data:
            self._noted |= dict(_stamps(path))

    def check(self) -> None:
        """Refuse to vouch for what has changed."""
        noted, now = self._noted, self._note()
        changed = [name for name in {**noted, **now} if noted.get(name) != now.get(name)]
        if not changed:
            return
        name = printable_name(changed[0])
        more = f" (and {len(changed) - 1:,} more)" if changed[1:] else ""
        values = f" from {noted.get(name)!r:.80} to {now.get(name)!r:.80}" if ": " in name else ""
        raise UserError(
            f"{name} changed{values}{more} while the stage ran, so dvc.lock would name what its "
            "results were not made from; run the same command again, or undo the change first: a "
            "finished training then counts at once"
        )

    def _note(self) -> Notes:
        notes: Notes = {}
        params = read_params()
        for name in self._sections:
            notes |= dict(_leaves(params, name.split("."), f"{PARAMS_FILE}: "))
        for name, digest in code_digests(self._code).items():
            # Python has read it already: what was saved since then is not what runs.
            is_older = (PROJECT / name).stat().st_mtime <= STARTED
            notes[name] = digest if is_older else object()
        for path in self._data:
            notes |= dict(_stamps(path))
        return notes


def code_digests(code: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of modules, and of all in folders, named from the project's folder."""
    return {
        module.relative_to(PROJECT).as_posix(): hashlib.sha256(module.read_bytes()).hexdigest()
        for name in code
        for module in _modules(PROJECT / name)
    }


def _modules(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def _leaves(tree: Any, path: list[str], prefix: str) -> Iterator[tuple[str, Any]]:
    """Give the parameters below a dotted name, by their own."""
    if path:
        yield from _leaves((tree or {}).get(path[0]), path[1:], f"{prefix}{path[0]}.")
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, [], f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), tree


def _stamps(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Give size and time of the files that are meant, by path; links count as what they lead to."""
    files = [path]
    if path.is_dir():
        walk = os.walk(path)
        names = (Path(parent, name) for parent, _, names in walk for name in names)
        files = [name for name in names if not is_clutter(name.relative_to(path).as_posix())]
    for file in files:
        with suppress(OSError, ValueError):  # it is gone, or no system can have it
            status = file.stat()
            yield str(file), (status.st_size, status.st_mtime_ns)
