"""How long a training step takes, and what of it: docs/measurements.md.

Run it with ``python -m benchmarks.step [rounds]`` after ``make repro``, with params.yaml as it is.
The passes are forward, loss and backward on a batch that lies ready on the device. The step also
gathers the photos, augments them, moves the weights and averages them. They take turns, a few steps
each; figures are medians over rounds. With ``train.precision: auto``, where that means bfloat16,
single precision is measured too.
"""

import sys
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from benchmarks.common import describe_machine, new_training, seconds
from stages.common.params import load_params
from stages.common.store import open_store
from stages.model.device import choose_device, set_up_torch
from stages.train.augment import Augmentation
from stages.train.data import Batch, load_batches, split_into_batches
from stages.train.loop import train_step
from stages.train.loss import EpochLoss
from stages.train.schedule import draw_order
from stages.train.training import Training

STEPS = 10

HEADER = (
    f"{'size':>8}{'step':>11}{'passes':>11}{'optimizers':>12}{'averaging':>11}{'feeding':>9}"
    f"{'other':>8}{'images/s':>10}{'epoch':>9}"
)


class Parts:
    """A training's step and its parts, at one image size."""

    def __init__(self, training: Training, size_px: int) -> None:
        self.training, self.state = training, training.state
        self.device = training.world.device
        n_photos = len(training.train_set)
        order = draw_order(0, 1, n_photos)[: STEPS * training.params.batch_size]
        self.batches = split_into_batches(order, training.params.batch_size)
        self.augment = Augmentation(
            training.params, training.meta, n_photos, 1, size_px, self.device
        )
        self.inputs, self.labels = self.fed(next(iter(self.loader())))

    def loader(self) -> Iterable[Batch]:
        """Return at most STEPS batches."""
        return load_batches(self.training.train_set, self.batches, 0, self.training.world)

    def fed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a batch's inputs and labels, augmented and on the device."""
        images, labels, positions = (each.to(self.device) for each in batch)
        return self.augment(images, positions), labels

    def step(self) -> None:
        """Take STEPS steps of the training loop."""
        losses = EpochLoss(1, self.device)
        for batch in self.loader():
            inputs, labels = self.fed(batch)
            losses.add(train_step(self.state, inputs, labels) * len(labels), len(labels))
        losses.mean()

    def passes(self) -> None:
        """Pass forward and backward, STEPS times, on a batch that lies ready."""
        for _ in self.batches:
            self.state.network.zero_grad()
            with self.state.autocast():
                loss = self.state.loss_fn(self.state.forward(self.inputs), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]

    def optimize(self) -> None:
        """Move the weights STEPS times, by the gradients that the passes left."""
        for _ in self.batches:
            for optimizer in self.state.optimizers:
                optimizer.step()

    def average(self) -> None:
        """Average the weights STEPS times."""
        for _ in self.batches:
            self.state.ema.update_parameters(self.state.network)

    def feed(self) -> None:
        """Only gather STEPS batches and augment them."""
        for batch in self.loader():
            self.fed(batch)


def measure(training: Training, rounds: int) -> None:
    """Print the times at every image size of the run."""
    device, batch_size = training.world.device, training.params.batch_size
    n_steps = len(training.epoch_batches(epoch=1))
    print(
        f"{training.meta.architecture} in {training.meta.precision}, batches of {batch_size}, "
        f"{rounds} rounds\n{HEADER}"
    )
    for size_px in sorted(set(training.sizes_px)):
        parts = Parts(training, size_px)
        works = [parts.step, parts.passes, parts.optimize, parts.average, parts.feed]
        found = [[seconds(work, device) for work in works] for _ in range(rounds + 1)]
        step, *shares = np.median(found[1:], axis=0) / len(parts.batches)  # the first warms up
        validation = np.median([seconds(training.validate, device) for _ in range(3)])
        epoch = n_steps * step + validation
        other = 1 - n_steps * shares[0] / epoch
        times = "".join(
            f"{1000 * value:{width}.1f} ms"
            for value, width in zip((step, *shares), (8, 8, 9, 8, 6), strict=True)
        )
        print(f"{size_px:5} px{times}{other:8.1%}{batch_size / step:10.0f}{epoch:7.1f} s")
    print(f"an epoch is {n_steps} steps and {validation:.2f} s of validation; other: its share")
    print("outside the passes")


def main() -> None:
    """Measure in the precision of params.yaml, and in single precision."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    params, store = load_params(), open_store()
    set_up_torch(params.train.threads)
    print(describe_machine(choose_device(params.train.device, "train.device")))
    training = new_training(params, store)
    measure(training, rounds)
    if training.meta.precision != "fp32":
        single = params.train.model_copy(update={"precision": "fp32"})
        measure(new_training(params.model_copy(update={"train": single}), store), rounds)


if __name__ == "__main__":
    main()
