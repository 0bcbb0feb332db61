"""What one side of the comparison holds: its parameters and results, as they were committed.

A stranger's branch may hold anything under these names. All of it is checked here, once: what does
not fit is not used, and is one line of the page.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, TypeVar

import pandas as pd
from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError

from stages.common.errors import UserError
from stages.common.reading import read_bytes
from stages.common.store import STORE
from stages.common.yaml12 import parse_yaml
from stages.evaluate.markdown import code

Numbers = dict[str, int | float]
"""Dotted name, such as ``photos.train``, to number; an int is a count."""

LARGEST_FILE, LARGEST_TABLE = 2_000_000, 20_000_000
"""Bytes of a file that is parsed, and of one that is a CSV table."""

LARGEST_NUMBER = 10**12

DEEPEST, LONGEST_PREFIX = 8, 200
"""Bounds of nested names; without them, a file of 2 MB could make dotted names of gigabytes."""

LONGEST_PROBLEM = 160

WEIGHTS = PurePath("data/weights")

Reader = Callable[[str], bytes | None]
"""Gives what a file holds, None if there is no such file."""

T = TypeVar("T")


class ContentError(UserError):
    """A file that can't be used; the message names file and problem, ready for the page."""


def flatten(tree: Any, prefix: str = "", depth: int = DEEPEST) -> dict[str, Any]:
    """Return a nested dict's leaves by their dotted names."""
    if not isinstance(tree, dict):
        raise ValueError(f"must hold names and values, not a {type(tree).__name__}")
    if not depth or len(prefix) > LONGEST_PREFIX:
        raise ValueError(f"has names over {DEEPEST} levels or {LONGEST_PREFIX} characters")
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flatten(value, f"{prefix}{key}.", depth - 1)
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


class Item(BaseModel, strict=True, frozen=True):
    """A file or folder that a stage read or wrote."""

    path: str
    md5: str = ""
    size: int = 0
    """Bytes."""
    nfiles: int = 1


class Run(BaseModel, strict=True, frozen=True):
    """How a stage ran; a .dvc file has outs only."""

    deps: list[Item] = []
    outs: list[Item] = []
    params: dict[str, Annotated[dict[str, Any], BeforeValidator(flatten)]] = {}
    """File to parameters, by dotted names."""


@dataclass(frozen=True)
class Snapshot:
    """One side of the comparison; None stands for what is not there or can't be used."""

    params: dict[str, Any] | None
    """Dotted name, such as ``train.lr``, to value."""
    lock: dict[str, Run] | None
    """By stage."""
    prepared: Numbers | None
    evaluation: Numbers | None
    classes: Numbers | None
    """``rose.f1`` and so on, for every class that has one."""
    losses: list[float] | None
    """The validation loss of every epoch."""
    predictions: pd.DataFrame | None
    """A row per test photo: path, actual, predicted, confidence."""
    taken: pd.DataFrame | None
    """A row per photo of the store: path, class, split, sha256."""
    problems: tuple[str, ...]
    """A line, ready for the page, for each file that can't be used."""

    @property
    def photos(self) -> Item | None:
        """The photos that were prepared: the dependency that the parameter data.photos names."""
        return self._dep("prepare", PurePath(str((self.params or {}).get("data.photos"))))

    @property
    def store(self) -> Item | None:
        """The store that was trained on."""
        return self._dep("train", STORE)

    @property
    def weights(self) -> Item | None:
        """What training started from: the dependency that the parameter model.weights names."""
        return self._dep("train", WEIGHTS / str((self.params or {}).get("model.weights")))

    def _dep(self, stage: str, path: PurePath) -> Item | None:
        deps = (self.lock or {}).get(stage, Run()).deps
        return next((dep for dep in deps if PurePath(dep.path) == path), None)


def read_snapshot(read: Reader, where: str = "") -> Snapshot:
    """Read one side of the comparison.

    Parameters
    ----------
    where : str
        Stands before a file's name in a problem, as in ``main:metrics/loss.csv``.
    """
    problems: list[str] = []

    def part(path: str, parse: Callable[[bytes], T]) -> T | None:
        try:
            return read_file(path, parse, read, where)
        except ContentError as error:
            problems.append(str(error))
            return None

    return Snapshot(
        params=part("params.yaml", lambda content: flatten(read_yaml(content))),
        lock=part("dvc.lock", read_lock),
        prepared=part("metrics/prepare.json", read_numbers),
        evaluation=part("metrics/evaluation.json", read_numbers),
        classes=part("metrics/classes.csv", read_classes),
        losses=part("metrics/loss.csv", read_losses),
        predictions=part("metrics/predictions.csv", read_predictions),
        taken=part("metrics/photos.csv", read_taken),
        problems=tuple(problems),
    )


