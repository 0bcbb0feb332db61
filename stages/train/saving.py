"""When a training's state is saved, and what happens when it is asked to stop."""

import time

from stages.train.stopping import Stopped, StopRequest
from stages.train.vault import State, Vault


class Saver:
    """Saves the state now and then, and at once when a stop is requested.

    Parameters
    ----------
    vault : Vault
    every_seconds : float
        Between two saves.
    stop : StopRequest
    """

    def __init__(self, vault: Vault, every_seconds: float, stop: StopRequest) -> None:
        self._vault = vault
        self._every_seconds = every_seconds
        self._stop = stop
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether the state is to be saved after this batch."""
        waited = time.monotonic() - self._last
        return waited >= self._every_seconds or bool(self._stop.signal_number)

    def save(self, state: State) -> None:
        """Save the state.

        Raises
        ------
        Stopped
            If a stop was requested; the state is saved by then.
        """
        self._vault.save(state)
        self._last = time.monotonic()
        if self._stop.signal_number:
            raise Stopped(self._stop.signal_number)
