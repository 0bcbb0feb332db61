"""A whole training: epochs of training and validation, of which the best is kept."""

import copy
import math
import time

import numpy as np
import torch
from torch import Tensor, nn

from stages.common.classifier import normalise
from stages.common.params import Train
from stages.common.store import Store
from stages.train.augment import Augmentation
from stages.train.batches import SplitPhotos, load_batches
from stages.train.history import Epoch, write_history
from stages.train.loop import Learner, train_one_epoch, validate
from stages.train.progress import show_duration, show_progress
from stages.train.running_loss import RunningLoss
from stages.train.schedule import draw_order, image_sizes


class Run:
    """A training on one store, with the best epoch so far.

    Parameters
    ----------
    network : Module
        With its first, random weights.
    store : Store
        Its train split teaches, its validation split chooses.
    params : Train
    device : torch.device
    """

    def __init__(
        self, network: nn.Module, store: Store, params: Train, device: torch.device
    ) -> None:
        self.params = params
        self.meta = store.meta
        self.photos = SplitPhotos.of(store, "train")
        self.held_out = SplitPhotos.of(store, "validation")
        steps_per_epoch = math.ceil(len(self.photos) / params.batch_size)
        self.learner = Learner(network, params, steps_per_epoch, device)
        self.sizes = image_sizes(params.first_image_size_px, self.meta.image_size_px, params.epochs)
        self.history: list[Epoch] = []
        self.best_network = self.learner.averaged.network

    def train(self) -> nn.Module:
        """Train for all epochs; after each, write metrics/loss.csv and print a line.

        Returns
        -------
        Module
            The averaged weights of the epoch with the highest validation accuracy, in evaluation
            mode.
        """
        start = time.monotonic()
        for epoch in range(1, self.params.epochs + 1):
            train_loss = self._train_epoch(epoch)
            val_loss, val_accuracy = self._validate()
            self._keep(Epoch(epoch, train_loss, val_loss, val_accuracy, self.learner.schedule.lr))
            write_history(self.history)
            print(self._line(time.monotonic() - start), flush=True)
        print(f"kept epoch {self.best.epoch}, validation accuracy {self.best.val_accuracy:.1%}")
        return self.best_network

    def _train_epoch(self, epoch: int) -> float:
        photos, params = self.photos, self.params
        order = draw_order(params.seed, epoch, len(photos))
        batches = load_batches(photos, order, params.batch_size, params.loader_workers)
        augment = Augmentation(params, self.meta, len(photos), epoch, self.sizes[epoch - 1])
        losses = RunningLoss(epoch)
        watched = show_progress(batches, losses, self._title(epoch), len(photos))
        train_one_epoch(self.learner, watched, augment, losses)
        return losses.mean()

    def _validate(self) -> tuple[float, float]:
        order = np.arange(len(self.held_out))
        batches = load_batches(self.held_out, order, self.params.batch_size, workers=0)
        return validate(self.learner, batches, self._normalise)

    def _normalise(self, images: Tensor) -> Tensor:
        return normalise(images, self.meta.mean, self.meta.std)

    def _keep(self, epoch: Epoch) -> None:
        if not self.history or epoch.rank() > self.best.rank():
            self.best_network = copy.deepcopy(self.learner.averaged.network)
        self.history.append(epoch)

    @property
    def best(self) -> Epoch:
        """The first of the epochs with the highest validation accuracy and lowest loss."""
        return max(self.history, key=Epoch.rank)

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch:{len(str(self.params.epochs))}}/{self.params.epochs}"

    def _line(self, seconds: float) -> str:
        """Say what came of the last epoch, in 80 columns."""
        row, cost = self.history[-1], np.square(self.sizes)  # time goes with an image's area
        done = len(self.history)
        left = seconds * cost[done:].sum() / cost[:done].sum()
        return (
            f"{self._title(row.epoch)}  train loss {row.train_loss:.3f}  "
            f"val loss {row.val_loss:.3f}  accuracy {row.val_accuracy:6.1%}  "
            f"{show_duration(left)} left"
        )
