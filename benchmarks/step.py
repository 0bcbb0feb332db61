"""How long a training step takes, and what of it: docs/measurements.md.

Run it with ``python -m benchmarks.step [rounds]`` after ``make repro``, with params.yaml as it is.
The passes are forward, loss and backward on a batch that lies ready on the device. The step also
gathers the photos, augments them, moves the weights and averages them. They take turns, a few steps
each; figures are medians over rounds. With ``train.precision: auto``, where that means bfloat16,
single precision is measured too.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.common import (
    augmented,
    describe_machine,
    epoch_augmentation,
    new_training,
    seconds,
    train_on,
)
from stages.common.errors import run_stage
from stages.common.params import load_params
from stages.common.store import open_store
from stages.model.device import choose_device, set_up_torch
from stages.train.data import Positions
from stages.train.training import Training

STEPS = 10

PARTS = ("step", "passes", "optimizers", "averaging", "feeding")


def parts_of_step(
    training: Training, batches: list[Positions], size_px: int
) -> list[Callable[[], None]]:
    """Return the step and its parts, in the order of PARTS; each is done once for every batch."""
    state, augment = training.state, epoch_augmentation(training, 1, size_px)
    inputs, labels = next(augmented(training, batches, augment))

    def passes() -> None:
        for _ in batches:
            state.network.zero_grad()
            with state.autocast():
                loss = state.loss_fn(state.forward(inputs), labels)
            loss.backward()  # type: ignore[no-untyped-call]

    def optimize() -> None:
        for _ in batches:  # by the gradients that the passes left
            for optimizer in state.optimizers:
                optimizer.step()

    def average() -> None:
        for _ in batches:
            state.ema.update_parameters(state.network)

    def feed() -> None:
        for _ in augmented(training, batches, augment):
            pass

    return [partial(train_on, training, batches, augment, 1), passes, optimize, average, feed]


def measure(training: Training, rounds: int) -> None:
    """Print the times at every image size of the run."""
    device, batch_size = training.world.device, training.params.batch_size
    batches = training.epoch_batches(epoch=1)
    print(
        f"{training.meta.architecture} in {training.meta.precision}, batches of {batch_size}, "
        f"{rounds} rounds"
    )
    print_row("size", *PARTS, "other", "images/s", "epoch")
    for size_px in sorted(set(training.sizes_px)):
        works = parts_of_step(training, batches[:STEPS], size_px)
        times = [[seconds(work, device) for work in works] for _ in range(rounds + 1)]
        per_batch = np.median(times[1:], axis=0) / len(batches[:STEPS])  # the first round warms up
        validation = np.median([seconds(training.validate, device) for _ in range(3)])
        step, passes = per_batch[:2]
        epoch = len(batches) * step + validation
        times_ms = [f"{1000 * part:.1f} ms" for part in per_batch]
        other = f"{1 - len(batches) * passes / epoch:.1%}"
        print_row(f"{size_px} px", *times_ms, other, f"{batch_size / step:.0f}", f"{epoch:.1f} s")
    print(
        f"an epoch is {len(batches)} steps and {validation:.2f} s of validation; other: its share "
        "outside the passes"
    )


def print_row(*cells: str) -> None:
    """Print a row of the table."""
    print("".join(f"{cell:>11}" for cell in cells), flush=True)


def main() -> None:
    """Measure in the precision of params.yaml, and in single precision."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=7)
    rounds = parser.parse_args().rounds
    params, store = load_params(), open_store()
    # Workers of a loader would take longer to start than a few steps take.
    runtime = params.runtime.model_copy(update={"loader_workers": 0})
    set_up_torch(params.train.threads)
    print(describe_machine(choose_device(params.train.device, "train.device")))
    for precision in (params.train.precision, "fp32"):
        train = params.train.model_copy(update={"precision": precision})
        changes = {"train": train, "runtime": runtime}
        training = new_training(params.model_copy(update=changes), store)
        measure(training, rounds)
        if training.meta.precision == "fp32":
            break


if __name__ == "__main__":
    run_stage(main)
