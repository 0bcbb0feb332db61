import time

import pytest
from dvc.utils.serialize import ParseError, YAMLFileCorruptedError
from dvc.utils.serialize import parse_yaml as parse_as_dvc

from stages.common.yaml12 import MAX_CHARACTERS, YamlError, parse_yaml

SPELLINGS = [
    "0",
    "00",
    "08",
    "012",
    "0o12",
    "0O12",
    "0x1F",
    "0X1F",
    "0b101",
    "0b2",
    "1_000",
    "1__0",
    "_1",
    "0_1",
    "1_",
    "+1",
    "-1",
    "+0x1f",
    "-0o7",
    "0o",
    "0x",
    "0b",
    "1e-05",
    "1E5",
    "1e+3",
    "1e",
    "1e5_0",
    "1.5_0",
    "1.",
    "1.e3",
    ".5",
    "+.5",
    "-.5",
    ".5e3",
    ".5e+3",
    "._5",
    ".",
    "1.2.3",
    ".inf",
    "-.INF",
    ".nan",
    "1:30",
    "190:20:30",
    "true",
    "True",
    "TRUE",
    "tRUE",
    "false",
    "off",
    "on",
    "yes",
    "no",
    "y",
    "n",
    "null",
    "~",
    "Null",
    "2024-01-01",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_value_is_what_dvc_records(spelling: str) -> None:
    text = f"a: {spelling}"
    assert repr(parse_yaml(text)) == repr(parse_as_dvc(text, "params.yaml"))


@pytest.mark.parametrize("spelling", ["-", "=", "<<", "0x_", "._"])
def test_what_dvc_cannot_read_is_refused(spelling: str) -> None:
    text = f"a: {spelling}"
    with pytest.raises((YAMLFileCorruptedError, ValueError)):
        parse_as_dvc(text, "params.yaml")
    with pytest.raises(YamlError):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("spelling", "value"),
    [("012", 12), ("1:30", "1:30"), ("off", "off"), ("0o12", 10), ("1e-05", 1e-5), ("1_000", 1000)],
)
def test_values_that_yaml_1_1_reads_otherwise(spelling: str, value: object) -> None:
    assert parse_yaml(f"a: {spelling}") == {"a": value}


def test_dvc_itself_refuses_duplicate_keys() -> None:
    with pytest.raises(ParseError):
        parse_as_dvc("a: 1\na: 2", "params.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: duplicate key 'c'; keep one"),
        ("a: &x 1\nb: *x", "line 1: anchors, aliases and tags are not allowed here"),
        ("b: *x", "line 1: anchors, aliases and tags"),
        ("a: !!timestamp x", "line 1: anchors, aliases and tags"),
        ("a: 9999-99-99", "month must be in 1..12"),
        ("a: " + "9" * 5000, "line 1: a number of 5000 characters"),
        ("a: " + "9" * 5000 + ".0", "line 1: a number of 5002 characters"),
        ("[" * 900, "nested too deeply"),
        ("- " * 3000 + "1", "nested too deeply"),
        ("a" * (MAX_CHARACTERS + 1), "has 1,000,001 characters, more than 1,000,000"),
        ("a: \x00", "special characters are not allowed"),
        ("--- 1\n--- 2", "line 2: but found another document"),
    ],
)
def test_what_is_refused_is_one_short_line_at_once(text: str, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(YamlError) as refused:
        parse_yaml(text)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)
    assert time.monotonic() - start < 30  # no bomb goes off


def test_an_empty_document_is_nothing() -> None:
    assert parse_yaml("") is None
