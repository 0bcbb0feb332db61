"""Start the processes of a training on this machine, under PyTorch's elastic launcher."""

import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from stages.common.errors import UserError
from stages.train.distributed import EXIT_PEER_LOST
from stages.train.stopping import StopRequest

ENDED_BY_OTHERS = (EXIT_PEER_LOST, 128 + signal.SIGTERM, -signal.SIGTERM)
"""Exit codes of processes that ended because another one had failed."""

SECONDS_BETWEEN_LOOKS = 1
"""How soon the end of DVC is noticed."""

SECONDS_TO_SAVE = 30
"""What the main process has to finish its batch and save when it is asked to stop."""


def launch(processes: int) -> None:
    """Run this stage in as many processes, and leave with the exit code of the main one.

    The main process has the terminal. What the others say is shown only if one of them fails.
    """
    logging.disable()  # the launcher's own log; what matters is said below
    Thread(target=_end_with_dvc, daemon=True).start()
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id="flowerbed",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(
                logs, redirects=dict.fromkeys(range(1, processes), Std.ALL)
            ),
            shutdown_timeout=SECONDS_TO_SAVE,
        )
        try:
            elastic_launch(config, sys.executable)("-m", "stages.train")
        except SignalException as stopped:
            sys.exit(128 + stopped.sigval)
        except ChildFailedError as error:
            codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
            culprits = [rank for rank, code in codes.items() if code not in ENDED_BY_OTHERS]
            if codes.get(0, EXIT_PEER_LOST) in ENDED_BY_OTHERS and culprits:
                said = _last_line(Path(logs), culprits[0]) or _how_it_ended(codes[culprits[0]])
                raise UserError(f"process {culprits[0]} of {processes}: {said}") from error
            code = codes.get(0, 1)
            if code == -signal.SIGTERM:  # the launcher's, when it had already told its error
                code = 1
            sys.exit(code if code > 0 else 128 - code)


def _end_with_dvc() -> None:
    """Wait for DVC's end, if DVC runs this, and take it for a SIGTERM."""
    stop = StopRequest()
    while not stop.is_asked:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), stop.signal_number)


def _how_it_ended(code: int) -> str:
    """Say how a process ended that wrote nothing."""
    if code >= 0:
        return f"it ended with exit code {code}"
    return f"it was killed by {signal.Signals(-code).name}; with SIGKILL, the memory may be full"


def _last_line(logs: Path, rank: int) -> str:
    """Return the last line that a process wrote as an error."""
    for path in logs.glob(f"*/attempt_0/{rank}/stderr.log"):
        if lines := path.read_text(errors="replace").strip().splitlines():
            return lines[-1]
    return ""
