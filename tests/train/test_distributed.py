import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from stages.common.errors import UserError
from stages.common.store import Store
from stages.train.checks import check_photos
from stages.train.distributed import (
    EXIT_PEER_LOST,
    World,
    check_processes,
    join_world,
    leave_with_peers,
)
from stages.train.launch import launch
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
    """Of 40 photos: batches of 15, 15 and 10, so that the shares are even and uneven."""
    change_params(params_file, {"train": {"batch_size": 15}})
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        shutil.copy(params_file, folder)
    one, two = (train_in(n, folders[n - 1], tmp_path / "prepared") for n in (1, 2))
    pd.testing.assert_frame_equal(two, one, check_exact=False, rtol=1e-5, atol=0)


def test_the_only_process_shares_nothing_and_sums_nothing() -> None:
    alone = World(CPU)
    assert alone.is_main
    assert alone.is_local_main
    assert alone.shard(torch.arange(5).numpy()).tolist() == [0, 1, 2, 3, 4]
    assert alone.broadcast({"a": 1}) == {"a": 1}
    assert alone.sum_over_processes(torch.tensor([1.0, 2.0])).tolist() == [1, 2]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_connection_is_one_line(capsys: pytest.CaptureFixture[str], rank: int) -> None:
    lost = "[/src/gloo/transport/tcp/pair.cc:534] Connection reset by peer\nand a long trace"
    with pytest.raises(SystemExit) as left, leave_with_peers(World(CPU, rank, 2)):
        raise RuntimeError(lost)
    assert left.value.code == EXIT_PEER_LOST
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"process {rank} of 2: lost the connection to another process: Conn")
    assert line.endswith("Connection reset by peer")


def test_other_errors_are_not_taken_for_a_lost_connection() -> None:
    with pytest.raises(RuntimeError, match="a bug"), leave_with_peers(World(CPU, 0, 2)):
        raise RuntimeError("a bug")


@pytest.mark.parametrize(("kind", "there"), [("cuda", "1 cuda device"), ("mps", "1 mps device")])
def test_more_processes_than_devices_is_one_clear_line(monkeypatch, kind: str, there: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=rf"train\.processes is 4, but this machine has {there};"):
        check_processes(4, torch.device(kind))


def test_more_processes_than_photos_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"processes is 3, but there are only 2 train photos"):
        check_photos(2, processes=3)
    check_photos(3, processes=3)


def test_a_launcher_of_another_number_of_processes_is_refused(monkeypatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "8")
    message = r"train\.processes is 2, but the launcher started 8;"
    with pytest.raises(UserError, match=message), join_world(2, CPU):
        pass


def test_an_error_that_the_launcher_cuts_short_is_an_error(monkeypatch) -> None:
    """The second process lost the first, so the launcher ended the first, which was ending."""
    codes = {0: -signal.SIGTERM, 1: EXIT_PEER_LOST}
    failures = {rank: ProcessFailure(rank, 1, code, "none") for rank, code in codes.items()}

    def fail(*_: str) -> None:
        raise ChildFailedError("stages.train", failures)

    monkeypatch.setattr("stages.train.launch.elastic_launch", lambda *_: fail)
    monkeypatch.setattr("logging.disable", lambda: None)
    with pytest.raises(SystemExit) as ended:
        launch(2)
    assert ended.value.code == 1


def test_the_stage_resumes_after_a_stop_to_the_same_bytes(
    finished: Project, tmp_path: Path
) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    ours.set("train", "epochs", 4)
    command = (sys.executable, "-m", "stages.train")
    ours.run(*command)
    whole = trained(ours)
    assert set(whole) == {"loss.csv", "model.json", "model.safetensors"}  # nothing of old weights

    stopped = ours.start(*command, FLOWERBED_FRESH="1")
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
    assert trained(ours) == whole


def test_processes_that_outlive_their_dvc_save_and_end(finished: Project, tmp_path: Path) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    ours.set("train", "epochs", 50)
    trainer = f"{sys.executable} -m stages.train & wait"
    dvc = ours.start("sh", "-c", trainer, DVC_STAGE="train")
    assert dvc.stdout is not None
    for line in dvc.stdout:
        if line.split()[0] == "2/50":
            dvc.kill()
            break
    assert "stopped by SIGTERM at epoch" in dvc.stdout.read()  # to the trainer's end
    dvc.wait()


def trained(project: Project) -> dict[str, bytes]:
    """Return what the stage wrote."""
    files = [project.folder / "metrics/loss.csv", *(project.folder / "models").iterdir()]
    return {file.name: file.read_bytes() for file in files}


def test_an_error_of_all_processes_is_one_line(finished: Project, tmp_path: Path) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    ours.set("model", "weights", "nowhere.safetensors")
    printed = ours.run(sys.executable, "-m", "stages.train", code=1)
    assert printed.strip().startswith("params.yaml: model.weights must be none")
    assert len(printed.strip().splitlines()) == 1


def test_an_error_of_another_process_is_shown(finished: Project, tmp_path: Path) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    loop = ours.folder / "stages/train/loop.py"
    first_line = "state.network.zero_grad()"
    fault = (
        f'if state.world.rank == 1:\n        raise RuntimeError("out of memory")\n    {first_line}'
    )
    assert first_line in loop.read_text()
    loop.write_text(loop.read_text().replace(first_line, fault))
    printed = ours.run(sys.executable, "-m", "stages.train", code=1)
    assert "process 1 of 2: out of memory with batches of" in printed.splitlines()[-1]
    assert "Traceback" not in printed


def test_a_killed_process_is_named_with_its_signal(finished: Project, tmp_path: Path) -> None:
    ours = finished.copy(tmp_path / "ours")
    ours.set("train", "processes", 2)
    loop = ours.folder / "stages/train/loop.py"
    first_line = "state.network.zero_grad()"
    fault = "if state.world.rank == 1:\n        __import__('os').kill(__import__('os').getpid(), 9)"
    loop.write_text(loop.read_text().replace(first_line, f"{fault}\n    {first_line}"))
    printed = ours.run(sys.executable, "-m", "stages.train", code=1).splitlines()
    assert "process 1 of 2: it was killed by SIGKILL; with SIGKILL, the memory" in printed[-1]
    assert "Traceback" not in "".join(printed)
