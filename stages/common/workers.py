"""What the worker processes of every stage do: leave Ctrl-C to their parent, and end with it.

Imports little, because every worker process imports it.
"""

import os
import signal
import threading
from multiprocessing import connection, parent_process


def cores() -> int:
    """Count the cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_worker(number: int = 0) -> None:
    """Call it first in a worker process; a loader of PyTorch gives the worker's number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
