"""Names that stay names, tables and lists."""

import unicodedata

import pytest

from stages.evaluate.markdown import MOST_ROWS, code, listed, plain, plural, table


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


def test_lists_and_plurals() -> None:
    assert [listed(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed("abcd", 2) == "a, b and 2 more"
    assert (plural(1, "photo"), plural(2_000, "class")) == ("1 photo", "2,000 classes")


def test_a_table_aligns_numbers_and_counts_the_rows_it_leaves_out() -> None:
    assert table(["a", "b"], [["1", "2"]], "row") == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
    rows = [[str(i)] for i in range(MOST_ROWS + 2)]
    assert table(["a"], rows, "row").endswith(f"| {MOST_ROWS - 1} |\n\nand 2 more rows.")
    assert table(["a"], rows, "row", most=MOST_ROWS + 1).endswith("\n\nand 1 more row.")
