"""What a revision may hold: odd content is one line of the page, whatever it is."""

import re
from collections.abc import Mapping

import pytest

from tests.tools.report.sides import (
    EMPTY,
    LOSSES,
    PREDICTIONS,
    comparison,
    snapshot,
)
from tools.report.page import (
    describe_params,
    give_verdict,
    write_page,
)
from tools.report.snapshot import read_snapshot

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
