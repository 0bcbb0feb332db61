"""The worker processes of every stage: how they start, and how they end with their parent.

Imports little, because every worker process imports it.
"""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process

from stages.common.errors import UserError


def cores() -> int:
    """Count the cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_worker(number: int = 0) -> None:
    """Call it first in a worker process; a loader of PyTorch gives the worker's number.

    Ctrl-C is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def worker_pool(workers: int, start: Callable[[], None] = start_worker) -> ProcessPoolExecutor:
    """Return a pool of fresh processes, on every platform.

    A fork would save a fifth of a second, once. But a fork of a process that has threads can hang,
    and there are some: a progress bar's, numpy's, a test runner's.
    """
    return ProcessPoolExecutor(workers, get_context("spawn"), start)


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
