import hashlib
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
from stages.common.files import write_bytes
from stages.common.store import Store
from stages.evaluate.predicting import check_fit
from stages.model.classifier import Calibration, Classifier
from stages.model.flowernet import build_flowernet
from stages.model.folder import load_classifier, save_classifier
from stages.model.networks import build_network
from tests.conftest import ROOT, make_store, meta_of
from tools.export import __main__ as command
from tools.export import convert as converting
from tools.export.convert import TOLERANCE, check_agreement, convert

CPU = torch.device("cpu")


def make_classifier(store: Store, seed: int = 0) -> Classifier:
    """Build a calibrated classifier that takes the store for its own."""
    torch.manual_seed(seed)
    own = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "weights_sha256": "ab" * 32}
    meta = meta_of(store).model_copy(update=own)
    calibration = Calibration(second_view_scale=1.25, temperature=0.4, threshold=0.7)
    return Classifier(build_flowernet(8, 2).eval(), meta, calibration)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.getbasetemp() / "export")


@pytest.fixture(scope="module")
def content(store: Store) -> bytes:
    """The exported file, made once: it takes seconds."""
    return convert(make_classifier(store))


@pytest.fixture
def export(
    store: Store,
    tmp_path: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Where the command, set up here, writes."""
    target, folder = tmp_path / "flowers.onnx", tmp_path_factory.getbasetemp() / "export"
    words = ["export", "models", "--onnx", str(target), "--store", str(folder)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(converting, "convert", lambda _: content)
    monkeypatch.setattr(command, "set_up_torch", lambda _: None)
    monkeypatch.setattr(command, "load_classifier", lambda *_: make_classifier(store))
    return target


@pytest.mark.parametrize("count", [1, 2, 33])
def test_any_number_of_photos_has_pytorchs_probabilities(
    content: bytes, store: Store, count: int
) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"images": images})
    expected = make_classifier(store).probabilities(images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_a_network_of_timm_is_saved_and_exported_as_any_other(store: Store, tmp_path: Path) -> None:
    """And without a calibration."""
    name, images = "timm/test_efficientnet.r160_in1k", np.full((2, 32, 32, 3), 90, np.uint8)
    meta = make_classifier(store).meta.model_copy(update={"architecture": name})
    trained = Classifier(build_network(name, 8, 2).eval(), meta)
    save_classifier(trained, tmp_path / "models")
    loaded = load_classifier(tmp_path / "models", CPU)
    np.testing.assert_allclose(loaded.probabilities(images), trained.probabilities(images), 1e-5)
    session = onnxruntime.InferenceSession(convert(loaded), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"images": images})
    np.testing.assert_allclose(probabilities, trained.probabilities(images), atol=1e-5)


def test_the_calibration_is_in_the_file(content: bytes, store: Store) -> None:
    calibrated = make_classifier(store)
    assert 0 <= check_agreement(content, calibrated, store) < TOLERANCE / 100
    for calibration in (Calibration(temperature=0.4), Calibration(second_view_scale=1.25)):
        other = Classifier(calibrated.network, calibrated.meta, calibration)
        with pytest.raises(UserError, match="do not agree"):
            check_agreement(content, other, store)


def test_the_metadata_is_all_that_it_takes(content: bytes, store: Store) -> None:
    model = onnx.load_from_string(content)
    about = {entry.key: entry.value for entry in model.metadata_props}
    meta = make_classifier(store).meta
    for name in ("classes", "mean", "std", "image_size_px"):
        assert json.loads(about[name]) == getattr(meta, name)
    assert about["weights_sha256"] == meta.weights_sha256
    assert (about["temperature"], about["threshold"]) == ("0.4", "0.7")
    for word in ("EXIF", "RGB", "Hamming", "middle", "mirror image"):
        assert word in about["transforms"]
    for fit, word in (("pad", "mean color"), ("stretch", "both sides")):
        other = make_classifier(store).meta.model_copy(update={"fit": fit})
        said = converting.describe(Classifier(make_classifier(store).network, other))
        assert said["fit"] == fit
        assert word in said["transforms"]
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
    about = json.loads(export.with_suffix(".json").read_text())
    assert about.pop("onnx_sha256") == hashlib.sha256(content).hexdigest()
    texts = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    assert about.keys() == texts.keys()
    assert (about["classes"], about["image_size_px"]) == (["dark", "light"], 32)
    assert (about["mean"], about["threshold"]) == ([0.5, 0.4, 0.3], 0.7)
    printed = capsys.readouterr().out
    assert "all 10 test photos get the class that PyTorch gives them; probabilities" in printed
    assert [path.name for path in export.parent.glob(".*")] == []


def test_what_does_not_agree_is_not_written(
    export: Path, store: Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_classifier(store, seed=1)
    monkeypatch.setattr(command, "load_classifier", lambda *_: other)
    with pytest.raises(UserError, match=r"(dark|light)/\d+\.png: ONNX Runtime and PyTorch do not"):
        command.main()
    assert not export.exists()


@pytest.mark.parametrize("broken", ["PyTorch's", "ONNX Runtime's"])
def test_what_is_not_a_number_does_not_agree(
    content: bytes, store: Store, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = make_classifier(store)
    if broken == "PyTorch's":
        classifier.network.get_parameter("head.bias").data[0] = float("nan")
        message = "network's output is not finite"
    else:
        monkeypatch.setattr(
            "tools.export.convert.predict_with_onnx", lambda *_: np.full((10, 2), np.nan)
        )
        message = "ONNX Runtime and PyTorch do not agree"
    with pytest.raises(UserError, match=message):
        check_agreement(content, classifier, store)


def test_a_store_of_other_classes_is_refused(store: Store) -> None:
    classifier = make_classifier(store)
    meta = classifier.meta.model_copy(update={"classes": ["oak", "elm"]})
    message = r"mine/model.json: classes is \['oak', 'elm'\], but the store has"
    with pytest.raises(UserError, match=message):
        check_fit(store, Classifier(classifier.network, meta), model=Path("mine"))


@pytest.mark.parametrize(
    ("suffix", "text"), [(".py", "print('mine')\n"), (".json", '{\n  "schema_version": 2')]
)
def test_a_file_of_the_users_own_is_refused_before_the_work(
    export: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, text: str
) -> None:
    mine = export.with_suffix(suffix)
    mine.write_text(text)
    monkeypatch.setattr(sys, "argv", ["export", "lost", *sys.argv[2:]])
    with pytest.raises(
        UserError, match=rf"flowers\{suffix} is a file of yours, .* give --onnx anoth"
    ):
        command.main()
    assert mine.read_text() == text
    assert not export.exists()


def test_an_earlier_exports_files_are_replaced(export: Path) -> None:
    program = export.with_suffix(".py")
    first_line = command.REFERENCE.read_text().partition("\n")[0]
    program.write_text(f"{first_line}\n\nof an earlier release")
    command.main()
    before = export.with_suffix(".json").read_text()
    command.main()
    assert program.read_bytes() == command.REFERENCE.read_bytes()
    assert export.with_suffix(".json").read_text() == before


def test_on_a_full_disk_all_old_files_stay(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export.write_bytes(b"of yesterday")

    def fill(path: Path, content: bytes) -> None:
        if ".py" in path.name:
            raise UserError(f"{path}: cannot be written: No space left on device")
        write_bytes(path, content)

    monkeypatch.setattr(command, "write_bytes", fill)
    with pytest.raises(UserError, match="No space left"):
        command.main()
    assert [path.name for path in export.parent.iterdir()] == [export.name]
    assert export.read_bytes() == b"of yesterday"


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
