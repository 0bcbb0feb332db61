"""How many workers there are, and what becomes of them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages.common import workers
from stages.common.errors import UserError
from stages.common.workers import _quotas, cores, run_module, worker_pool


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_cores_are_at_most_what_the_control_groups_around_allow(tmp_path: Path) -> None:
    own, mount = tmp_path / "cgroup", tmp_path / "mount"
    assert list(_quotas(own, mount)) == []
    own.write_text("0::/pod/box\n")
    write(mount / "pod/box/cpu.max", "max 100000\n")
    write(mount / "pod/cpu.max", "150000 100000\n")
    assert list(_quotas(own, mount)) == [1.5]
    own.write_text("5:memory:/pod\n4:cpu,cpuacct:/pod\n")
    write(mount / "cpu/pod/cpu.cfs_quota_us", "50000\n")
    write(mount / "cpu/pod/cpu.cfs_period_us", "100000\n")
    write(mount / "cpu/cpu.cfs_quota_us", "-1\n")  # no limit
    write(mount / "cpu/cpu.cfs_period_us", "100000\n")
    assert list(_quotas(own, mount)) == [0.5]


@pytest.mark.parametrize(("quota", "count"), [(0.5, 1), (1.5, 2), (10**6, None)])
def test_half_a_core_is_one(monkeypatch: pytest.MonkeyPatch, quota: float, count: int) -> None:
    everything = cores()
    monkeypatch.setattr(workers, "_quotas", lambda *_: [quota])
    assert cores() == min(count or everything, everything)


def test_without_shared_memory_one_process_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", refuse)
    with worker_pool(4) as pool:
        assert isinstance(pool, ThreadPoolExecutor)
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
    assert capsys.readouterr().err.startswith("no worker processes (Permission denied: ")


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("raise SystemExit(3)", SystemExit, "3"),
        ("import os; os.kill(os.getpid(), 9)", UserError, "odd: its process was killed by SIGKILL"),
        ("", None, ""),
    ],
)
def test_a_module_of_its_own_process_ends_as_it_ends(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    error: type[BaseException] | None,
    message: str,
) -> None:
    (tmp_path / "odd.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    if error is None:
        run_module("odd")
    else:
        with pytest.raises(error, match=message):
            run_module("odd")
