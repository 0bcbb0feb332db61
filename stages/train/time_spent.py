"""Where the time of a training goes."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from stages.train.batches import Batch


class TimeSpent:
    """Seconds of this process by what they were spent on; the rest is the training steps."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the block's seconds under a name."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - start

    def feeding(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches; count the seconds in which the training waits for them."""
        iterator = iter(batches)
        while True:
            with self.on("feeding"):
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch

    def describe(self) -> str:
        """Say which share of the time went where, the largest first."""
        total = time.monotonic() - self.start
        shares = {"steps": total - sum(self.seconds.values()), **self.seconds}
        largest_first = sorted(shares.items(), key=lambda share: -share[1])
        return ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in largest_first)
