from pathlib import Path

import pytest
import yaml

from stages.common.errors import UserError
from stages.common.params import load_params
from stages.common.schema import Params
from tests.conftest import ROOT, change_params


def test_project_parameters_are_valid() -> None:
    assert load_params(ROOT / "params.yaml").train.batch_size > 0


def test_every_parameter_is_documented() -> None:
    documented = (ROOT / "docs/parameters.md").read_text()
    names = [
        f"`{section}.{key}`"
        for section, field in Params.model_fields.items()
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    ]
    assert [name for name in names if name not in documented] == []


def test_parameters_cannot_be_changed(params: Params) -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.train.lr = 1.0


@pytest.mark.parametrize(
    ("written", "meant"), [("1e-05", 1e-5), ("1E-5", 1e-5), ("5e-1", 0.5), ("1", 1.0), ("0.5", 0.5)]
)
def test_scientific_notation_is_a_number(params_file: Path, written: str, meant: float) -> None:
    text = params_file.read_text()
    params_file.write_text(text.replace("lr: 0.004", f"lr: {written}"))
    assert load_params(params_file).train.lr == meant


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("train", "batch_size", 0, "train.batch_size must be at least 1, got 0"),
        ("train", "batch_size", 2.5, "train.batch_size must be a whole number, got 2.5"),
        ("train", "batch_size", True, "train.batch_size must be a whole number, got True"),
        ("train", "batch_size", "32", "train.batch_size must be a whole number, got '32'"),
        ("train", "batch_size", None, "train.batch_size must be a whole number, got nothing"),
        ("train", "lr", 0, "train.lr must be above 0, got 0"),
        ("train", "lr", float("nan"), "train.lr must be a finite number, got nan"),
        ("train", "lr", float("inf"), "train.lr must be a finite number, got inf"),
        ("train", "device", "gpu", "must be 'auto', 'cpu', 'cuda' or 'mps', got 'gpu'"),
        ("train", "treads", 2, "train.treads is unknown; did you mean train.threads?"),
        (
            "evaluate",
            "zzz",
            2,
            "evaluate.zzz is unknown; known here: second_view_scale, answered_fraction",
        ),
        ("train", "warmup_fraction", 1, "train.warmup_fraction must be below 1, got 1"),
        ("train", "processes", 99, "train.processes must be at most train.batch_size = "),
        ("data", "photos", "", "data.photos must be not empty, got ''"),
        ("prepare", "test_fraction", 0.9, "must be below 1 - validation_fraction = 0.9"),
        ("prepare", "fold", 10, "prepare.fold must be below 10, the number of folds that prepare."),
        ("prepare", "folds", 5, "prepare.folds is unknown; did you mean prepare.fold?"),
        ("prepare", "test_fraction", 1e999, "prepare.test_fraction must be a finite number"),
    ],
)
def test_bad_value_is_one_clear_line(
    params_file: Path, section: str, key: str, value: object, message: str
) -> None:
    change_params(params_file, {section: {key: value}})
    with pytest.raises(UserError) as caught:
        load_params(params_file)
    assert str(caught.value).startswith(f"{params_file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folds_that_test_no_photo_or_twice_are_refused(params_file: Path) -> None:
    change_params(params_file, {"prepare": {"test_fraction": 0.15}})
    assert load_params(params_file).prepare.folds == 7  # nobody asks for another than the first
    change_params(params_file, {"prepare": {"fold": 1}})
    message = r"fold must be 0 while .*test_fraction is 0\.15; set that to 0\.1429, so that 7 folds"
    with pytest.raises(UserError, match=message):
        load_params(params_file)
    change_params(params_file, {"prepare": {"test_fraction": 0.143}})
    assert load_params(params_file).prepare.fold == 1
    change_params(params_file, {"prepare": {"test_fraction": 1e-320, "fold": 7}})
    assert load_params(params_file).prepare.folds > 10**300


def test_all_problems_are_reported_at_once(params_file: Path) -> None:
    content = yaml.safe_load(params_file.read_text())
    content["train"] |= {"lr": -1, "epoch": 3}
    content["prepare"] |= {"test_fraction": 0.95, "max_rejected_fraction": 2}
    del content["model"]["width"], content["evaluate"]
    params_file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as caught:
        load_params(params_file)
    lines = [line.removeprefix(f"{params_file}: ") for line in str(caught.value).splitlines()]
    assert {line.split(" ")[0] for line in lines} == {
        "prepare.test_fraction",
        "prepare.max_rejected_fraction",
        "model.width",
        "train.lr",
        "train.epoch",
        "evaluate",
    }


def test_duplicate_key_is_named(params_file: Path) -> None:
    text = params_file.read_text().replace("  lr:", "  lr: 1.0\n  lr:")
    params_file.write_text(text)
    line = text[: text.index("  lr: 0.004")].count("\n") + 1
    with pytest.raises(UserError, match=rf"line {line}: duplicate key 'lr'; keep one"):
        load_params(params_file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a section"),
        ("[1, 2]", "must hold a section"),
        ("data: photos", "data must be a section"),
        ("a: b: c", "is not valid YAML"),
        ("a: [1", "is not valid YAML"),
        ("\x00", "is not valid YAML"),
        ("? [1, 2]\n: 3", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: anchors, aliases and tags are not"),
    ],
)
def test_a_file_that_is_no_parameter_file_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_params(path)


def test_missing_and_undecodable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: not found; run from the project's folder"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=r"params\.yaml: cannot be read"):
        load_params(tmp_path / "params.yaml")


def test_a_key_that_is_no_text_and_endless_problems_are_short(params_file: Path) -> None:
    text = params_file.read_text()
    params_file.write_text(f"{text}1: 2\n" + "".join(f"key{i}: {'x' * 500}\n" for i in range(99)))
    with pytest.raises(UserError) as caught:
        load_params(params_file)
    lines = str(caught.value).splitlines()
    assert any("1 is not a parameter name" in line for line in lines)
    assert "more problems" in lines[-1]
    assert len(lines) == 21
    assert max(map(len, lines)) < 500


def test_of_two_values_the_one_for_these_weights_counts(params_file: Path) -> None:
    change_params(params_file, {"train": {"epochs": {"scratch": 9, "pretrained": 0}}})
    assert load_params(params_file).train.epochs == 9
    change_params(params_file, {"model": {"name": "resnet18", "weights": "DEFAULT"}})
    assert load_params(params_file).train.epochs == 0
    change_params(params_file, {"train": {"epochs": 5}})  # as `-S train.epochs=5` does
    assert load_params(params_file).train.epochs == 5


@pytest.mark.parametrize("weights", ["none", "mine"])
def test_both_of_two_values_are_checked(params_file: Path, weights: str) -> None:
    pair = {"scratch": -1, "pretrained": "many"}
    change_params(params_file, {"model": {"weights": weights}, "train": {"lr": -1, "epochs": pair}})
    with pytest.raises(UserError) as caught:
        load_params(params_file)
    assert sorted(str(caught.value).splitlines()) == [
        f"{params_file}: train.epochs.pretrained must be a whole number, got 'many'",
        f"{params_file}: train.epochs.scratch must be at least 0, got -1",
        f"{params_file}: train.lr must be above 0, got -1",
    ]


@pytest.mark.parametrize("value", [{"scratch": 1}, {"scratch": 1, "pretrained": 2, "other": 3}, {}])
def test_another_mapping_is_no_value(params_file: Path, value: dict[str, int]) -> None:
    change_params(params_file, {"train": {"epochs": value}})
    with pytest.raises(UserError, match=r"train\.epochs must be a whole number, got \{"):
        load_params(params_file)


def test_a_probe_needs_pretrained_weights(params_file: Path) -> None:
    change_params(params_file, {"train": {"epochs": 0}})
    with pytest.raises(UserError, match=r"train\.epochs is 0, .* model\.weights is none; give"):
        load_params(params_file)