def file_here(path: str) -> bytes | None:
    """Return what a file in this folder holds, None if there is no such file."""
    file = Path(path)
    if file.is_symlink() or file.parent.is_symlink():
        raise ValueError("is a link, or behind one")
    try:
        return read_bytes(file, largest(path))
    except FileNotFoundError:
        return None


def largest(path: str) -> int:
    """Return how many bytes of a file are read."""
    return LARGEST_TABLE if path.endswith(".csv") else LARGEST_FILE


def read_file(
    path: str, parse: Callable[[bytes], T], read: Reader = file_here, where: str = ""
) -> T | None:
    """Parse a file, if there is one; a `ContentError` tells what is wrong with it."""
    try:
        content = read(path)
        if content is None:
            return None
        if len(content) > largest(path):
            raise ValueError(f"has {len(content):,} bytes, more than {largest(path):,}")
        return parse(content)
    except (OSError, ValueError, RecursionError) as error:
        raise ContentError(f"{code(where + path)}: {_describe(error)}") from error


def _describe(error: Exception) -> str:
    """Say in a few words, ready for the page, what is wrong."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return code(f"{place}: {first['msg']}".removeprefix(": "), LONGEST_PROBLEM)
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return code(error.strerror if isinstance(error, OSError) else error, LONGEST_PROBLEM)


def read_yaml(content: bytes) -> Any:
    """Return what YAML 1.2 holds; an empty file holds an empty dict."""
    tree = parse_yaml(content.decode())
    return {} if tree is None else tree


def read_lock(content: bytes) -> dict[str, Run]:
    """Return the stages of a dvc.lock."""
    lock = read_yaml(content)
    stages = lock.get("stages", {}) if isinstance(lock, dict) else lock
    return TypeAdapter(dict[str, Run]).validate_python(stages)


def read_numbers(content: bytes) -> Numbers:
    """Return a JSON file's numbers by their dotted names."""
    values = flatten(json.loads(content))
    numbers = {name: value for name, value in values.items() if value is not None}
    for name, value in numbers.items():
        # NaN is not below anything, and a bool is an int.
        if type(value) not in (int, float) or not abs(value) <= LARGEST_NUMBER:
            raise ValueError(f"{name} must be a number up to {LARGEST_NUMBER:.0e}, got {value!r}")
    return numbers


def read_losses(content: bytes) -> list[float]:
    """Return the validation loss of every epoch; none of a linear probe, whose row is epoch 0."""
    table = _read_table(content, ["epoch", "val_loss"]).astype(float)
    if table["epoch"].tolist() == [0]:
        return []
    if table["epoch"].tolist() != list(range(1, len(table) + 1)):
        raise ValueError("epoch must be 1, 2, 3 and so on")
    if not table["val_loss"].abs().le(LARGEST_NUMBER).all():
        raise ValueError(f"val_loss must be numbers up to {LARGEST_NUMBER:.0e}")
    return list(table["val_loss"])


def read_predictions(content: bytes) -> pd.DataFrame:
    """Return a row per test photo: path, actual, predicted, confidence."""
    table = _read_table(content, ["path", "actual", "predicted", "confidence"])
    table = table.astype({"confidence": float})
    if table["path"].duplicated().any():
        raise ValueError("has a photo twice")
    if not table["confidence"].between(0, 1).all():
        raise ValueError("confidence must be from 0 to 1")
    return table


def read_classes(content: bytes) -> Numbers:
    """Return ``rose.f1`` and so on, for every class that has one."""
    table = _read_table(content, ["class", "f1"])
    scores = table[table["f1"] != ""].set_index("class")["f1"].astype(float)
    if not scores.between(0, 1).all():
        raise ValueError("f1 must be from 0 to 1")
    return {f"{name}.f1": score for name, score in scores.items()}


def read_taken(content: bytes) -> pd.DataFrame:
    """Return a row per photo of the store: path, class, split, sha256."""
    table = _read_table(content, ["path", "class", "split", "sha256"])
    if table["path"].duplicated().any() or table["sha256"].duplicated().any():
        raise ValueError("has a photo twice")
    if (table == "").any(axis=None):
        raise ValueError("has an empty value")
    return table


def _read_table(content: bytes, columns: list[str]) -> pd.DataFrame:
    """Read some columns of a CSV file as text, so that a class may be named NA or 007."""
    table = pd.read_csv(
        io.BytesIO(content), usecols=columns, dtype=str, keep_default_na=False, index_col=False
    )
    if table.empty:
        raise ValueError("has no rows")
    return table
