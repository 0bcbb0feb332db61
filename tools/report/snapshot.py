"""What one side of the comparison holds: its parameters and results, as they were committed.

params.yaml              every parameter
dvc.lock                 which photos were prepared
metrics/prepare.json     photos per split and class
metrics/loss.csv         a row per epoch
metrics/evaluation.json  the figures of the test
metrics/predictions.csv  a row per test photo
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd
from dvc.utils.serialize import ParseError, parse_yaml

from stages.common.errors import UserError

Reader = Callable[[str], bytes | None]
"""Gives a file's content, or None if there is no such file."""


@dataclass(frozen=True)
class Photos:
    """The photos that were prepared, as dvc.lock knows them."""

    path: str
    digest: str
    files: int | None
    size_bytes: int | None


@dataclass(frozen=True)
class Snapshot:
    """One side of the comparison; what is not there is None."""

    params: dict[str, Any]
    """Flat: ``train.lr`` to its value."""
    photos: Photos | None
    prepared: dict[str, Any] | None
    losses: pd.DataFrame | None
    evaluation: dict[str, Any] | None
    predictions: pd.DataFrame | None


def read_snapshot(read: Reader, where: str = "") -> Snapshot:
    """Read one side of the comparison.

    Parameters
    ----------
    where : str
        Stands before a file's name in a message, as in ``main:metrics/loss.csv``.

    Raises
    ------
    UserError
        If a file that is there is not what it should be.
    """
    source = _Source(read, where)
    params = flatten(source.yaml("params.yaml") or {})
    return Snapshot(
        params=params,
        photos=_photos(source.yaml("dvc.lock", broken_is_none=True), params.get("data.photos")),
        prepared=source.json("metrics/prepare.json"),
        losses=source.csv("metrics/loss.csv", [], ["epoch", "train_loss", "val_loss"]),
        evaluation=source.json("metrics/evaluation.json"),
        predictions=_without_repeats(
            source.csv("metrics/predictions.csv", ["path", "actual", "predicted"], ["confidence"])
        ),
    )


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested dict's leaves by their dotted names."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


@dataclass(frozen=True)
class _Source:
    read: Reader
    where: str

    def yaml(self, path: str, broken_is_none: bool = False) -> dict[str, Any] | None:
        """Parse as DVC does: YAML 1.2, in which 1e-05 is a number."""
        content = self.read(path)
        if content is None:
            return None
        try:
            return self._mapping(path, parse_yaml(content.decode(errors="replace"), path))
        except ParseError as error:
            if broken_is_none:
                return None
            raise UserError(f"{self.where}{path}: is not valid YAML; mend it first") from error

    def json(self, path: str) -> dict[str, Any] | None:
        content = self.read(path)
        if content is None:
            return None
        try:
            return self._mapping(path, json.loads(content))
        except ValueError as error:
            raise self._broken(path, f"is not valid JSON: {error}") from error

    def csv(self, path: str, texts: list[str], numbers: list[str]) -> pd.DataFrame | None:
        """Read a table; a class named NA or 007 stays text."""
        content = self.read(path)
        if content is None:
            return None
        try:
            table = pd.read_csv(
                io.BytesIO(content), dtype=dict.fromkeys(texts, str), keep_default_na=False
            )
            return table.astype(dict.fromkeys(texts, str) | dict.fromkeys(numbers, float))
        except (ValueError, KeyError) as error:
            detail = str(error).splitlines()[0]
            raise self._broken(path, f"lacks {[*texts, *numbers]}: {detail}") from error

    def _mapping(self, path: str, content: Any) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise self._broken(path, f"must hold names and values, got {content!r:.40}")
        return content

    def _broken(self, path: str, problem: str) -> UserError:
        return UserError(f"{self.where}{path}: {problem}; write it again with `dvc repro`")


def _photos(lock: dict[str, Any] | None, path: Any) -> Photos | None:
    """Find among prepare's dependencies the one that the parameter data.photos names."""
    stages = (lock or {}).get("stages") or {}
    for dep in stages.get("prepare", {}).get("deps", []):
        if PurePath(dep["path"]) == PurePath(str(path)):
            return Photos(dep["path"], str(dep.get("md5")), dep.get("nfiles"), dep.get("size"))
    return None


def _without_repeats(predictions: pd.DataFrame | None) -> pd.DataFrame | None:
    """Keep each photo once, so that a hand-made table can't count one twice."""
    return None if predictions is None else predictions.drop_duplicates("path")
