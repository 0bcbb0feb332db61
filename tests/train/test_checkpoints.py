import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from stages.common.errors import UserError
from stages.train.checkpoints import KEYS_KEPT, Checkpoints

KEY = {"train": {"lr": 0.001}}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "states", KEY)


def test_the_newest_checkpoint_is_loaded(checkpoints: Checkpoints) -> None:
    for step in (1, 2, 3):
        checkpoints.save({"step": step, "weights": torch.full((3,), float(step))})
    state = checkpoints.load()
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"], torch.full((3,), 3.0))


def test_a_flipped_byte_anywhere_is_detected_and_the_older_checkpoint_used(
    checkpoints: Checkpoints,
) -> None:
    checkpoints.save({"step": 1, "weights": torch.arange(100.0)})
    checkpoints.save({"step": 2, "weights": torch.arange(100.0)})
    path = checkpoints.folder / "checkpoint"
    whole = path.read_bytes()
    for place in range(0, len(whole), max(len(whole) // 100, 1)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        state = checkpoints.load()
        assert state is not None
        assert state["step"] == 1, place


@pytest.mark.parametrize("length", [0, 10, 32, 1000])
def test_a_cut_checkpoint_is_not_used(checkpoints: Checkpoints, length: int) -> None:
    checkpoints.save({"step": 1})
    path = checkpoints.folder / "checkpoint"
    path.write_bytes(path.read_bytes()[:length])
    assert checkpoints.load() is None


def test_a_damaged_checkpoint_never_replaces_a_whole_older_one(checkpoints: Checkpoints) -> None:
    checkpoints.save({"step": 1})
    checkpoints.save({"step": 2})
    (checkpoints.folder / "checkpoint").write_bytes(b"damaged")
    checkpoints.load()
    assert not (checkpoints.folder / "checkpoint").exists()
    assert (checkpoints.folder / "checkpoint.older").exists()


def test_a_full_disk_is_one_clear_line_and_leaves_the_checkpoint_before(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save({"step": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"checkpoint: cannot be written: No space left on device"):
        checkpoints.save({"step": 2})
    assert checkpoints.load() == {"step": 1}


@pytest.mark.parametrize("refused", ["replace", "mkdir"])
def test_a_lost_permission_is_one_clear_line(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    checkpoints.save({"step": 1})
    before = checkpoints.folder / "checkpoint"

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, refused, refuse)
    with pytest.raises(UserError, match=rf"^{before}: cannot be written: Permission denied; "):
        checkpoints.save({"step": 2})
    with (
        pytest.raises(UserError, match=r"^\S+: cannot be written: Permission denied; "),
        checkpoints.locked(),
    ):
        pass
    monkeypatch.undo()
    assert checkpoints.load() == {"step": 1}


def test_a_checkpoint_that_cannot_be_read_is_kept(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save({"step": 1})

    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(
        UserError,
        match=r"/checkpoint: cannot be read: Permission denied; fix .* FLOWERBED_FRESH=1$",
    ):
        checkpoints.load()
    monkeypatch.undo()
    assert checkpoints.load() == {"step": 1}


def test_a_checkpoint_of_another_training_is_not_used(
    checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Checkpoints(tmp_path / "states", {"train": {"lr": 0.002}})
    other.save({"step": 1})
    assert other.folder != checkpoints.folder
    assert checkpoints.load() is None
    assert capsys.readouterr().out == (
        "there are checkpoints of other trainings, none of this one: starting at epoch 1\n"
    )
    checkpoints.folder.mkdir(parents=True)
    (other.folder / "checkpoint").rename(checkpoints.folder / "checkpoint")
    assert checkpoints.load() is None
    assert capsys.readouterr().err.endswith("/checkpoint: is not used: it is of another training\n")


def test_cleared_checkpoints_are_gone(checkpoints: Checkpoints) -> None:
    checkpoints.save({"step": 1})
    checkpoints.save({"step": 2})
    checkpoints.clear()
    assert checkpoints.load() is None


def test_a_finished_training_is_kept_until_dvc_has_its_model(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").write_bytes(b"weights")
    with checkpoints.locked():
        checkpoints.save({"step": 1})
        checkpoints.save({"step": 2})
        checkpoints.keep(Path("model"))
    Path("dvc.lock").write_text("md5: of another model")
    with checkpoints.locked():
        assert checkpoints.load() == {"step": 2}
        assert not (checkpoints.folder / "checkpoint.older").exists()
    Path("dvc.lock").write_text(f"md5: {hashlib.md5(b'weights').hexdigest()}")
    with Checkpoints(checkpoints.folder.parent, {"other": "key"}).locked():
        assert not checkpoints.folder.exists()
    with checkpoints.locked():
        checkpoints.save({"step": 3})
        checkpoints.keep(Path("model"))
    with checkpoints.locked():  # as under `dvc repro --force train`
        assert checkpoints.load() is None


def test_a_second_trainer_waits_and_says_so_once(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom stages.train.checkpoints import Checkpoints\n"
        f"checkpoints = Checkpoints(Path({str(tmp_path)!r}), {KEY!r})\n"
        "with checkpoints.locked():\n"
        "    print('locked', flush=True)\n    input()\n    checkpoints.clear()\n"
    )

    def trainer() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    first = trainer()
    assert first.stdout is not None
    assert first.stdout.readline() == "locked\n"
    second = trainer()
    assert second.stdout is not None
    waiting = f"process {first.pid} is already running this training: waiting for it to end\n"
    assert second.stdout.readline() == waiting
    time.sleep(1)  # it looks again and again, and stays quiet
    first.communicate("\n")
    assert second.stdout.readline() == "locked\n"
    second.kill()
    second.communicate()
    with Checkpoints(tmp_path, KEY).locked():  # a dead one holds nothing
        assert (Checkpoints(tmp_path, KEY).folder / "pid").read_text() == str(os.getpid())


def test_the_key_is_spelled_out_whatever_the_order_of_its_parts(tmp_path: Path) -> None:
    training = Checkpoints(tmp_path, {"b": 2, "a": 1})
    assert training.folder == Checkpoints(tmp_path, {"a": 1, "b": 2}).folder
    with training.locked():
        assert (training.folder / "key.json").read_text() == '{\n  "a": 1,\n  "b": 2\n}'


class Naps:
    """Stands for time.sleep: ends the wait at the third call, and a test that waits for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, end_wait: Callable[[], None]) -> None:
        monkeypatch.setattr("stages.train.checkpoints.time.sleep", self)
        self.seconds: list[float] = []
        self.end_wait = end_wait

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        assert len(self.seconds) <= 3
        if len(self.seconds) == 3:
            self.end_wait()


def test_the_wait_for_another_trainer_is_told_once(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ExitStack()
    first.enter_context(checkpoints.locked())
    (checkpoints.folder / "pid").write_text("4711")
    naps = Naps(monkeypatch, first.close)
    with checkpoints.locked():
        assert naps.seconds == [0.2, 0.2, 0.2]
        assert (checkpoints.folder / "pid").read_text() == str(os.getpid())
    assert capsys.readouterr().out == (
        "process 4711 is already running this training: waiting for it to end\n"
    )


def test_the_training_waited_for_may_complete_and_take_its_folder_along(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ExitStack()
    first.enter_context(checkpoints.locked())
    first.callback(shutil.rmtree, checkpoints.folder)
    (checkpoints.folder / "pid").unlink()  # as when it was just begun
    Naps(monkeypatch, first.close)
    with checkpoints.locked():
        checkpoints.save({"step": 1})
    assert checkpoints.load() == {"step": 1}
    assert capsys.readouterr().out.startswith("another process is already running this training")


def test_only_the_newest_few_keys_are_kept(tmp_path: Path) -> None:
    for number in range(KEYS_KEPT + 3):
        with Checkpoints(tmp_path, {"key": number}).locked():
            pass
        os.utime(Checkpoints(tmp_path, {"key": number}).folder, (number, number))
    newest = [Checkpoints(tmp_path, {"key": number}).folder for number in range(3, KEYS_KEPT + 3)]
    assert set(tmp_path.iterdir()) == set(newest)


def test_an_old_folder_that_cannot_be_locked_is_left(tmp_path: Path) -> None:
    for number in range(KEYS_KEPT):
        Checkpoints(tmp_path, {"key": number}).save({"step": number})
        os.utime(Checkpoints(tmp_path, {"key": number}).folder, (number, number))
    oldest = Checkpoints(tmp_path, {"key": 0})
    (oldest.folder / "lock").mkdir()
    os.utime(oldest.folder, (0, 0))
    with Checkpoints(tmp_path, {"key": KEYS_KEPT}).locked():
        assert oldest.load() == {"step": 0}


def test_nothing_is_loaded_as_a_pickle(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save({"harm": subprocess.Popen})
    assert checkpoints.load() is None
    assert "is not used: it is not a checkpoint: UnpicklingError" in capsys.readouterr().err


@pytest.mark.parametrize("content", [[], {"key": 1}, {"state": {}}, "text", 7])
def test_content_of_another_kind_with_a_right_digest_is_not_used(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str], content: object
) -> None:
    checkpoints.save({"epoch": 1})
    checkpoints.save({"epoch": 2})
    buffer = io.BytesIO()
    torch.save(content, buffer)
    digest = hashlib.sha256(buffer.getvalue()).digest()
    (checkpoints.folder / "checkpoint").write_bytes(digest + buffer.getvalue())
    assert checkpoints.load() == {"epoch": 1}
    assert "is not used: it is not a checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_in_a_checkpoints_place_is_not_read(checkpoints: Checkpoints, make) -> None:
    checkpoints.folder.mkdir(parents=True)
    make(checkpoints.folder / "checkpoint")
    assert checkpoints.load() is None


def test_the_checkpoints_of_running_trainings_are_never_dropped(tmp_path: Path) -> None:
    trainings = [Checkpoints(tmp_path, {"train": number}) for number in range(KEYS_KEPT + 2)]
    with ExitStack() as stack:
        for training in trainings:
            stack.enter_context(training.locked())
            training.save({"step": 1})
        assert all(training.load() == {"step": 1} for training in trainings)
