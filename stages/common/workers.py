"""The worker processes of every stage: how they start, and how they end with their parent.

Imports little, because every worker process imports it.
"""

import math
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from stages.common.errors import UserError

CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Count the cores that this process may use, which can be fewer than the machine has."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = map(math.ceil, _quotas(Path("/proc/self/cgroup"), CGROUPS))
    return max(1, min([here, *quotas]))


def _quotas(own: Path, mount: Path) -> Iterator[float]:
    """Give the CPUs that each control group around this process is allowed, as in a container."""
    lines = own.read_text().splitlines() if own.is_file() else []
    for _, controllers, name in (line.split(":", 2) for line in lines):
        is_v2 = not controllers
        if not is_v2 and "cpu" not in controllers.split(","):
            continue
        place = Path(name.strip("/"))
        for folder in [place, *place.parents]:
            with suppress(OSError, ValueError):  # no such group, no such file, or "max"
                if is_v2:
                    quota, period = (mount / folder / "cpu.max").read_text().split()
                else:
                    group = mount / "cpu" / folder
                    quota = (group / "cpu.cfs_quota_us").read_text()
                    period = (group / "cpu.cfs_period_us").read_text()
                if int(quota) > 0:
                    yield int(quota) / int(period)


def start_worker(number: int = 0) -> None:
    """Call it first in a worker process; a loader of PyTorch gives the worker's number.

    Ctrl-C is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def worker_pool(workers: int, start: Callable[[], None] = start_worker) -> Executor:
    """Return a pool of fresh processes; of this one where the system has no shared memory.

    A fork would save a fifth of a second, once. But a fork of a process that has threads can hang,
    and there are some: a progress bar's, numpy's, a test runner's.
    """
    try:
        return ProcessPoolExecutor(workers, get_context("spawn"), start)
    except OSError as error:
        print(
            f"no worker processes ({error.strerror}: is /dev/shm closed?): one process does it all",
            file=sys.stderr,
        )
        return ThreadPoolExecutor(1)


def run_module(name: str) -> None:
    """Run ``python -m name`` in a process that ends with this one; leave if it fails."""
    process = get_context("spawn").Process(target=_run_module, args=(name,))
    process.start()
    process.join()
    code = process.exitcode or 0
    if code < 0:
        killer = signal.Signals(-code).name
        raise UserError(f"{name}: its process was killed by {killer}; run the same command again")
    if code:
        sys.exit(code)  # it has said why


def _run_module(name: str) -> None:
    start_worker()
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
