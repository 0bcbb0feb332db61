"""The report's parts: pairing, metrics, Markdown, what a revision may hold, sentences, sections."""

import csv
import json
import re
import subprocess
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from tools.report.comparison import Comparison, compare
from tools.report.markdown import (
    LONGEST_PAGE,
    MINUS,
    MOST_ROWS,
    assemble,
    code,
    listed,
    plain,
    plural,
    table,
)
from tools.report.metrics import compare_numbers, signed
from tools.report.page import (
    MARKER,
    describe_classes,
    describe_data,
    describe_metrics,
    describe_params,
    describe_photos,
    draw_losses,
    write_page,
)
from tools.report.paired import (
    GAINED,
    LOST,
    compare_predictions,
    mcnemar_exact,
    show_p_value,
)
from tools.report.snapshot import Snapshot, read_snapshot
from tools.report.staleness import Staleness
from tools.report.verdict import give_verdict

EMPTY = read_snapshot(lambda path: None)
PREDICTIONS = "path,actual,predicted,confidence\n"
LOSSES = "epoch,train_loss,val_loss\n"


def predictions(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "actual", "predicted"]).assign(confidence=0.5)


def written(*rows: tuple[str, str, str]) -> str:
    return predictions(*rows).to_csv(index=False, quoting=csv.QUOTE_ALL)


def snapshot(files: Mapping[str, object]) -> Snapshot:
    """Read a side from text or bytes, and from anything else as JSON."""
    contents = {
        path: content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
        for path, content in files.items()
    }
    return read_snapshot(contents.get, "here:")


def comparison(before: Snapshot, after: Snapshot, **changes: object) -> Comparison:
    sides = {"base": "main", "here": "wide"}
    others = {"behind": 0, "before": before, "after": after, "staleness": Staleness()}
    return Comparison(**{**sides, **others, **changes})  # type: ignore[arg-type]


def test_the_working_tree_is_compared_with_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    asked = []

    def check(params: dict[str, object] | None) -> Staleness:
        asked.append(params)
        return Staleness({"train": ["train.lr"]})

    monkeypatch.setattr("tools.report.comparison.check_staleness", check)
    monkeypatch.chdir(tmp_path)
    evaluation = Path("metrics/evaluation.json")
    evaluation.parent.mkdir()
    evaluation.write_text('{"accuracy": 0.5}')
    Path("params.yaml").write_text("train: {lr: 1}")
    run_git("init", "--initial-branch", "main")
    run_git("add", ".")
    run_git("commit", "--message", "first")
    run_git("switch", "--create", "wide")
    evaluation.write_text('{"accuracy": 0.75}')
    Path("metrics/loss.csv").write_text("nonsense")
    run_git("switch", "main")
    run_git("commit", "--allow-empty", "--message", "second")
    run_git("switch", "wide")
    both = compare("main")
    assert (both.base, both.here, both.behind) == ("main", "wide + uncommitted changes", 1)
    assert (both.before.evaluation, both.after.evaluation) == (
        {"accuracy": 0.5},
        {"accuracy": 0.75},
    )
    assert both.metrics["accuracy"].verdict == "better"
    assert both.after.problems[0].startswith("`metrics/loss.csv`")
    assert asked == [{"train.lr": 1}]
    assert both.staleness.stale == {"train": ["train.lr"]}
    evaluation.write_text('{"accuracy": 0.5}')
    run_git("add", "metrics/loss.csv")
    run_git("commit", "--message", "odd")
    assert compare("wide").before.problems[0].startswith("`wide:metrics/loss.csv`")
    run_git("commit", "--allow-empty", "--message", "results of an experiment")
    run_git("update-ref", "refs/exps/ab/cdef/bold", "HEAD")
    run_git("reset", "--hard", "HEAD^")
    assert (compare("bold").base, compare("bold").behind) == ("bold", 0)


# McNemar


