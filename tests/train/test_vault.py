import errno
import os
import pickle
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from stages.common.errors import UserError
from stages.train.vault import KEYS_KEPT, Vault

KEY = {"train": {"lr": 0.001}}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "states", KEY)


def test_the_newest_state_is_loaded(vault: Vault) -> None:
    for step in (1, 2, 3):
        vault.save({"step": step, "weights": torch.full((3,), float(step))})
    state = vault.load()
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"], torch.full((3,), 3.0))


def test_a_flipped_byte_anywhere_is_detected_and_the_older_state_used(vault: Vault) -> None:
    vault.save({"step": 1, "weights": torch.arange(100.0)})
    vault.save({"step": 2, "weights": torch.arange(100.0)})
    path = vault.folder / "state"
    whole = path.read_bytes()
    for place in range(0, len(whole), max(len(whole) // 100, 1)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        state = vault.load()
        assert state is not None
        assert state["step"] == 1, place


@pytest.mark.parametrize("length", [0, 10, 32, 1000])
def test_a_cut_state_is_not_used(vault: Vault, length: int) -> None:
    vault.save({"step": 1})
    path = vault.folder / "state"
    path.write_bytes(path.read_bytes()[:length])
    assert vault.load() is None


def test_a_damaged_state_never_replaces_a_whole_older_one(vault: Vault) -> None:
    vault.save({"step": 1})
    vault.save({"step": 2})
    (vault.folder / "state").write_bytes(b"damaged")
    vault.load()
    assert not (vault.folder / "state").exists()
    assert (vault.folder / "state.older").exists()


def test_a_full_disk_is_one_clear_line_and_leaves_the_state_before(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.save({"step": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"state: cannot be written: No space left on device"):
        vault.save({"step": 2})
    assert vault.load() == {"step": 1}


@pytest.mark.parametrize("refused", ["replace", "mkdir"])
def test_a_lost_permission_is_one_clear_line(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    vault.save({"step": 1})

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, refused, refuse)
    with pytest.raises(UserError, match=r"cannot be written: Permission denied"), vault.taken():
        vault.save({"step": 2})
    monkeypatch.undo()
    assert vault.load() == {"step": 1}


def test_a_state_of_another_training_is_not_used(
    vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Vault(tmp_path / "states", {"train": {"lr": 0.002}})
    other.save({"step": 1})
    assert other.folder != vault.folder
    assert vault.load() is None
    assert "starting anew" in capsys.readouterr().out
    vault.folder.mkdir(parents=True)
    (other.folder / "state").rename(vault.folder / "state")
    assert vault.load() is None
    assert "it is of another training" in capsys.readouterr().err


def test_a_cleared_vault_is_empty(vault: Vault) -> None:
    vault.save({"step": 1})
    vault.save({"step": 2})
    vault.clear()
    assert vault.load() is None


def test_a_second_trainer_is_told_who_is_at_it(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom stages.train.vault import Vault\n"
        f"with Vault(Path({str(tmp_path)!r}), {KEY!r}).taken():\n"
        "    print('taken', flush=True)\n    input()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "taken\n"
    second = Vault(tmp_path, KEY)
    with pytest.raises(UserError, match=f"process {first.pid} is at this very training already"):
        second.taken().__enter__()
    first.kill()
    first.communicate()
    with second.taken():
        assert (second.folder / "pid").read_text() == str(os.getpid())


def test_only_the_newest_few_keys_are_kept(tmp_path: Path) -> None:
    for number in range(KEYS_KEPT + 3):
        with Vault(tmp_path, {"key": number}).taken():
            pass
        os.utime(Vault(tmp_path, {"key": number}).folder, (number, number))
    assert len(list(tmp_path.iterdir())) == KEYS_KEPT


def test_nothing_is_loaded_as_a_pickle(vault: Vault) -> None:
    vault.save({"harm": subprocess.Popen})
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        vault.load()


def test_the_states_of_running_trainings_are_never_dropped(tmp_path: Path) -> None:
    trainings = [Vault(tmp_path, {"train": number}) for number in range(KEYS_KEPT + 2)]
    with ExitStack() as stack:
        for training in trainings:
            stack.enter_context(training.taken())
            training.save({"step": 1})
        assert all(training.load() == {"step": 1} for training in trainings)
