"""How long a training step takes, against a bare one: docs/measurements.md.

Run it with ``python -m benchmarks.step [rounds]`` after ``make repro``, with params.yaml as it is.
The bare step is forward, backward and the optimizers' step on one batch that lies ready on the
device. Ours also gathers the photos, augments them, averages the weights and sums the loss. They
take turns, a few steps each; figures are medians over rounds.
"""

import sys
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.training import new_training
from stages.common.device import set_up_torch
from stages.common.params import load_params
from stages.common.store import open_store
from stages.train.augment import Augmentation
from stages.train.data import Batch, load_batches, split_into_batches
from stages.train.epoch_loss import EpochLoss
from stages.train.loop import train_step
from stages.train.schedule import draw_order
from stages.train.training import Training

STEPS = 10


class Contest:
    """The same network and optimizers, driven in two ways, at one image size."""

    def __init__(self, training: Training, size_px: int) -> None:
        self.training, self.state = training, training.state
        self.device = training.world.device
        n_photos = len(training.train_set)
        order = draw_order(0, 1, n_photos)[: STEPS * training.params.batch_size]
        self.batches = split_into_batches(order, training.params.batch_size)
        self.augment = Augmentation(
            training.params, training.card, n_photos, 1, size_px, self.device
        )
        self.inputs, self.labels = self.fed(next(iter(self.loader())))

    def loader(self) -> Iterable[Batch]:
        """Return STEPS batches."""
        return load_batches(self.training.train_set, self.batches, 0, self.training.world)

    def fed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a batch's inputs and labels, augmented and on the device."""
        images, labels, positions = (each.to(self.device) for each in batch)
        return self.augment(images, positions), labels

    def ours(self) -> None:
        """Take STEPS steps of the training loop."""
        losses = EpochLoss(1, self.device)
        for batch in self.loader():
            inputs, labels = self.fed(batch)
            losses.add(train_step(self.state, inputs, labels) * len(labels), len(labels))
        losses.mean()

    def bare(self) -> None:
        """Take STEPS steps on a batch that lies ready: forward, loss, backward, step."""
        for _ in self.batches:
            self.state.network.zero_grad()
            with self.state.autocast():
                loss = F.cross_entropy(self.state.forward(self.inputs), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in self.state.optimizers:
                optimizer.step()

    def feed(self) -> None:
        """Only gather STEPS batches and augment them."""
        for batch in self.loader():
            self.fed(batch)


def seconds(steps: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of one step."""
    start = time.perf_counter()
    steps()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    """Compare at every image size of the run."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    params, store = load_params(), open_store()
    set_up_torch(params.train.threads)
    training = new_training(params, store)
    device, batch_size = training.world.device, params.train.batch_size
    print(f"{training.card.architecture} on {device}, batches of {batch_size}, {rounds} rounds")
    print(f"{'size':>8}{'bare step':>12}{'ours':>10}{'ratio':>8}{'feeding':>10}{'images/s':>10}")
    for size_px in sorted(set(training.sizes_px)):
        contest = Contest(training, size_px)
        found = np.array(
            [
                [seconds(steps, device) for steps in (contest.bare, contest.ours, contest.feed)]
                for _ in range(rounds + 1)
            ][1:]  # the first round warms up
        )
        bare, ours, feed = np.median(found, axis=0)
        ratio = np.median(found[:, 1] / found[:, 0])
        print(
            f"{size_px:5} px{1000 * bare:9.1f} ms{1000 * ours:7.1f} ms{ratio:8.3f}"
            f"{feed / ours:10.1%}{batch_size / ours:10.0f}"
        )


if __name__ == "__main__":
    main()
