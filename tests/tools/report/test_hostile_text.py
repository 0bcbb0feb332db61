"""Names and values of a revision are shown, and are nothing but text."""

import re
from collections.abc import Callable

import pytest

from stages.evaluate.markdown import code
from tests.tools.report.sides import EMPTY, comparison, snapshot, written
from tools.report.page import give_verdict, write_page
from tools.report.staleness import Staleness

HOSTILE = {
    "HTML": "<img src=x onerror=alert(1)><details open>",
    "a comment's end": "--><script>alert(1)</script><!--",
    "a link": "[click](https://evil.example)",
    "a picture": "![x](https://evil.example/x.png)",
    "an address": "https://evil.example/x",
    "a mention": "@octocat",
    "an issue": "#1 GH-1",
    "a heading": "# Approved",
    "bold": "**Accuracy better by 9 points**",
    "backticks": "`` ` ```",
    "a fence": "```mermaid",
    "a pipe": "a | b || c",
    "an escaped pipe": "a\\|<b>x</b>|@octocat",
    "backslashes": "a\\",
    "a tab": "a\t| b",
    "math": "$`\\href{x}{y}`$",
    "an emoji name": ":tada:",
}
UNPRINTABLE = {
    "a newline": "a\n\n# Approved\n\n@octocat",
    "an ANSI escape": "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "a C1 escape": "\x9b31mred",
    "a carriage return": "worse\rbetter",
    "a turned text": "\u202egpj.exe\u2066x\u2069",
    "a zero-width space": "ro\u200bse",
    "a line separator": "a\u2028# Approved",
    "a private letter": "\ue000\U000f0000",
    "NUL": "a\0b",
}


def of_metric(text: str) -> dict[str, object]:
    return {"metrics/evaluation.json": {"accuracy": 0.5, text: 1}}


def of_class(text: str) -> dict[str, object]:
    return {"metrics/evaluation.json": {"classes": {text: {"f1": 0.5}}, "accuracy": 1}}


def of_metric_value(text: str) -> dict[str, object]:
    return {"metrics/evaluation.json": {"accuracy": text}}


def of_param(text: str) -> dict[str, object]:
    return {"params.yaml": {text: 1}}


def of_param_value(text: str) -> dict[str, object]:
    return {"params.yaml": {"train": {"lr": text}}}


def of_count(text: str) -> dict[str, object]:
    return {"metrics/prepare.json": {"photos": {"train": {text: 1}}}}


def of_source(text: str) -> dict[str, object]:
    dep = {"path": text, "md5": text}
    return {
        "params.yaml": {"data": {"photos": text}},
        "dvc.lock": {"stages": {"prepare": {"deps": [dep]}}},
    }


def of_photo(text: str) -> dict[str, object]:
    return {"metrics/predictions.csv": written((text, text, text))}


PLACES: list[Callable[[str], dict[str, object]]] = [
    of_metric,
    of_class,
    of_metric_value,
    of_param,
    of_param_value,
    of_count,
    of_source,
    of_photo,
]
WORST = ("HTML", "a mention", "backticks", "a pipe", "a newline", "an ANSI escape", "a turned text")
TEXTS = HOSTILE | UNPRINTABLE
CASES = [(of_metric, text) for text in TEXTS] + [(p, text) for p in PLACES[1:] for text in WORST]


def outside_code(page: str) -> str:
    """Return what of a page is not in a code span, with the spans as one letter."""
    return re.sub(r"`[^`\n]+`", "S", page.replace("```mermaid", "").replace("\n```\n", "\n"))


def page_of(place: Callable[[str], dict[str, object]], text: str) -> str:
    """Return a page whose after, and for photos also its before, holds a text."""
    after = snapshot(place(text))
    before = snapshot(
        {"params.yaml": "", "metrics/evaluation.json": {"accuracy": 1}}
        | ({"metrics/predictions.csv": written((text, text, "else"))} if place is of_photo else {})
    )
    here = f"{text} + uncommitted changes"
    both = comparison(before, after, here=here, base=text, behind=1)
    assert not [
        letter for letter in give_verdict(both) if letter != "\n" and not letter.isprintable()
    ]
    return write_page(both)


@pytest.mark.parametrize(
    ("place", "kind"), CASES, ids=[f"{place.__name__}: {kind}" for place, kind in CASES]
)
def test_hostile_text_is_only_text(place: Callable[[str], dict[str, object]], kind: str) -> None:
    """A page with the text has the same words and cells outside its code spans as one without."""
    page, harmless = page_of(place, TEXTS[kind]), page_of(place, "rose")
    assert code(TEXTS[kind])[1:30] in page
    same = outside_code(page) == outside_code(harmless)
    assert same, page[:2000]
    assert {letter for letter in page if not letter.isprintable()} == {"\n"}


def test_half_a_surrogate_pair_is_escaped() -> None:
    side = snapshot({"metrics/evaluation.json": r'{"\ud800": 1}'})
    assert r"| `\ud800` |  | 1 |" in write_page(comparison(EMPTY, side))


def test_an_odd_file_is_told_as_text() -> None:
    odd = snapshot({"metrics/evaluation.json": r'{"<b>\u001b[2J@x": "\u202e![x](y)"}'})
    said = give_verdict(comparison(EMPTY, odd)).splitlines()[-1]
    assert said == (
        r"- **Ignored:** `here:metrics/evaluation.json`: `<b>\x1b[2J@x must be a "
        r"number up to 1e+12, got '\u202e![x](y)'`."
    )


def test_staleness_shows_names_as_text() -> None:
    staleness = Staleness({"<b>\x1b[31m": ["`x` changed"]}, ["@octocat\u202e"])
    said = give_verdict(comparison(EMPTY, EMPTY, staleness=staleness))
    assert r"`<b>\x1b[31m` (`x` changed)" in said
    assert r"`@octocat\u202e`" in said
