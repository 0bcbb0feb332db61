"""Tools and benchmarks use what the stages offer, not their insides."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = sorted(path for room in ("tools", "benchmarks") for path in (ROOT / room).rglob("*.py"))


def private_names(source: str) -> list[str]:
    """Return the names with a leading underscore, ``__main__`` included, that code imports."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    return sorted(
        name for name in imported if any(part.startswith("_") for part in name.split("."))
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_private_name_is_imported(path: Path) -> None:
    assert private_names(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    ["from a.b import _c", "from a.__main__ import b", "import a._b", "from a import __main__"],
)
def test_a_private_name_is_found(source: str) -> None:
    assert private_names(source)
