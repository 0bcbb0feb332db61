"""The strict reader of params.yaml, by the schema in schema.py.

The whole file is checked before a stage starts, and all its problems are reported at once, each as
``params.yaml: section.key ...``.

A parameter of ``prepare``, ``train`` or ``evaluate`` may have two values, ``scratch`` and
``pretrained``: ``model.weights`` decides which one counts. What `load_params` returns has plain
values only.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stages.common.errors import UserError
from stages.common.names import printable_name
from stages.common.reading import read_bytes
from stages.common.schema import Params
from stages.common.yaml12 import YamlError, parse_yaml

PARAMS_FILE = Path("params.yaml")

MAX_BYTES = 4_000_000
"""More is no parameter file: yaml12.py reads a million characters."""

STARTS = ("scratch", "pretrained")
"""The keys of a parameter with two values: for random first weights, and for pretrained ones."""

SECTIONS_WITH_STARTS = ("prepare", "train", "evaluate")
"""The sections whose parameters may have two values."""


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the parameter file."""
    content = read_params(path)
    start = _start(content)
    # Both values of a parameter are checked, also the one that does not count today.
    validated = {
        name: _validate(content, name) for name in sorted(STARTS, key=lambda name: name != start)
    }
    problems = dict.fromkeys(line for _, lines in validated.values() for line in lines)
    chosen, _ = validated[start]
    if chosen is None or problems:
        raise UserError("\n".join(f"{path}: {line}" for line in shortened(list(problems))))
    if chosen.train.epochs == 0 and chosen.model.weights == "none":
        raise UserError(
            f"{path}: train.epochs is 0, which fits only the head of a pretrained network, but "
            "model.weights is none; give weights, or set train.epochs to at least 1"
        )
    return chosen


def read_params(path: Path = PARAMS_FILE) -> Any:
    """Return what the parameter file holds, unchecked."""
    try:
        text = read_bytes(path, MAX_BYTES).decode()
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; run from the project's folder") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: cannot be read: {reason}") from error
    try:
        return parse_yaml(text)
    except YamlError as error:
        raise UserError(f"{path}: {error}") from error


def _start(content: object) -> str:
    """Return which of a parameter's two values applies."""
    model = content.get("model") if isinstance(content, dict) else None
    weights = model.get("weights") if isinstance(model, dict) else None
    return STARTS[weights != "none"]


def _validate(content: object, start: str) -> tuple[Params | None, list[str]]:
    """Return the parameters of one start, or None and what is wrong with them."""
    try:
        return Params.model_validate(_choose(content, start)), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [
            describe_problem(
                detail, Params, (start,) if _is_pair_at(content, detail["loc"]) else ()
            )
            for detail in details
        ]


def _choose(content: object, start: str) -> object:
    """Replace the parameters with two values by one of them."""
    if not isinstance(content, dict):
        return content
    sections = {
        name: {key: value[start] if _is_pair(value) else value for key, value in section.items()}
        for name in SECTIONS_WITH_STARTS
        if isinstance(section := content.get(name), dict)
    }
    return content | sections


def _is_pair(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(STARTS)


def _is_pair_at(content: Any, location: tuple[int | str, ...]) -> bool:
    if len(location) != 2:
        return False
    section, key = location
    return section in SECTIONS_WITH_STARTS and _is_pair(content[section].get(key))


MOST_PROBLEMS = 20
MOST_CHARACTERS = 100
"""What an error shows of a name or value, and how many problems."""

_WORDING = {
    "Input should be ": "",
    "Value error, ": "",
    "String should have at least 1 character": "not empty",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid ": "a ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}
"""pydantic's words and plainer ones, replaced in this order."""


def shortened(lines: list[str]) -> Iterator[str]:
    """Return the first lines, and one that counts the others."""
    yield from lines[:MOST_PROBLEMS]
    if len(lines) > MOST_PROBLEMS:
        yield f"and {len(lines) - MOST_PROBLEMS:,} more problems"


def describe_problem(detail: ErrorDetails, schema: type[BaseModel], which: tuple[str, ...]) -> str:
    """Say one problem as ``section.key must be ..., got ...``; `which` names one of two values."""
    kind = detail["type"]
    if kind == "extra_forbidden":  # the key itself is the problem
        which = ()
    name = _short(".".join(str(part) for part in (*detail["loc"], *which)))
    if kind == "invalid_key":
        return f"{name} is not a parameter name"
    if kind == "missing":
        return f"{name} is missing; add it (docs/parameters.md says what it means)"
    if kind == "extra_forbidden":
        return f"{name} is unknown{_nearest(detail['loc'], schema)}"
    if kind in ("model_type", "dict_type"):
        what = f"{name} must be" if name else "must hold"
        return f"{what} a section of `key: value` lines, got {_shown(detail['input'])}"
    allowed = detail["msg"]
    for words, plain in _WORDING.items():
        allowed = allowed.replace(words, plain)
    return f"{name} must be {allowed}, got {_shown(detail['input'])}"


def _shown(value: object) -> str:
    return "nothing" if value is None else _short(repr(value))


def _short(text: str) -> str:
    shown = printable_name(text[:MOST_CHARACTERS])
    return shown if len(text) <= MOST_CHARACTERS else f"{shown}..."


def _nearest(location: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    """Name the known key that an unknown one most resembles, or all that are known there."""
    section = schema
    for part in location[:-1]:
        section = _section_class(section, str(part))
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"; did you mean {'.'.join([*map(str, location[:-1]), near[0]])}?"
    return f"; known here: {', '.join(known)}"


def _section_class(section: type[BaseModel], key: str) -> type[BaseModel]:
    annotation = section.model_fields[key].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, BaseModel)
    return annotation
