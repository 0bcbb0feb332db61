"""docs/faults.md: every row names a test that is there."""

import re

import pytest

from tests.conftest import ROOT

ROWS = [
    line.rsplit("|", 2)[1].strip()
    for line in (ROOT / "docs/faults.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


def test_there_are_at_least_sixty() -> None:
    assert len(ROWS) >= 60


@pytest.mark.parametrize("row", sorted(set(ROWS)))
def test_a_row_names_a_test(row: str) -> None:
    file, _, name = row.partition(" ")
    text = (ROOT / "tests" / file.rstrip(",")).read_text()
    assert re.search(rf"^def {name}\(", text, re.MULTILINE) or name == "`make kill-test`"
