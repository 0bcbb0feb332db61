"""What the files of a revision may hold; a ValueError says in one line what is odd."""

import io
import json
from collections import Counter
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from stages.common.yaml12 import parse_yaml
from tools.report.metrics import Numbers

LARGEST = 10**12
"""Of a number."""
DEEPEST = 8
LONGEST_PREFIX = 200
"""Bounds of nested names; without them, a file of 2 MB could make dotted names of gigabytes."""


def flatten(tree: Any, prefix: str = "", depth: int = DEEPEST) -> dict[str, Any]:
    """Return a nested dict's leaves by their dotted names.

    Raises
    ------
    ValueError
        If it is no dict, or nested too deeply.
    """
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


class Schema(BaseModel):
    """Frozen and without coercion; keys that it does not know are passed over."""

    model_config = ConfigDict(strict=True, frozen=True)


class Item(Schema):
    """A file or folder that a stage read or wrote."""

    path: str
    md5: str = ""
    size: Annotated[int, Field(ge=0, le=10**18)] = 0
    """Bytes."""
    nfiles: Annotated[int, Field(ge=0, le=LARGEST)] = 1


class Entry(Schema):
    """How a stage ran; a .dvc file has outs only."""

    deps: list[Item] = []
    outs: list[Item] = []
    params: dict[str, Annotated[dict[str, Any], BeforeValidator(flatten)]] = {}
    """File to parameters, by dotted names."""


ENTRIES = TypeAdapter(dict[str, Entry])


def read_yaml(content: bytes) -> Any:
    """Return what YAML 1.2 holds; an empty file holds an empty dict."""
    tree = parse_yaml(content.decode())
    return {} if tree is None else tree


def read_lock(content: bytes) -> dict[str, Entry]:
    """Return the stages of a dvc.lock."""
    lock = read_yaml(content)
    return ENTRIES.validate_python(lock.get("stages", {}) if isinstance(lock, dict) else lock)


def read_numbers(content: bytes) -> Numbers:
    """Return a JSON file's numbers by their dotted names."""
    numbers = flatten(json.loads(content, object_pairs_hook=_unique))
    for name, value in numbers.items():
        # NaN is not below anything, and a bool is an int.
        if value is not None and not (type(value) in (int, float) and abs(value) <= LARGEST):
            raise ValueError(f"{name} must be a number up to {LARGEST:.0e}, got {value!r}")
    return {name: value for name, value in numbers.items() if value is not None}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    (name, times), *_ = Counter([name for name, _ in pairs]).most_common(1) or [("", 1)]
    if times > 1:
        raise ValueError(f"has {name} twice")
    "".join(name for name, _ in pairs).encode()  # half a surrogate pair can't be written
    return dict(pairs)


def read_losses(content: bytes) -> pd.DataFrame:
    """Return a row per epoch: epoch, train_loss, val_loss."""
    table = _read_table(content, [], ["epoch", "train_loss", "val_loss"])
    if table["epoch"].tolist() != list(range(1, len(table) + 1)):
        raise ValueError("epoch must be 1, 2, 3 and so on")
    return table


def read_predictions(content: bytes) -> pd.DataFrame:
    """Return a row per test photo: path, actual, predicted, confidence."""
    table = _read_table(content, ["path", "actual", "predicted"], ["confidence"])
    if table["path"].duplicated().any():
        raise ValueError("has a photo twice")
    if not table["confidence"].between(0, 1).all():
        raise ValueError("confidence must be from 0 to 1")
    return table


def _read_table(content: bytes, texts: list[str], numbers: list[str]) -> pd.DataFrame:
    """Read some columns; a class named NA or 007 stays text."""
    columns = [*texts, *numbers]
    table = pd.read_csv(
        io.BytesIO(content), usecols=columns, dtype=str, keep_default_na=False, index_col=False
    )
    table = table[columns].astype(dict.fromkeys(numbers, float))
    if table.empty:
        raise ValueError("has no rows")
    if not table[numbers].abs().le(LARGEST).all(axis=None):
        raise ValueError(f"{', '.join(numbers)} must be numbers up to {LARGEST:.0e}")
    return table
