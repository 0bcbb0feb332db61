"""A whole training: epochs of training and validation, of which the best is kept."""

import copy
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from stages.common.classifier import ModelCard, to_input
from stages.common.errors import UserError
from stages.common.params import Train
from stages.common.store import Store
from stages.train.augment import Augmentation
from stages.train.batches import Batch, SplitPhotos, load_batches, near
from stages.train.checks import check_batches, check_sizes, clear_device_errors
from stages.train.history import Epoch, best_epoch, write_history
from stages.train.loop import Learner, train_one_epoch, validate
from stages.train.processes import Processes
from stages.train.progress import EPOCH_HEADER, show_duration, show_epoch, show_progress
from stages.train.running_loss import RunningLoss
from stages.train.saving import Saver
from stages.train.schedule import draw_order, image_sizes
from stages.train.time_spent import TimeSpent
from stages.train.vault import State


class Run:
    """A training on one store: where it stands, and the best epoch so far.

    Parameters
    ----------
    network : Module
        With its first weights.
    card : ModelCard
        Classes, mean and standard deviation, as the model will be used.
    store : Store
        Its train split teaches, its validation split chooses.
    params : Train
    processes : Processes
        Those that train together, and the device of this one.
    pretrained : set of str
        Names of the weights that were trained before.
    """

    def __init__(
        self,
        network: nn.Module,
        card: ModelCard,
        store: Store,
        params: Train,
        processes: Processes,
        pretrained: frozenset[str] = frozenset(),
    ) -> None:
        self.params = params
        self.card = card
        self.processes = processes
        self.photos = near(SplitPhotos.of(store, "train"), processes.device)
        self.held_out = near(SplitPhotos.of(store, "validation"), processes.device)
        check_batches(len(self.photos), params.batch_size, network, self.processes.size)
        steps_per_epoch = math.ceil(len(self.photos) / params.batch_size)
        self.learner = Learner(network, params, steps_per_epoch, processes, pretrained)
        self.sizes = image_sizes(params.first_image_size_px, card.input_size_px, params.epochs)
        check_sizes(network, [*self.sizes, card.input_size_px])
        self.history: list[Epoch] = []
        self.losses = RunningLoss(1, self.processes)
        self.best_weights: dict[str, Tensor] = {}
        self.start = time.monotonic()
        self.spent = TimeSpent()

    def train(self, saver: Saver | None) -> nn.Module:
        """Train to the last epoch; after each, write metrics/loss.csv and print a line.

        Of several processes, only the first has a saver, and only that one writes.

        Returns
        -------
        Module
            The averaged weights of the epoch with the lowest validation loss, in evaluation
            mode.

        Raises
        ------
        Stopped
            If a signal asked for it; the state is saved by then.
        UserError
            If the loss is no longer finite.
        """
        if self.history and saver:
            write_history(self.history)  # DVC removed what the interrupted run wrote
        params = self.params
        print(EPOCH_HEADER, flush=True)
        for epoch in range(len(self.history) + 1, params.epochs + 1):
            if self._is_out_of_patience():
                print(f"no better epoch for {params.patience} epochs: ended early")
                break
            train_loss, rate = self._train_epoch(epoch, saver)
            val_loss, val_accuracy = self._validate()
            self._keep(Epoch(epoch, train_loss, val_loss, val_accuracy, self.learner.schedule.lr))
            if saver:
                write_history(self.history)
                line = show_epoch(self.history, params.epochs, rate, self._seconds_left())
                print(line, flush=True)
                self._save(saver)
        network = self.learner.averaged.network
        network.load_state_dict(self.best_weights)
        best = self.best
        print(
            f"kept epoch {best.epoch}, validation loss {best.val_loss:.3f}, "
            f"accuracy {best.val_accuracy:.1%}"
        )
        print(f"time: {self.spent.describe()}")
        return network

    def state(self) -> State:
        """Return all that the training has changed so far."""
        return {
            "learner": self.learner.state(),
            "history": [asdict(epoch) for epoch in self.history],
            "losses": self.losses.state(),
            "best_weights": self.best_weights,
            "seconds": time.monotonic() - self.start,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.learner.restore(state["learner"])
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.losses = RunningLoss(len(self.history) + 1, self.processes)
        self.losses.restore(state["losses"], self.learner.device)
        self.best_weights = state["best_weights"]
        self.start = time.monotonic() - state["seconds"]
        print(
            f"resuming at epoch {len(self.history) + 1}, batch {len(self.losses) + 1} "
            f"({show_duration(state['seconds'])} of work kept)",
            flush=True,
        )

    def _train_epoch(self, epoch: int, saver: Saver | None) -> tuple[float, float]:
        """Return the mean loss per photo, and photos per second."""
        photos, params = self.photos, self.params
        done = len(self.losses) * params.batch_size  # more than 0 after a resume
        order = draw_order(params.seed, epoch, len(photos))[done:]
        batches = load_batches(
            photos, order, params.batch_size, params.loader_workers, self.processes
        )
        size_px, device = self.sizes[epoch - 1], self.learner.device
        augment = Augmentation(params, self.card, len(photos), epoch, size_px, device)
        self.learner.frozen = epoch <= params.freeze_epochs
        fed = self.spent.feeding(batches)
        count = self.processes.size
        shown = show_progress(fed, self.losses, self._title(epoch), len(photos), count)
        start = time.monotonic()
        with clear_device_errors(params.batch_size, size_px):
            train_one_epoch(self.learner, self._tended(shown, epoch, saver), augment, self.losses)
            loss = self.losses.mean()
        return loss, len(order) / (time.monotonic() - start)

    def _tended(self, batches: Iterable[Batch], epoch: int, saver: Saver | None) -> Iterator[Batch]:
        """Yield the batches; between two of them save the state, when it is time.

        Some networks drop units by chance, from PyTorch's global random state: every batch has its
        own seed, so that a resume changes nothing.
        """
        for batch in batches:
            number, size = len(self.losses), self.params.batch_size
            seeds = [self.params.seed, epoch, 2, number, self.processes.rank]
            torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
            whole = min(size, len(self.photos) - number * size)
            self.processes.part = len(batch[1]) / whole
            yield batch
            if saver and saver.is_due():
                self._save(saver)

    def _save(self, saver: Saver) -> None:
        with self.spent.on("saving"):
            saver.save(self.state())

    def _validate(self) -> tuple[float, float]:
        order = np.arange(len(self.held_out))
        batches = load_batches(self.held_out, order, self.params.batch_size, 0, self.processes)
        with self.spent.on("validation"):
            loss, accuracy = validate(self.learner, batches, self._to_input)
        if not math.isfinite(loss):
            raise UserError(
                f"training diverged: the validation loss became {loss} at epoch "
                f"{len(self.history) + 1}; lower train.lr in params.yaml"
            )
        return loss, accuracy

    def _to_input(self, images: Tensor) -> Tensor:
        return to_input(images, self.card)

    def _is_out_of_patience(self) -> bool:
        waited = len(self.history) - self.best.epoch if self.history else 0
        return 0 < self.params.patience <= waited

    def _keep(self, epoch: Epoch) -> None:
        self.history.append(epoch)
        if self.best is epoch:
            self.best_weights = copy.deepcopy(self.learner.averaged.network.state_dict())
        self.losses = RunningLoss(epoch.epoch + 1, self.processes)

    @property
    def best(self) -> Epoch:
        """The epoch whose weights are kept."""
        return best_epoch(self.history)

    def _title(self, epoch: int) -> str:
        return f"epoch {epoch:{len(str(self.params.epochs))}}/{self.params.epochs}"

    def _seconds_left(self) -> float:
        """Estimate how long the other epochs take: the time goes with an image's area."""
        done, cost = len(self.history), np.square(self.sizes)
        return float((time.monotonic() - self.start) / cost[:done].sum() * cost[done:].sum())
