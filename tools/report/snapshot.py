"""What one side of the comparison holds: its parameters and results, as they were committed.

A stranger's branch may hold anything under these names. All of it is checked here, once: what does
not fit is not used, and is one line of the page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

import pandas as pd
from pydantic import ValidationError

from tools.report.markdown import code, plural
from tools.report.metrics import Numbers
from tools.report.schema import (
    Entry,
    Item,
    flatten,
    read_lock,
    read_losses,
    read_numbers,
    read_predictions,
    read_yaml,
)

Reader = Callable[[str], bytes | None]
"""Gives what a file holds, None if there is no such file; a ValueError if it can't be read."""

T = TypeVar("T")

LARGEST_BYTES = {
    ".yaml": 200_000,
    ".lock": 1_000_000,
    ".dvc": 1_000_000,
    ".json": 2_000_000,
    ".csv": 20_000_000,
}
"""By a file's suffix; a larger file is not parsed."""
LONGEST_PROBLEM = 160
NO_NUMBERS: Numbers = {}


@dataclass(frozen=True)
class Snapshot:
    """One side of the comparison; None or empty stands for what is not there or can't be used."""

    params: dict[str, Any] | None
    """Dotted name, such as ``train.lr``, to value."""
    lock: dict[str, Entry] | None
    """Stage to how it ran."""
    prepared: Numbers | None
    """By dotted names, as `evaluation`."""
    losses: pd.DataFrame | None
    """A row per epoch: epoch, train_loss, val_loss."""
    evaluation: Numbers | None
    predictions: pd.DataFrame | None
    """A row per test photo: path, actual, predicted, confidence."""
    odd: tuple[str, ...]
    """A line, ready for the page, for each file that can't be used."""

    @property
    def photos(self) -> Item | None:
        """The photos that were prepared: the dependency that the parameter data.photos names."""
        path = PurePath(str((self.params or {}).get("data.photos")))
        prepare = (self.lock or {}).get("prepare", Entry())
        return next((dep for dep in prepare.deps if PurePath(dep.path) == path), None)


def read_snapshot(read: Reader, where: str = "") -> Snapshot:
    """Read one side of the comparison.

    Parameters
    ----------
    where : str
        Stands before a file's name in a line, as in ``main:metrics/loss.csv``.
    """
    odd: list[str] = []

    def part(path: str, parse: Callable[[bytes], T], unusable: T | None = None) -> T | None:
        try:
            return parse_bounded(path, read(path), parse)
        except (ValueError, RecursionError) as error:
            odd.append(f"{code(where + path)}: {_describe(error)}")
            return unusable

    return Snapshot(
        params=part("params.yaml", lambda content: flatten(read_yaml(content))),
        lock=part("dvc.lock", read_lock),
        prepared=part("metrics/prepare.json", read_numbers),
        losses=part("metrics/loss.csv", read_losses),
        evaluation=part("metrics/evaluation.json", read_numbers, NO_NUMBERS),
        predictions=part("metrics/predictions.csv", read_predictions),
        odd=tuple(odd),
    )


def file_here(path: str) -> bytes | None:
    """Return what a file holds in this folder, None if there is no such file.

    Raises
    ------
    ValueError
        If it can't be read.
    """
    try:
        if Path(path).is_char_device():
            raise ValueError("is a device")
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from error


def parse_bounded(path: str, content: bytes | None, parse: Callable[[bytes], T]) -> T | None:
    """Parse what a file holds, if there is one and it is not too large."""
    if content is None:
        return None
    largest = LARGEST_BYTES[PurePath(path).suffix]
    if len(content) > largest:
        raise ValueError(f"has {len(content):,} bytes, more than {largest:,}")
    return parse(content)


def _describe(error: Exception) -> str:
    """Say in a few words, ready for the page, what is odd."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if not isinstance(error, ValidationError):
        return code(error, LONGEST_PROBLEM)
    first, *rest = error.errors(include_url=False, include_context=False, include_input=False)
    more = f", and {plural(len(rest), 'more problem')}" if rest else ""
    place = ".".join(map(str, first["loc"]))
    return code(f"{place}: {first['msg']}".removeprefix(": "), LONGEST_PROBLEM) + more
