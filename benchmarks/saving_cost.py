"""What saving the state costs a training: the same epochs with saves and without, in turn.

Run it with ``python -m benchmarks.saving_cost [rounds]`` after ``make repro``. The ratio of pairs
is as noisy as the machine; the share that the training itself measured stands beside it.
"""

from benchmarks.training import new_run

# isort: split
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import spent
from stages.common.device import be_deterministic
from stages.common.params import load_params
from stages.common.store import open_store
from stages.train.run import Run
from stages.train.saving import Saver
from stages.train.stopping import StopRequest
from stages.train.vault import State, Vault

EPOCHS = 3


class NoVault(Vault):
    """Keeps nothing."""

    def save(self, state: State) -> None:
        """Forget the state."""


def train(kind: type[Vault]) -> tuple[np.ndarray, float]:
    """Train from the first weights; return the seconds, and the share spent on saving."""
    params, store = load_params(), open_store()
    few = params.train.model_copy(update={"epochs": EPOCHS, "first_image_size_px": 128})
    run = new_run(params.model_copy(update={"train": few}), store, Run)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        saver = Saver(kind(Path(folder), {}), few.save_every_seconds, StopRequest())
        start = spent()
        with contextlib.chdir(folder):
            run.train(saver)
        seconds = spent() - start
    return seconds, run.spent.seconds["saving"] / seconds[0]


def main() -> None:
    """Train in pairs and print the ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    be_deterministic(load_params().train.threads)
    pairs = [(train(Vault), train(NoVault)) for _ in range(rounds)]
    clock, cores = np.median([kept[0] / not_kept[0] for kept, not_kept in pairs], axis=0)
    share = np.median([kept[1] for kept, _ in pairs])
    print(f"with saves / without, median of {rounds}: clock {clock:.3f}, cores {cores:.3f}")
    print(f"share of the time spent on saving: {share:.2%}")


if __name__ == "__main__":
    main()
