import sys
from pathlib import Path

import pytest
import torch

from stages.common.errors import UserError
from stages.common.schema import Params
from stages.common.store import Store
from stages.model.classifier import ModelMeta
from stages.model.device import cpu_multiplies_bf16
from stages.train.__main__ import is_fresh
from stages.train.initial import build_initial_model, warn_of_slow_precision, warn_of_small_photos
from tests.project import Project


@pytest.mark.parametrize(
    ("value", "fresh"), [(None, False), ("", False), ("0", False), ("1", True)]
)
def test_only_1_asks_for_a_fresh_start(
    monkeypatch: pytest.MonkeyPatch, value: str | None, fresh: bool
) -> None:
    monkeypatch.delenv("FLOWERBED_FRESH", raising=False)
    if value is not None:
        monkeypatch.setenv("FLOWERBED_FRESH", value)
    assert is_fresh() is fresh


def test_another_value_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWERBED_FRESH", "yes")
    with pytest.raises(
        UserError, match=r"FLOWERBED_FRESH must be 0, to resume, or 1, .* got 'yes'"
    ):
        is_fresh()


@pytest.mark.parametrize("stored", [128, 224, 256])
def test_photos_smaller_than_the_weights_want_are_warned_of(
    capsys: pytest.CaptureFixture[str], stored: int
) -> None:
    meta = ModelMeta(
        architecture="resnet18",
        width=8,
        classes=["daisy", "rose"],
        image_size_px=stored,
        input_size_px=224,
        mean=[0.5] * 3,
        std=[0.5] * 3,
    )
    warn_of_small_photos(meta)
    warning = capsys.readouterr().err
    assert ("set prepare.image_size_px to 224" in warning) == (stored == 128)


@pytest.mark.parametrize(("precision", "warns"), [("bf16", True), ("fp32", False)])
def test_bfloat16_where_it_is_slow_is_warned_of(
    params: Params,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    warns: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    train = params.train.model_copy(update={"precision": precision})
    cpu = torch.device("cpu")
    start = build_initial_model(params.model_copy(update={"train": train}), store.meta, cpu)
    warn_of_slow_precision(start, cpu)
    warning = capsys.readouterr().err
    expected = "is bf16, but this processor has no fast instructions for it; set it to auto\n"
    assert warning == ("warning: train.precision " + expected if warns else "")


@pytest.mark.skipif(not cpu_multiplies_bf16(), reason="this processor trains in single precision")
def test_a_checkpoint_in_bfloat16_is_not_used_in_single_precision(
    finished: Project, tmp_path: Path
) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "precision", "auto")
    ours.set("train", "epochs", 20)
    process = ours.start(sys.executable, "-u", "-m", "stages.train")
    assert process.stdout is not None
    printed = ""
    while "2/20" not in printed:
        printed += process.stdout.readline()
    process.terminate()
    rest, _ = process.communicate(timeout=60)
    assert "on cpu in bf16" in printed
    assert "saved: the same command resumes from here" in rest
    assert process.returncode == 143
    again = ours.run(sys.executable, "-m", "stages.train", ONEDNN_MAX_CPU_ISA="AVX2")
    assert "on cpu in fp32" in again
    assert "checkpoints of other trainings, none of this one: starting at epoch 1" in again
    assert '"precision": "fp32"' in (ours.folder / "models/model.json").read_text()
    assert "resuming at epoch" in ours.run(sys.executable, "-m", "stages.train")
    assert '"precision": "bf16"' in (ours.folder / "models/model.json").read_text()
