"""Where the time of a training goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds of this process by what they were spent on; the rest is the training steps."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._spent: defaultdict[str, float] = defaultdict(float)

    def total(self) -> float:
        """Return the seconds since the training began, without those between stop and resume."""
        return time.monotonic() - self._start

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the block's seconds under a name."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._spent[name] += time.monotonic() - start

    def describe(self) -> str:
        """Say which share of the time went where, the largest first."""
        total = self.total()
        shares = {"steps": total - sum(self._spent.values()), **self._spent}
        largest_first = sorted(shares.items(), key=lambda share: -share[1])
        return ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in largest_first)

    def state_dict(self) -> dict[str, float]:
        """Return the seconds by name, and their total."""
        return {**self._spent, "total": self.total()}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Resume from what `state_dict` returned."""
        self._start = time.monotonic() - state["total"]
        self._spent.update({name: s for name, s in state.items() if name != "total"})


class Every:
    """Tells when so many seconds have passed, again and again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether the time has come; if so, the count starts again."""
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True
