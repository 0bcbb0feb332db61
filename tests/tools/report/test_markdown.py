"""The page's parts: names, tables, sentences, and what gives way when it is too long."""

import unicodedata

import pytest

from tools.report.comparison import signed
from tools.report.markdown import (
    MINUS,
    MOST_ROWS,
    assemble,
    code,
    listed,
    plain,
    plural,
    table,
)


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("rose", "`rose`"),
        ("a|b", r"`a\x7cb`"),
        ("two\nlines", "`two lines`"),
        ("`tick", r"`\x60tick`"),
        ("a``b", r"`a\x60\x60b`"),
        ("", "(empty)"),
        (" \n", "(empty)"),
        ("@everyone <b>", "`@everyone <b>`"),
        ("\x1b[31mred", r"`\x1b[31mred`"),
        ("\u202egpj.exe", r"`\u202egpj.exe`"),
        ("zero\u200bwidth", r"`zero\u200bwidth`"),
        ("half \ud800", r"`half \ud800`"),
        ("cafe\u0301", "`caf\u00e9`"),
        ("a" * 50 + "z" * 50, f"`{'a' * 39}…{'z' * 40}`"),
        (1e-05, "`1e-05`"),
    ],
)
def test_a_name_stays_a_name(name: object, span: str) -> None:
    assert code(name) == span


def test_no_invisible_or_turning_character_passes() -> None:
    kinds = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    hidden = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) in kinds]
    assert len(hidden) > 130_000
    for start in range(0, len(hidden), 1000):
        shown = plain("".join(hidden[start : start + 1000]), 10**6)
        assert not {unicodedata.category(letter) for letter in shown} & kinds


def test_sentences_and_numbers() -> None:
    assert [listed(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed("abcd", 2) == "a, b and 2 more"
    assert (plural(1, "photo"), plural(2_000, "class")) == ("1 photo", "2,000 classes")
    changes = [signed(number) for number in (0.25, -0.00001, -1.0)]
    assert changes == ["+0.2500", "0", f"{MINUS}1.0000"]
    assert (signed(1234), signed(0)) == ("+1,234", "0")
    assert table(["a", "b"], [["1", "2"]], "row") == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
    rows = [[str(i)] for i in range(MOST_ROWS + 2)]
    assert table(["a"], rows, "row").endswith(f"| {MOST_ROWS - 1} |\n\nand 2 more rows.")


def test_the_longest_sections_give_way_until_the_page_fits() -> None:
    page = assemble("mark", {"# a": "é" * 40_000, "# b": "b" * 30_000, "# c": "c"})
    first, last = page.split("b" * 30_000)
    assert first == "mark\n\n# a\n\nToo long to show here: 40,000 characters.\n\n# b\n\n"
    assert last == "\n\n# c\n\nc\n"
    assert len(assemble("mark", {str(i): "x" * 70_000 for i in range(9)})) < 1000
