"""Ctrl-C and termination: finish the batch, save, leave with the signal's exit code."""

import os
import signal
from types import FrameType


class Stopped(Exception):
    """A training that was asked to stop, and has saved its state.

    Attributes
    ----------
    exit_code : int
        128 and the signal's number, as a shell gives it; never 0, since DVC would take the outputs
        of a stage that ends with 0 for complete.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


class StopRequest:
    """Remembers that SIGINT or SIGTERM came; a second one leaves at once."""

    def __init__(self) -> None:
        self.signal_number = 0

    def listen(self) -> None:
        """Take over both signals, until the process ends."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number:
            os._exit(128 + number)  # safe at any moment: files take their names when whole
        self.signal_number = number