def test_mcnemar_equals_the_published_example() -> None:
    """Two media for growing tubercle bacilli: 12 and 2 discordant of 50 specimens, P = 0.0129.

    Armitage and Berry, "Statistical methods in medical research", 3rd edition, 1994, page 127;
    its exact P (Liddell 1983) as given in the manual of StatsDirect, "McNemar and exact test".
    """
    assert round(mcnemar_exact(12, 2), 4) == 0.0129
    assert mcnemar_exact(2, 12) == mcnemar_exact(12, 2)


@pytest.mark.parametrize(
    ("lost", "gained", "by_hand"),
    [(0, 0, 1), (1, 1, 1), (0, 1, 1), (0, 5, 2 / 32), (1, 5, 2 * (1 + 6) / 64)],
)
def test_mcnemar_equals_coin_tosses_counted_by_hand(lost: int, gained: int, by_hand: float) -> None:
    assert mcnemar_exact(lost, gained) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("p_value", "shown"), [(0.0321, "0.032"), (1e-4, "0.0001"), (0.99e-4, "below 0.0001")]
)
def test_a_small_p_value_is_shown_as_a_bound(p_value: float, shown: str) -> None:
    assert show_p_value(p_value) == shown


def test_pairs_count_only_photos_of_both_tests_under_the_same_class() -> None:
    before = predictions(
        ("1", "rose", "rose"),
        ("2", "rose", "tulip"),
        ("3", "rose", "tulip"),
        ("4", "tulip", "tulip"),
        ("relabeled", "rose", "rose"),
        ("gone", "rose", "rose"),
    )
    after = predictions(
        ("new", "rose", "rose"),
        ("relabeled", "tulip", "tulip"),
        ("4", "tulip", "tulip"),
        ("3", "rose", "daisy"),
        ("2", "rose", "rose"),
        ("1", "rose", "tulip"),
    )
    paired = compare_predictions(before, after)
    assert (paired.shared, paired.unpaired) == (4, 3)
    assert (paired.count(LOST), paired.count(GAINED)) == (1, 1)
    assert paired.changed["path"].to_dict() == {0: "1", 1: "2", 2: "3"}
    assert paired.changed["outcome"].tolist() == ["now wrong", "now right", "still wrong"]


# metrics


@pytest.mark.parametrize(
    ("name", "before", "after", "verdict"),
    [
        ("accuracy", 0.8, 0.9, "better"),
        ("top3_accuracy", 0.9, 0.8, "worse"),
        ("log_loss", 0.8, 0.9, "worse"),
        ("brier_score", 0.9, 0.8, "better"),
        ("expected_calibration_error", 0.2, 0.1, "better"),
        ("macro_f1", 0.8, 0.8, "same"),
        ("classes.log_loss.f1", 0.8, 0.9, "better"),
        ("images", 100, 120, ""),
    ],
)
def test_a_metric_is_judged_by_its_own_direction(
    name: str, before: float, after: float, verdict: str
) -> None:
    assert compare_numbers({name: before}, {name: after})[name].verdict == verdict


def test_a_metric_of_one_side_is_not_judged() -> None:
    side = snapshot({"metrics/evaluation.json": {"accuracy": 0.9}})
    assert "| `accuracy` |  | 0.9000 |  |  |" in describe_metrics(comparison(EMPTY, side))


def test_a_change_has_no_noise_of_binary_fractions() -> None:
    assert compare_numbers({"a": 0.1}, {"a": 0.3})["a"].difference == 0.2


def test_the_bounds_of_an_interval_stand_beside_its_number() -> None:
    side = snapshot(
        {
            "metrics/evaluation.json": {
                "images": 9,
                "accuracy_low": 0.1,
                "accuracy_high": 0.3,
                "accuracy": 0.2,
            }
        }
    )
    rows = describe_metrics(comparison(EMPTY, side)).splitlines()[2:]
    assert rows == [
        "| `images` |  | 9 |  |  |",
        "| `accuracy` |  | 0.2000 (0.1000 to 0.3000) |  |  |",
    ]


