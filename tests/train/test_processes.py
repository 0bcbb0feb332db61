import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from stages.common.errors import UserError
from stages.common.params import Params
from stages.common.store import Store
from stages.train.checks import check_batches
from stages.train.processes import Processes, check_processes, joined
from tests.conftest import ROOT, change_params
from tests.project import Project

CPU = torch.device("cpu")


def launcher(processes: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]


def train_in(processes: int, folder: Path, store: Path) -> pd.DataFrame:
    """Train in a folder with a params.yaml; return loss.csv."""
    command = [*launcher(processes), "--standalone"] if processes > 1 else [sys.executable]
    subprocess.run(
        [*command, "-m", "tests.train.two_processes", str(store), str(processes)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    return pd.read_csv(folder / "metrics/loss.csv")


def test_two_processes_train_as_one(store: Store, tmp_path: Path, params_file: Path) -> None:
    """Of 40 photos: batches of 15, 15 and 10, so that the parts are even and uneven."""
    change_params(params_file, {"train": {"batch_size": 15}})
    alone = train_in(1, params_file.parent, tmp_path / "prepared")
    both = train_in(2, params_file.parent, tmp_path / "prepared")
    pd.testing.assert_frame_equal(both, alone, check_exact=False, rtol=1e-9, atol=0)


def test_alone_nothing_is_shared_or_summed() -> None:
    alone = Processes(CPU)
    assert alone.is_first
    assert alone.share(torch.arange(5).numpy()).tolist() == [0, 1, 2, 3, 4]
    assert alone.broadcast({"a": 1}) == {"a": 1}
    assert alone.sum(torch.tensor([1.0, 2.0])).tolist() == [1, 2]


@pytest.mark.parametrize(("kind", "there"), [("cuda", "1 cuda device"), ("mps", "1 mps device")])
def test_more_processes_than_devices_is_one_clear_line(monkeypatch, kind: str, there: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=rf"train\.processes is 4, but this machine has {there};"):
        check_processes(4, torch.device(kind))


def test_a_last_batch_too_small_for_all_is_one_clear_line(params: Params) -> None:
    message = r"leaves a last batch of 2 of 32 photos for train\.processes = 3"
    with pytest.raises(UserError, match=message):
        check_batches(32, 10, torch.nn.Conv2d(3, 8, 3), processes=3)
    check_batches(33, 10, torch.nn.Conv2d(3, 8, 3), processes=3)


def test_a_launcher_of_another_number_of_processes_is_refused(monkeypatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "8")
    message = r"train\.processes is 2, but the launcher started 8;"
    with pytest.raises(UserError, match=message), joined(2, CPU):
        pass


def test_the_stage_goes_on_after_a_stop_in_the_same_bytes(
    finished: Project, tmp_path: Path
) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    ours.set("train", "epochs", 4)
    command = (sys.executable, "-m", "stages.train")
    ours.run(*command)
    whole = ours.outputs()

    stopped = ours.start(*command)
    assert stopped.stdout is not None
    for line in stopped.stdout:
        if line.split()[0] == "2/4":
            stopped.terminate()
            break
    rest = stopped.stdout.read()
    assert stopped.wait() == 143, rest
    assert "stopped by SIGTERM at epoch 3" in rest
    assert "torch/distributed" not in rest
    assert "resuming at epoch 3" in ours.run(*command)
    assert ours.outputs() == whole


def test_an_error_of_all_processes_is_one_line(finished: Project, tmp_path: Path) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    ours.set("train", "batch_size", 5000)
    printed = ours.run(sys.executable, "-m", "stages.train", code=1)
    assert printed.strip().startswith("params.yaml: train.batch_size must be at most")
    assert len(printed.strip().splitlines()) == 1


def test_an_error_of_another_process_is_shown(finished: Project, tmp_path: Path) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    loop = ours.folder / "stages/train/loop.py"
    fault = (
        'if learner.processes.rank == 1:\n        raise RuntimeError("out of memory")\n    '
        "learner.train()"
    )
    loop.write_text(loop.read_text().replace("learner.train()", fault))
    printed = ours.run(sys.executable, "-m", "stages.train", code=1)
    assert "process 1 of 2: out of memory with batches of" in printed.splitlines()[-1]
    assert "Traceback" not in printed


@pytest.mark.parametrize(("photos", "size", "fitting"), [(1057, 32, 34), (7, 2, 4), (7, 1, 4)])
def test_a_last_batch_of_one_photo_is_one_clear_line(photos: int, size: int, fitting: int) -> None:
    message = rf"last batch of one of {photos} photos, too few for batch norm; choose {fitting},"
    with pytest.raises(UserError, match=message):
        check_batches(photos, size, torch.nn.BatchNorm2d(3))
    check_batches(photos, fitting, torch.nn.BatchNorm2d(3))
    check_batches(photos, size, torch.nn.Conv2d(3, 8, 3))
