"""A training from its first epoch, or from a checkpoint, to its last."""

import math
import time

import numpy as np
from torch import nn

from stages.common.errors import UserError
from stages.common.schema import Runtime, Train
from stages.common.store import Store
from stages.train.augment import Augmentation
from stages.train.checkpoints import Checkpoints, StateDict, misfit
from stages.train.checks import check_compiler, check_photos, check_sizes, readable_device_errors
from stages.train.clock import Clock, Every
from stages.train.data import (
    Positions,
    SplitDataset,
    load_batches,
    split_into_batches,
    to_device,
    to_gpu_if_fits,
)
from stages.train.distributed import World
from stages.train.history import (
    EPOCH_HEADER,
    Epoch,
    best_epoch,
    is_out_of_patience,
    progress_bar,
    show_duration,
    show_epoch,
    write_history,
)
from stages.train.initial import InitialModel
from stages.train.loop import train_step, validate
from stages.train.loss import build_loss
from stages.train.schedule import draw_order, image_sizes, seed_dropout
from stages.train.state import TrainState
from stages.train.stopping import StopRequest

SECONDS_BETWEEN_LOOKS = 0.5
"""Looking at the loss makes a GPU wait, so it is not done for every batch."""


class Training:
    """A training on one store, ready to run.

    Parameters
    ----------
    start : InitialModel
    store : Store
        Its train split is trained on, its validation split chooses the epoch that is kept.
    params : Train
    runtime : Runtime
    world : World
        Of several processes, only the main one writes.
    """

    def __init__(
        self, start: InitialModel, store: Store, params: Train, runtime: Runtime, world: World
    ) -> None:
        self.meta, self.params, self.runtime, self.world = start.meta, params, runtime, world
        self.train_set = to_gpu_if_fits(SplitDataset.of(store, "train"), world.device)
        self.validation_set = to_gpu_if_fits(SplitDataset.of(store, "validation"), world.device)
        check_photos(len(self.train_set), world.size)
        if params.compile:
            check_compiler()
        full_px = start.meta.input_size_px
        self.sizes_px = image_sizes(params.first_image_size_px, full_px, params.epochs)
        check_sizes(start.network, [*self.sizes_px, full_px])
        labels = store.labels[store.indices("train")]
        loss_fn = build_loss(labels, params.class_balance, params.label_smoothing, world.device)
        self.state = TrainState(start, loss_fn, params, len(self.epoch_batches(epoch=1)), world)
        self.clock = Clock()

    def run(self, checkpoints: Checkpoints, stop: StopRequest) -> nn.Module:
        """Train to the last epoch; after each, write metrics/loss.csv and print a line.

        Returns
        -------
        Module
            The averaged weights of the epoch with the lowest validation loss, in evaluation mode.

        Raises
        ------
        Stopped
            If a signal asked for it; a checkpoint is saved by then.
        UserError
            If the loss is no longer finite.
        """
        params, world, state, clock = self.params, self.world, self.state, self.clock
        save_timer = Every(self.runtime.save_every_seconds)
        look_timer = Every(SECONDS_BETWEEN_LOOKS)
        if checkpoint := world.broadcast(checkpoints.load() if world.is_main else None):
            self.resume(checkpoint)
        state.forward = world.wrap(state.network)  # together: __init__ runs in one process first
        print(EPOCH_HEADER, flush=True)
        for epoch in range(len(state.history) + 1, params.epochs + 1):
            if is_out_of_patience(state.history, params.patience):
                print(f"no better epoch for {params.patience} epochs: ended early")
                break
            size_px, n_photos = self.sizes_px[epoch - 1], len(self.train_set)
            augment = Augmentation(params, self.meta, n_photos, epoch, size_px, world.device)
            batches = self.epoch_batches(epoch)[state.epoch_loss.batches :]
            loader = iter(load_batches(self.train_set, batches, self.runtime.loader_workers, world))
            name = f"epoch {epoch:{len(str(params.epochs))}}/{params.epochs}"
            bar = progress_bar(name, state.epoch_loss.photos, n_photos)
            begin = time.monotonic()
            with bar, readable_device_errors(params.batch_size, size_px):
                for batch_size in map(len, batches):
                    with clock.on("feeding"):
                        images, labels, positions = to_device(next(loader), world.device)
                    seed_dropout(params.seed, epoch, state.epoch_loss.batches, world.rank)
                    fraction = len(labels) / batch_size  # of the batch, in this process
                    inputs = augment(images, positions)
                    loss = train_step(state, inputs, labels, world.size * fraction)
                    state.epoch_loss.add(world.sum_over_processes(loss * len(labels)), batch_size)
                    bar.update(batch_size)
                    if look_timer.is_due():
                        bar.set_postfix_str(f"loss {state.epoch_loss.mean():.3f}", refresh=False)
                    if save_timer.is_due() or stop.is_asked:
                        self.save(checkpoints)
                        stop.leave_if_asked(self.next_batch)
                train_loss = state.epoch_loss.mean()
            images_per_second = sum(map(len, batches)) / (time.monotonic() - begin)
            val_loss, val_accuracy = self.validate()
            lr = float(state.schedulers[0].get_last_lr()[0])
            state.finish_epoch(Epoch(epoch, train_loss, val_loss, val_accuracy, lr))
            if world.is_main:
                write_history(state.history)
            row = show_epoch(state.history, params.epochs, images_per_second, self.seconds_left())
            print(row, flush=True)
            self.save(checkpoints)
            stop.leave_if_asked(self.next_batch)
        return self.finish()

    def epoch_batches(self, epoch: int) -> list[Positions]:
        """Return the photos of each batch of an epoch, in the order of the training."""
        order = draw_order(self.params.seed, epoch, len(self.train_set))
        # Two photos per process: over one, a batch norm has no variance.
        return split_into_batches(order, self.params.batch_size, smallest=2 * self.world.size)

    def validate(self) -> tuple[float, float]:
        """Return the validation split's mean loss per photo, and accuracy from 0 to 1."""
        order = np.arange(len(self.validation_set))
        batches = split_into_batches(order, self.params.batch_size)
        loader = load_batches(self.validation_set, batches, workers=0, world=self.world)
        with self.clock.on("validation"):
            loss, accuracy = validate(self.state, loader, self.meta)
        if not math.isfinite(loss):
            raise UserError(
                f"training diverged: the validation loss became {loss} at epoch "
                f"{len(self.state.history) + 1}; lower train.lr in params.yaml"
            )
        return loss, accuracy

    def save(self, checkpoints: Checkpoints) -> None:
        """Save a checkpoint, in the main process."""
        if self.world.is_main:
            with self.clock.on("checkpoints"):
                checkpoints.save({**self.state.state_dict(), "clock": self.clock.state_dict()})

    def resume(self, checkpoint: StateDict) -> None:
        """Continue from what `save` saved."""
        try:
            self.clock.load_state_dict(checkpoint.pop("clock"))
            self.state.load_state_dict(checkpoint)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise misfit(error) from error
        if self.world.is_main and self.state.history:
            write_history(self.state.history)  # DVC removed what the interrupted run wrote
        print(
            f"resuming at {self.next_batch} ({show_duration(self.clock.total())} of work kept)",
            flush=True,
        )

    def finish(self) -> nn.Module:
        """Return the best epoch's network; print which it is, and where the time went."""
        best = best_epoch(self.state.history)
        print(
            f"kept epoch {best.epoch}, validation loss {best.val_loss:.3f}, "
            f"accuracy {best.val_accuracy:.1%}"
        )
        print(f"time: {self.clock.describe()}")
        network: nn.Module = self.state.ema.module
        network.load_state_dict(self.state.best_weights)
        return network

    @property
    def next_batch(self) -> str:
        """The batch that comes next."""
        return f"epoch {len(self.state.history) + 1}, batch {self.state.epoch_loss.batches + 1}"

    def seconds_left(self) -> float:
        """Estimate how long the other epochs take: the time goes with an image's area."""
        done, cost = len(self.state.history), np.square(self.sizes_px)
        return float(self.clock.total() / cost[:done].sum() * cost[done:].sum())
