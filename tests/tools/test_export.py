import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from stages.common.errors import UserError
from stages.common.store import Store
from stages.evaluate.predicting import check_fit
from stages.model.classifier import Calibration, Classifier, ModelMeta
from stages.model.flowernet import build_flowernet
from stages.model.folder import load_classifier, save_classifier
from stages.model.networks import build_network
from tests.conftest import ROOT
from tools.export import __main__ as command
from tools.export import convert as converting
from tools.export.convert import TOLERANCE, compare, convert

CPU = torch.device("cpu")


def make_classifier(seed: int = 0, store: Store | None = None) -> Classifier:
    """Build a classifier, trained on a store or on none."""
    torch.manual_seed(seed)
    meta = ModelMeta(
        architecture="flowernet",
        width=8,
        classes=["dark", "light"],
        image_size_px=32,
        input_size_px=32,
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.25, 0.3],
        store_images_sha256=store.meta.images_sha256 if store else "",
        store_manifest_sha256=store.meta.manifest_sha256 if store else "",
    )
    return Classifier(build_flowernet(8, 2).eval(), meta)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "models"
    save_classifier(make_classifier(), folder)
    return folder


@pytest.fixture(scope="module")
def content(models: Path) -> bytes:
    """The exported file, made once: it takes seconds."""
    return convert(load_classifier(models, CPU))


@pytest.fixture
def export(
    models: Path, store: Store, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Where the command, set up here, writes."""
    target = tmp_path / "flowers.onnx"
    words = ["export", str(models), "--onnx", str(target), "--store", str(tmp_path / "prepared")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(converting, "convert", lambda _: content)
    monkeypatch.setattr(command, "set_up_torch", lambda _: None)
    monkeypatch.setattr(command, "load_classifier", lambda *_: make_classifier(store=store))
    return target


@pytest.mark.parametrize("count", [1, 2, 33])
def test_any_number_of_photos_has_pytorchs_probabilities(content: bytes, count: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    np.testing.assert_allclose(found, make_classifier().probabilities(images), atol=1e-5)


def test_a_network_of_timm_is_saved_and_exported_as_any_other(tmp_path: Path) -> None:
    name, images = "timm/test_efficientnet.r160_in1k", np.full((2, 32, 32, 3), 90, np.uint8)
    meta = make_classifier().meta.model_copy(update={"architecture": name})
    trained = Classifier(build_network(name, 8, 2).eval(), meta)
    save_classifier(trained, tmp_path / "models")
    loaded = load_classifier(tmp_path / "models", CPU)
    np.testing.assert_allclose(loaded.probabilities(images), trained.probabilities(images), 1e-5)
    session = onnxruntime.InferenceSession(convert(loaded), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    np.testing.assert_allclose(found, trained.probabilities(images), atol=1e-5)


def test_the_calibration_is_in_the_file_and_the_threshold_in_its_metadata(store: Store) -> None:
    plain = make_classifier(store=store)
    calibration = Calibration(second_view_scale=1.25, temperature=0.4, threshold=0.7)
    sure = Classifier(plain.network, plain.meta, calibration)
    content = convert(sure)
    assert compare(content, sure, store) < TOLERANCE / 100
    with pytest.raises(UserError, match="do not agree"):
        compare(content, plain, store)
    found = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    assert (found["temperature"], found["threshold"]) == ("0.4", "0.7")


def test_the_metadata_is_all_that_it_takes(content: bytes, models: Path) -> None:
    model = onnx.load_from_string(content)
    found = {entry.key: entry.value for entry in model.metadata_props}
    meta = json.loads((models / "model.json").read_text())
    for name in ("classes", "mean", "std", "image_size_px"):
        assert json.loads(found[name]) == meta[name]
    assert found["weights_sha256"] == meta["weights_sha256"]
    for word in ("EXIF", "RGB", "Hamming", "middle"):
        assert word in found["transforms"]
    assert [entry.name for entry in model.graph.input] == ["images"]
    assert [entry.name for entry in model.graph.output] == ["probabilities"]


def test_the_file_says_nothing_of_this_machine(content: bytes) -> None:
    assert str(ROOT).encode() not in content
    assert b"site-packages" not in content


def test_the_command_writes_what_agrees(
    export: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main()
    assert export.read_bytes() == content
    assert export.with_suffix(".py").read_bytes() == command.REFERENCE.read_bytes()
    printed = capsys.readouterr().out
    assert "all 10 test photos get the class that PyTorch gives them; probabilities" in printed
    assert [path.name for path in export.parent.glob(".*")] == []


def test_what_does_not_agree_is_not_written(
    export: Path, store: Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_classifier(seed=1, store=store)
    monkeypatch.setattr(command, "load_classifier", lambda *_: other)
    with pytest.raises(UserError, match=r"(dark|light)/\d+\.png: ONNX Runtime and PyTorch do not"):
        command.main()
    assert not export.exists()


def test_onnx_runtime_and_pytorch_agree_on_the_test_split(content: bytes, store: Store) -> None:
    assert 0 <= compare(content, make_classifier(store=store), store) < TOLERANCE / 100


@pytest.mark.parametrize("broken", ["ours", "theirs"])
def test_what_is_not_a_number_does_not_agree(
    content: bytes, store: Store, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier(store=store)
    if broken == "ours":
        classifier.network.get_parameter("head.bias").data[0] = float("nan")
        message = "network's output is not finite"
    else:
        monkeypatch.setattr("tools.export.convert.run", lambda *_: np.full((10, 2), np.nan))
        message = "ONNX Runtime and PyTorch do not agree"
    with pytest.raises(UserError, match=message):
        compare(content, classifier, store)


def test_a_store_of_other_classes_is_refused(store: Store) -> None:
    classifier = make_classifier()
    meta = classifier.meta.model_copy(update={"classes": ["oak", "elm"]})
    message = r"mine/model.json: classes is \['oak', 'elm'\], but the store has"
    with pytest.raises(UserError, match=message):
        check_fit(store, Classifier(classifier.network, meta), model=Path("mine"))


def test_a_missing_store_is_named(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [*sys.argv[:-1], "nowhere"])
    with pytest.raises(UserError, match=r"^nowhere/meta\.json: not found"):
        command.main()
    assert not export.exists()


def test_a_missing_extra_is_one_clear_line(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        command, "find_spec", lambda name: None if "script" in name else find_spec(name)
    )
    with pytest.raises(
        UserError, match=r"export needs onnxscript, not installed here; run `make setup`"
    ):
        command.main()
    assert not export.exists()


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "folder.onnx", "pipe.onnx", "flowers", "flowers.py"]
)
def test_what_is_no_name_of_a_file_is_refused_before_the_work(
    export: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(export.parent)
    Path("folder.onnx").mkdir()
    os.mkfifo("pipe.onnx")
    monkeypatch.setattr(sys, "argv", ["export", "lost", "--onnx", name])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert (
        f"--onnx: must name a file, such as flowers.onnx, got {name!r}" in capsys.readouterr().err
    )
    assert Path("pipe.onnx").is_fifo()
