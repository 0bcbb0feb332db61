"""Ctrl-C and termination: finish the batch, save, leave with the signal's exit code."""

import os
import signal
import sys
from types import FrameType

from tqdm import tqdm

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(SystemExit):
    """The end of a training that was asked to stop.

    Its exit code is 128 plus the signal's number, as in a shell. It is never 0, since DVC takes the
    outputs of a stage that ends with 0 for complete.
    """


class StopRequest:
    """Remembers that SIGINT or SIGTERM came; a second one leaves at once.

    The end of DVC, which nobody may have told this process, counts as SIGTERM.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._dvc = os.getppid() if "DVC_STAGE" in os.environ else None

    @property
    def is_asked(self) -> bool:
        """Tell whether a signal came, or DVC is gone."""
        if self._dvc not in (None, os.getppid()):
            self.signal_number = signal.SIGTERM
        return self.signal_number != 0

    def listen(self) -> None:
        """Take over both signals, until the process ends."""
        for number in SIGNALS:
            signal.signal(number, self._remember)

    def leave_if_asked(self, where: str) -> None:
        """Raise Stopped if a signal came; say where the training will resume."""
        if self.is_asked:
            name = signal.Signals(self.signal_number).name
            line = f"stopped by {name} at {where}; saved: the same command resumes from here"
            tqdm.write(line, file=sys.stderr)  # clears the progress bar first
            raise Stopped(128 + self.signal_number)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            os._exit(128 + number)  # safe at any moment: files take their names when complete
        self.signal_number = number


def ignore_signals() -> None:
    """Leave both signals to the main process; this one ends when that one does."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
