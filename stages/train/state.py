"""What a training changes and a checkpoint holds: weights, their average, optimizers, history."""

import copy
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from stages.common.schema import Train
from stages.model.device import autocast
from stages.train.distributed import World
from stages.train.history import Epoch, best_epoch
from stages.train.initial import InitialModel
from stages.train.loss import EpochLoss, Loss
from stages.train.optimizer import build_optimizers, build_schedulers


class TrainState:
    """A network in training, and what trains it.

    Attributes
    ----------
    network : Module
        The weights that are trained.
    forward : Module
        What to call for a forward pass: the network, wrapped when there are several processes.
    loss_fn : callable
        The loss that is trained on.
    ema : AveragedModel
        The moving average of the weights, which is validated and kept.
    optimizers, schedulers : list
        Each optimizer has its scheduler.
    history : list of Epoch
        The finished epochs.
    epoch_loss : EpochLoss
        Of the epoch that is running.
    best_weights : dict
        Of the best epoch so far.
    """

    def __init__(
        self, start: InitialModel, loss_fn: Loss, params: Train, steps_per_epoch: int, world: World
    ) -> None:
        self.world = world
        self.network = world.move(start.network)
        self.autocast = partial(autocast, start.meta.precision, world.device)
        self.loss_fn = loss_fn
        self.ema = average_weights(self.network, params.ema_decay)
        if params.compile:
            torch.use_deterministic_algorithms(True)  # also the compiler's own; see set_up_torch
            self.network.compile()
        self.network.train()
        self.forward = self.network
        self.optimizers = build_optimizers(
            self.network, params, start.pretrained, start.meta.precision
        )
        self.schedulers = build_schedulers(self.optimizers, params, steps_per_epoch)
        self.history: list[Epoch] = []
        self.epoch_loss = EpochLoss(1, world.device)
        self.best_weights: dict[str, Tensor] = {}

    def finish_epoch(self, epoch: Epoch) -> None:
        """Record an epoch; keep the averaged weights if it is the best one so far."""
        self.history.append(epoch)
        if best_epoch(self.history) is epoch:
            self.best_weights = copy.deepcopy(self.ema.module.state_dict())
        self.epoch_loss = EpochLoss(epoch.epoch + 1, self.world.device)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the training has changed so far."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "history": [asdict(epoch) for epoch in self.history],
            "epoch_loss": self.epoch_loss.state_dict(),
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.epoch_loss = EpochLoss(len(self.history) + 1, self.world.device)
        self.epoch_loss.load_state_dict(state["epoch_loss"])
        self.best_weights = state["best_weights"]


Tensors = tuple[Tensor, ...] | list[Tensor]


def average_weights(network: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of a network that follows it as an exponential moving average.

    Update t, from 0, decays the average by min(decay, (1 + t) / (10 + t)), so that the random first
    weights are soon forgotten. The running statistics of batch norms are averaged too.
    """

    def follow(averages: Tensors, weights: Tensors, _: Tensor | int) -> None:
        if not averages[0].is_floating_point():  # batch norms count their batches
            torch._foreach_copy_(averages, weights)
            return
        t = int(ema.n_averaged) - 1  # on the CPU: the argument is on the device, and would wait
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + t) / (10 + t)))

    ema = AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
    ema.n_averaged += 1  # the first weights count as the first average
    return ema.eval().requires_grad_(False)
