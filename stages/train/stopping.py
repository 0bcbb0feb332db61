"""Ctrl-C and termination: finish the batch, save, leave with the signal's exit code."""

import os
import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A training that was asked to stop, and has saved a checkpoint.

    Attributes
    ----------
    exit_code : int
        128 plus the signal's number, as in a shell; never 0, since DVC would take the outputs of a
        stage that ends with 0 for complete.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


class StopRequest:
    """Remembers that SIGINT or SIGTERM came; a second one leaves at once."""

    def __init__(self) -> None:
        self.signal_number = 0

    @property
    def is_asked(self) -> bool:
        """Tell whether a signal came."""
        return self.signal_number != 0

    def listen(self) -> None:
        """Take over both signals, until the process ends."""
        for number in SIGNALS:
            signal.signal(number, self._remember)

    def raise_if_asked(self) -> None:
        """Raise Stopped if a signal came."""
        if self.signal_number:
            raise Stopped(self.signal_number)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number:
            os._exit(128 + number)  # safe at any moment: files take their names when complete
        self.signal_number = number


def ignore_signals() -> None:
    """Ignore both signals: this process ends when the main one does."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