# Markdown


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


# what a revision may hold: odd content is one line of the page, whatever it is

ODD_JSON: dict[str, object] = {
    "nothing": b"",
    "no JSON": "accuracy: 1",
    "half a file": '{"accuracy": 0.',
    "a list": [1],
    "a number": "1",
    "null": "null",
    "a text": '"accuracy"',
    "conflict marks": '<<<<<<< HEAD\n{"accuracy": 1}\n=======\n',
    "NaN": '{"accuracy": NaN}',
    "infinity": '{"accuracy": -Infinity}',
    "a number above a double": '{"accuracy": 1e999}',
    "a number above reason": {"accuracy": 1e13},
    "an integer of 5,000 digits": '{"accuracy": 1' + "0" * 5000 + "}",
    "an integer of 400 digits": '{"accuracy": 1' + "0" * 400 + "}",
    "text for a number": {"accuracy": "0.9"},
    "a boolean for a number": {"accuracy": True},
    "a list for a number": {"accuracy": [0.9]},
    "a list of names": {"classes": ["rose", "tulip"]},
    "text for a class's number": {"classes": {"rose": {"f1": "1"}}},
    "deep lists": '{"accuracy": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep names": '{"a":' * 900 + "1" + "}" * 900,
    "names in names in names": '{"a":' * 9 + "1" + "}" * 9,
    "a long name with names below": {"a" * 300: {"b": 1}},
    "no UTF-8": b'{"\xff": 1}',
    "NUL": b"\0",
    "a picture": b"\x89PNG\r\n\x1a\n",
    "too many bytes": "{" + " " * 2_000_000 + "}",
}
ODD_LOSSES = {
    "nothing": "",
    "no rows": LOSSES,
    "one column": "epoch\n1\n",
    "other columns": "a,b,c\n1,2,3\n",
    "a missing column": "epoch,train_loss\n1,1\n",
    "text": f"{LOSSES}1,1,one\n",
    "a missing number": f"{LOSSES}1,1,\n",
    "NaN": f"{LOSSES}1,1,nan\n",
    "infinity": f"{LOSSES}1,1,inf\n",
    "a number above a double": f"{LOSSES}1,1,1e999\n",
    "a number above reason": f"{LOSSES}1,1,-1e13\n",
    "400 digits": f"{LOSSES}1,1,{'9' * 400}\n",
    "epochs from 0": f"{LOSSES}0,1,1\n1,1,1\n",
    "epochs backwards": f"{LOSSES}2,1,1\n1,1,1\n",
    "an epoch twice": f"{LOSSES}1,1,1\n1,1,1\n",
    "an epoch of a billion": f"{LOSSES}1,1,1\n1000000000,1,1\n",
    "half an epoch": f"{LOSSES}0.5,1,1\n",
    "an open quote": f'{LOSSES}"1,1,1\n',
    "a row with too many fields": f"{LOSSES}1,1,1\n2,1,1,1,1,1\n3\n",
    "conflict marks": f"<<<<<<< HEAD\n{LOSSES}1,1,1\n",
    "no UTF-8": b"epoch,train_loss,val_loss\n1,1,\xff\n",
    "NUL": b"\0\0\0\0",
    "too many bytes": LOSSES + "\n" * 20_000_000,
}
ODD_PREDICTIONS = {
    "nothing": "",
    "no rows": PREDICTIONS,
    "no header": "daisy/1.jpg,daisy,daisy,0.9\n",
    "one column": "path\n1\n",
    "no path": "actual,predicted,confidence\nrose,rose,1\n",
    "no class": "path,predicted,confidence\n1,rose,1\n",
    "no prediction": "path,actual,confidence\n1,rose,1\n",
    "no confidence": "path,actual,predicted\n1,rose,rose\n",
    "other columns": "a,b,c,d\n1,2,3,4\n",
    "text for a number": f"{PREDICTIONS}1,rose,rose,high\n",
    "a boolean for a number": f"{PREDICTIONS}1,rose,rose,True\n",
    "a missing number": f"{PREDICTIONS}1,rose,rose,\n",
    "a short row": f"{PREDICTIONS}1,rose\n",
    "NaN": f"{PREDICTIONS}1,rose,rose,nan\n",
    "infinity": f"{PREDICTIONS}1,rose,rose,inf\n",
    "a confidence above 1": f"{PREDICTIONS}1,rose,rose,1.5\n",
    "a negative confidence": f"{PREDICTIONS}1,rose,rose,-0.5\n",
    "a photo twice": f"{PREDICTIONS}1,rose,rose,1\n1,rose,tulip,1\n",
    "an open quote": f'{PREDICTIONS}"1,rose,rose,1\n',
    "conflict marks": f"<<<<<<< HEAD\n{PREDICTIONS}1,rose,rose,1\n",
    "no UTF-8": b"path,actual,predicted,confidence\n\xff,rose,rose,1\n",
    "NUL": b"\0\0\0\0",
    "a picture": b"\x89PNG\r\n\x1a\n",
    "too many bytes": PREDICTIONS + "\n" * 20_000_000,
}
ODD_YAML = {
    "an open bracket": "a: [",
    "a list": "- 1",
    "a number": "1",
    "false": "false",
    "a text": "train",
    "a duplicate key": "a: 1\na: 2",
    "a duplicate key below": "a:\n  b: 1\n  b: 2",
    "an anchor": "a: &x 1",
    "a bomb": "a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]",
    "a tag": "a: !!python/object/apply:os.system [ls]",
    "conflict marks": "<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n",
    "a tab": "a:\n\tb: 1",
    "two documents": "a: 1\n---\nb: 2",
    "a number of 1,000 digits": f"a: {'1' * 1000}",
    "deep lists": f"a: {'[' * 5000}{']' * 5000}",
    "deep names": f"{'{a: ' * 5000}1{'}' * 5000}",
    "names in names in names": f"{'{a: ' * 9}1{'}' * 9}",
    "a long name with names below": f"{'a' * 128}: {{{'b' * 128}: {{c: 1}}}}",
    "a list for a name": "? [1, 2]\n: 3",
    "a control character": "a: \x1b[31m",
    "no UTF-8": b"a: \xff",
    "NUL": b"\0",
    "too many bytes": f"a: 1{' ' * 1_000_000}",
}
STAGE = "stages:\n  prepare:\n    "
BELOW = ("names in names in names", "a long name with names below")
ODD_LOCK = {kind: text for kind, text in ODD_YAML.items() if kind not in BELOW} | {
    "stages as a list": "stages: [prepare]",
    "stages as a number": "stages: 1",
    "stages as nothing": "stages:",
    "a stage as a text": "stages: {prepare: it ran}",
    "a stage as nothing": "stages: {prepare: }",
    "a stage without a name": "stages: {1: {}}",
    "deps as a mapping": f"{STAGE}deps: {{path: a}}",
    "a dep as a text": f"{STAGE}deps: [data/demo]",
    "a dep without a path": f"{STAGE}deps: [{{md5: a}}]",
    "a path as a number": f"{STAGE}deps: [{{path: 1}}]",
    "a path as a list": f"{STAGE}deps: [{{path: [a]}}]",
    "a hash as a number": f"{STAGE}deps: [{{path: a, md5: 12}}]",
    "a hash as a mapping": f"{STAGE}deps: [{{path: a, md5: {{a: b}}}}]",
    "a size as a text": f"{STAGE}deps: [{{path: a, size: big}}]",
    "a size as a fraction": f"{STAGE}deps: [{{path: a, size: 1.5}}]",
    "a size that is infinite": f"{STAGE}deps: [{{path: a, size: .inf}}]",
    "a number of files as a boolean": f"{STAGE}deps: [{{path: a, nfiles: true}}]",
    "outs as a text": f"{STAGE}outs: a",
    "params as a list": f"{STAGE}params: [a]",
    "a file's params as a number": f"{STAGE}params: {{params.yaml: 1}}",
    "params in params": f"{STAGE}params: {{params.yaml: {'{a: ' * 9}1{'}' * 9}}}",
}
KINDS: dict[str, Mapping[str, object]] = {
    "metrics/evaluation.json": ODD_JSON,
    "metrics/prepare.json": {kind: ODD_JSON[kind] for kind in ("a list", "NaN", "too many bytes")},
    "metrics/loss.csv": ODD_LOSSES,
    "metrics/predictions.csv": ODD_PREDICTIONS,
    "params.yaml": ODD_YAML,
    "dvc.lock": ODD_LOCK,
}
ODD = [(path, kind, content) for path, kinds in KINDS.items() for kind, content in kinds.items()]


@pytest.mark.parametrize(
    ("path", "content"),
    [(path, content) for path, _, content in ODD],
    ids=[f"{path}: {kind}" for path, kind, _ in ODD],
)
def test_odd_content_is_one_line_of_the_page(path: str, content: object) -> None:
    odd = snapshot({path: content})
    page = write_page(comparison(odd, odd))
    lines = [line for line in page.splitlines() if "**Ignored:**" in line]
    assert len(lines) == 2  # of two sides
    assert re.fullmatch(rf"- \*\*Ignored:\*\* `here:{path}`: .{{5,200}}\.", lines[0])
    assert write_page(comparison(EMPTY, odd)).count("**Ignored:**") == 1


def test_a_reader_that_fails_is_one_line() -> None:
    def fail(path: str) -> bytes:
        raise ValueError("can't be read: Permission denied")

    assert read_snapshot(fail).problems[0] == "`params.yaml`: `can't be read: Permission denied`"


def test_results_that_are_not_there_are_nothing_odd() -> None:
    assert EMPTY.problems == ()
    assert snapshot({"params.yaml": "", "metrics/evaluation.json": {"a": None}}).problems == ()


def test_an_odd_evaluation_has_no_accuracy() -> None:
    odd = snapshot({"metrics/evaluation.json": {"accuracy": "1"}})
    said = give_verdict(comparison(EMPTY, odd))
    assert "**No accuracy:**" in said
    assert "`accuracy must be a number up to 1e+12, got '1'`" in said


def test_dvcs_own_way_to_write_a_small_number_is_no_change() -> None:
    old = snapshot({"params.yaml": "train:\n  lr: 0.00001\n"})
    new = snapshot({"params.yaml": "train:\n  lr: 1e-05\n"})
    assert describe_params(comparison(old, new)) == "No parameter changed."


def test_a_parameter_that_is_no_number_did_not_change() -> None:
    side = [snapshot({"params.yaml": "train:\n  lr: .nan\n"}) for _ in range(2)]
    assert describe_params(comparison(*side)) == "No parameter changed."


def test_a_class_named_na_stays_a_name() -> None:
    read = snapshot({"metrics/predictions.csv": f"{PREDICTIONS}1,NA,007,1\n"}).predictions
    assert read is not None
    assert read[["actual", "predicted"]].to_numpy().tolist() == [["NA", "007"]]


# hostile text: names and values of a revision are shown, and are nothing but text

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


# sentences


def evaluation(accuracy: float, **more: object) -> dict[str, object]:
    return {"accuracy": accuracy, "accuracy_low": 0.1, "accuracy_high": 0.9, **more}


def test_the_verdict_says_how_far_accuracy_moved_with_both_intervals() -> None:
    before = snapshot({"metrics/evaluation.json": evaluation(0.5)})
    after = snapshot({"metrics/evaluation.json": evaluation(0.425)})
    assert give_verdict(comparison(before, after)) == (
        "- **dvc.lock is up to date** with the code and the parameters.\n"
        "- **Accuracy worse by 7.5 points**: 42.5% (95 % interval 10.0% to 90.0%), "
        "before 50.0% (95 % interval 10.0% to 90.0%)."
    )


def test_the_verdict_without_results_before_or_after() -> None:
    after = snapshot({"metrics/evaluation.json": {"accuracy": 0.5}})
    assert "**Accuracy 50.0%**; `main` has none." in give_verdict(comparison(EMPTY, after))
    assert "**No accuracy:**" in give_verdict(comparison(after, EMPTY))
    assert "**Accuracy unchanged**: 50.0%" in give_verdict(comparison(after, after))


def test_the_verdict_names_what_would_run_what_is_unchecked_and_what_is_missing() -> None:
    staleness = Staleness({"train": ["`stages/train` changed"]}, ["/photos"])
    said = give_verdict(comparison(EMPTY, EMPTY, staleness=staleness, behind=2))
    assert "would run `train` (`stages/train` changed), and what depends on it." in said
    assert "Not in this clone, so not checked: `/photos`." in said
    assert "`main` has 2 commits that this branch lacks" in said


def test_chance_is_named_only_where_it_explains_the_change() -> None:
    def said(lost: int, gained: int) -> str:
        rows = [(str(i), "rose", "rose" if i < lost else "tulip") for i in range(lost + gained)]
        turned = [(path, "rose", "tulip" if p == "rose" else "rose") for path, _, p in rows]
        sides = (snapshot({"metrics/predictions.csv": written(*side)}) for side in (rows, turned))
        return give_verdict(comparison(*sides)).splitlines()[-1]

    assert said(2, 12) == (
        "- Of 14 test photos, 12 became right and 2 became wrong. That is hardly chance: two "
        "equally good models would differ by at least this much with probability 0.013 "
        "(McNemar's exact test)."
    )
    assert "That could well be chance" in said(3, 4)
    assert "30 became right and none became wrong" in said(0, 30)
    assert "probability below 0.0001" in said(0, 30)


def side_with(accuracy: float, *rows: tuple[str, str, str]) -> Snapshot:
    classes = {"rose": {"f1": accuracy}}
    return snapshot(
        {
            "metrics/evaluation.json": {"accuracy": accuracy, "classes": classes},
            "metrics/predictions.csv": written(*rows),
        }
    )


def test_other_test_photos_are_not_comparable() -> None:
    before = side_with(0.5, ("1", "rose", "rose"), ("2", "rose", "rose"))
    after = side_with(0.75, ("1", "tulip", "tulip"), ("3", "rose", "rose"))
    both = comparison(before, after)
    said = give_verdict(both).splitlines()
    assert said[1:] == ["- **Not comparable: other test photos.** Accuracy 75.0%, before 50.0%."]
    assert "| `accuracy` | 0.5000 | 0.7500 | +0.2500 |  |" in describe_metrics(both)
    assert "| `rose` | 0.5000 | 0.7500 | +0.2500 |  |" in describe_classes(both)
    assert "better" not in write_page(both)


def test_one_shared_test_photo_is_comparable() -> None:
    before = side_with(0.5, ("1", "rose", "rose"), ("2", "rose", "rose"))
    after = side_with(0.75, ("1", "rose", "rose"), ("3", "rose", "rose"))
    said = give_verdict(comparison(before, after))
    assert "**Accuracy better by 25.0 points**" in said
    assert "Of 1 test photo in both tests (2 are in only one), none became right or wrong." in said


# sections


def prepared(**classes: int) -> dict[str, object]:
    return {"photos": {"train": classes, "test": classes}, "rejected": {}}


def test_data_names_only_the_numbers_that_changed() -> None:
    before = snapshot({"metrics/prepare.json": prepared(rose=5, tulip=1000)})
    after = snapshot(
        {"metrics/prepare.json": {**prepared(rose=6, tulip=1000), "rejected": {"empty": 1}}}
    )
    assert describe_data(comparison(before, after)) == (
        "Photos: unknown.\n\n"
        "| number | before | after | change |  |\n"
        "| :-- | --: | --: | --: | --: |\n"
        "| `photos.train.rose` | 5 | 6 | +1 |  |\n"
        "| `photos.test.rose` | 5 | 6 | +1 |  |\n"
        "| `rejected.empty` |  | 1 |  |  |"
    )
    assert describe_data(comparison(before, before)) == "Same photos, same splits."
    assert "Not prepared yet" in describe_data(comparison(before, EMPTY))


def test_other_photos_are_told_by_the_lock() -> None:
    def side(md5: str) -> Snapshot:
        dep = f"- {{path: data/demo, md5: {md5}, nfiles: 3, size: 1500000}}"
        lock = f"stages:\n  prepare:\n    deps:\n    {dep}\n"
        return snapshot({"params.yaml": "data: {photos: ./data/demo}", "dvc.lock": lock})

    said = describe_data(comparison(side("aaaaaaaaaa.dir"), side("bbbbbbbbbb.dir")))
    assert said == (
        "Photos: `data/demo` (3 files, 1.5 MB, md5 `bbbbbbb`); "
        "before: `data/demo` (3 files, 1.5 MB, md5 `aaaaaaa`).\n\nNo number changed."
    )


def test_another_store_of_the_same_photos_is_told() -> None:
    def side(md5: str) -> Snapshot:
        deps = f"deps: [{{path: data/prepared, md5: {md5}.dir}}]"
        lock = f"stages: {{train: {{{deps}}}}}"
        return snapshot({"metrics/prepare.json": prepared(rose=5), "dvc.lock": lock})

    said = describe_data(comparison(side("aaaa"), side("bbbb")))
    assert said == "Same photos, but another store: other splits, or another image size."


def test_a_linear_probe_has_no_curve_and_nothing_odd() -> None:
    side = snapshot({"metrics/loss.csv": LOSSES + "0,0.3,0.4\n"})
    assert (side.losses, side.problems) == ([], ())


def weights_side(name: str, md5: str = "") -> Snapshot:
    deps = [{"path": f"data/weights/{name}", "md5": md5, "size": 9_100_000}]
    files = {
        "params.yaml": {"model": {"weights": name}},
        "dvc.lock": {"stages": {"train": {"deps": deps}}},
    }
    return snapshot(files)


def test_first_weights_are_told_by_name_and_content() -> None:
    old, new = weights_side("mine.pth", "1234567890"), weights_side("mine.pth", "abcdef7890")
    same = "First weights: `data/weights/mine.pth` (1 file, 9.1 MB, md5 `1234567`)."
    assert describe_params(comparison(old, old)).endswith(f"No parameter changed.\n\n{same}")
    changed = describe_params(comparison(old, new))
    assert "md5 `abcdef7`); before: `data/weights/mine.pth`" in changed


def test_random_first_weights_need_no_word() -> None:
    random, default = weights_side("none", "12"), weights_side("DEFAULT", "34")
    assert "First weights" not in describe_params(comparison(random, random))
    changed = describe_params(comparison(random, default))
    assert changed.endswith("First weights: `DEFAULT`; before: `none`.")


def test_classes_of_one_side_come_first_then_those_that_changed_most() -> None:
    def side(**f1: float | None) -> Snapshot:
        classes = {name: {"f1": value, "recall": 1.0} for name, value in f1.items()}
        return snapshot({"metrics/evaluation.json": evaluation(0.5, classes=classes)})

    rose, iris = side(rose=0.5, tulip=0.5, lily=0.5, a=1), side(rose=0.25, iris=1.0, lily=1.0, a=1)
    assert describe_classes(comparison(rose, iris)).splitlines()[2:] == [
        "| `iris` |  | 1.0000 |  |  |",
        "| `tulip` | 0.5000 |  |  |  |",
        "| `lily` | 0.5000 | 1.0000 | +0.5000 | ▲ better |",
        f"| `rose` | 0.5000 | 0.2500 | {MINUS}0.2500 | ▼ worse |",
    ]
    assert describe_classes(comparison(rose, rose)) == "No class changed."
    assert describe_classes(comparison(EMPTY, rose)) == "Nothing to compare."


def test_no_change_of_photos_is_one_word() -> None:
    side = snapshot({"metrics/predictions.csv": written(("1", "rose", "rose"))})
    assert describe_photos(comparison(side, side)) == "None."


@pytest.mark.parametrize("letter", ["x", "|", "`", "\u202e", "花"])
def test_a_page_of_thousands_of_long_names_fits_in_a_comment(letter: str) -> None:
    names = [f"{i} {letter * 120} {i}" for i in range(3000)]

    def side(number: int) -> Snapshot:
        rows = [(f"{name}/1.jpg", name, names[i - number]) for i, name in enumerate(names)]
        classes = {name: {"f1": i * number % 7 / 7} for i, name in enumerate(names)}
        metrics = dict.fromkeys(names[:1000], number)
        return snapshot(
            {
                "params.yaml": dict.fromkeys(names[:300], f"{letter * 120} {number}"),
                "metrics/predictions.csv": written(*rows),
                "metrics/evaluation.json": evaluation(0.5, classes=classes, **metrics),
                "metrics/prepare.json": {"photos": {"train": dict.fromkeys(names, number)}},
                "metrics/loss.csv": LOSSES + "".join(f"{i},1,1e9\n" for i in range(1, 300)),
            }
        )

    reasons = [f"{code(name)} changed" for name in names]
    staleness = Staleness({name: reasons for name in names}, names)  # noqa: C420
    both = comparison(side(3), side(5), staleness=staleness, base=names[0])
    page = write_page(both)
    assert page.startswith(MARKER)
    assert len(page.encode()) <= LONGEST_PAGE
    assert "### Loss\n\nCurves:" in page
    assert len(give_verdict(both)) < 15_000


def test_a_table_says_how_many_rows_it_leaves_out() -> None:
    def side(number: int) -> Snapshot:
        names = [f"name{i}" for i in range(1000)]
        rows = [(name, name, names[i - number]) for i, name in enumerate(names)]
        return snapshot(
            {
                "params.yaml": dict.fromkeys(names, number),
                "metrics/predictions.csv": written(*rows),
                "metrics/evaluation.json": dict.fromkeys(names, number)
                | {"classes": {name: {"f1": number / 9} for name in names}},
            }
        )

    page = write_page(comparison(side(3), side(5)))
    for rest in ("parameters", "classes", "photos", "metrics"):
        assert f"and 950 more {rest}." in page


# curves


def curve(*losses: float) -> Snapshot:
    rows = "".join(f"{epoch},9,{loss}\n" for epoch, loss in enumerate(losses, 1))
    return snapshot({"metrics/loss.csv": LOSSES + rows})


def test_curves_that_did_not_change_are_drawn_once() -> None:
    assert draw_losses(comparison(curve(2, 1), curve(2, 1))).count("line [") == 1
    assert draw_losses(comparison(curve(2, 1), curve(2, 0))).count("line [") == 2
    assert "Curves: blue `wide`, to epoch 2:" in draw_losses(comparison(EMPTY, curve(2, 1)))
    assert "Curves: orange `main`, to epoch 2:" in draw_losses(comparison(curve(2, 1), EMPTY))
    assert draw_losses(comparison(EMPTY, EMPTY)) == "No curves on either side."
    assert "One epoch" in draw_losses(comparison(EMPTY, curve(1)))


def test_curves_end_where_the_shorter_one_ends() -> None:
    text = draw_losses(comparison(curve(4, 2), curve(3, 2, 1)))
    assert text.startswith("Curves: orange `main` and blue `wide`, to epoch 2:\n\n```mermaid\n")
    assert '"plotColorPalette": "#d55e00, #0072b2"' in text
    assert "line [4.0000, 2.0000]\n  line [3.0000, 2.0000]\n```" in text
