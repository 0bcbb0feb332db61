"""What is wrong with params.yaml, in our words: one line for each problem that pydantic found."""

import difflib
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from stages.common.names import printable_name

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
"""pydantic's words and ours, replaced in this order."""


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
    for theirs, ours in _WORDING.items():
        allowed = allowed.replace(theirs, ours)
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
