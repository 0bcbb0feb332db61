"""How long a training step takes, against the bare forward, backward and step of the optimizer.

Run it with ``python -m benchmarks.step [rounds]`` after ``make repro``, with params.yaml as it is.
The bare step sees one batch that lies ready on the device; ours is the training loop itself, which
also gathers the photos, augments them, averages the weights and sums the loss. Both in turn, a few
steps each; the ratios are medians over rounds.
"""

import sys
import time
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.training import new_run
from stages.common.device import be_deterministic
from stages.common.params import load_params
from stages.common.store import open_store
from stages.train.augment import Augmentation
from stages.train.batches import Batch, load_batches
from stages.train.loop import train_one_epoch
from stages.train.run import Run
from stages.train.running_loss import RunningLoss
from stages.train.schedule import draw_order

STEPS = 10


class Contest:
    """The same network and optimizer, driven in two ways, at one image size."""

    def __init__(self, run: Run, size_px: int) -> None:
        self.run = run
        self.order = draw_order(0, 1, len(run.photos))[: STEPS * run.params.batch_size]
        self.augment = Augmentation(
            run.params, run.card, len(run.photos), 1, size_px, run.learner.device
        )
        images, self.labels, positions = next(iter(self.batches()))
        device = run.learner.device
        self.labels = self.labels.to(device)
        self.photos = self.augment(images.to(device), positions)

    def batches(self) -> DataLoader[Batch]:
        """Return STEPS batches."""
        run = self.run
        return load_batches(run.photos, self.order, run.params.batch_size, 0, run.processes)

    def ours(self) -> None:
        """Take STEPS steps of the training loop."""
        losses = RunningLoss(1, self.run.processes)
        train_one_epoch(self.run.learner, islice(self.batches(), STEPS), self.augment, losses)

    def bare(self) -> None:
        """Take STEPS steps on a batch that lies ready."""
        learner = self.run.learner
        learner.train()
        for _ in range(STEPS):
            learner.optimizer.zero_grad()
            with learner.autocast():
                loss = learner.loss_fn(learner.forward(self.photos), self.labels)
            loss.backward()
            learner.optimizer.step()

    def feed(self) -> None:
        """Gather STEPS batches and augment them, and nothing else."""
        for images, _, positions in self.batches():
            self.augment(images.to(self.run.learner.device), positions)


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
    be_deterministic(params.train.threads)
    run = new_run(params, store, Run)
    device, batch_size = run.learner.device, params.train.batch_size
    print(f"{run.card.architecture} on {device}, batches of {batch_size}, {rounds} rounds")
    print(f"{'size':>8}{'bare step':>12}{'ours':>10}{'ratio':>8}{'feeding':>10}{'images/s':>10}")
    for size_px in sorted(set(run.sizes)):
        contest = Contest(run, size_px)
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
