"""The training loop: for each epoch, for each batch: forward, loss, backward, step."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from stages.common.device import is_bf16
from stages.common.params import Train
from stages.train.augment import Augmentation
from stages.train.averaging import AveragedWeights
from stages.train.batches import Batch
from stages.train.optimizer import MuonWithAdamW, WarmupCosine
from stages.train.processes import Processes
from stages.train.running_loss import RunningLoss


class Learner:
    """A network and what teaches it."""

    def __init__(
        self,
        network: nn.Module,
        params: Train,
        steps_per_epoch: int,
        processes: Processes,
        pretrained: frozenset[str] = frozenset(),
    ) -> None:
        self.processes = processes
        self.device = device = processes.device
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network
        self.forward = torch.compile(network) if params.compile else network
        self.pretrained = pretrained
        self.frozen = False
        """Whether the pretrained weights keep still."""
        self.autocast = partial(
            torch.autocast, device.type, torch.bfloat16, is_bf16(params.precision, device)
        )
        self.averaged = AveragedWeights(network, params.averaging_decay)
        self.loss_fn = nn.CrossEntropyLoss(label_smoothing=params.label_smoothing)
        self.optimizer = MuonWithAdamW(network, params, pretrained)
        self.schedule = WarmupCosine(self.optimizer, params, steps_per_epoch)

    def train(self) -> None:
        """Set the network to training; frozen weights keep still, and so do their batch norms."""
        self.network.train()
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(not (self.frozen and name in self.pretrained))
        for name, module in self.network.named_modules():
            if self.frozen and f"{name}.weight" in self.pretrained:
                module.eval()
        if self.processes.size > 1:
            self.forward = self.processes.connect(self.network)

    def state(self) -> dict[str, Any]:
        """Return all that the learning has changed."""
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.network.state_dict(),
            "optimizer": self.optimizer.state(),
            "steps": self.schedule.done,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.averaged.network.load_state_dict(state["averaged"])
        self.averaged.steps = state["steps"]
        self.optimizer.restore(state["optimizer"])
        self.schedule.go_to(state["steps"])


def train_one_epoch(
    learner: Learner, batches: Iterable[Batch], augment: Augmentation, losses: RunningLoss
) -> None:
    """Take one optimizer step per batch."""
    learner.train()
    for images, labels, positions in batches:
        images = images.to(learner.device, non_blocking=True)
        labels = labels.to(learner.device, non_blocking=True)
        photos = augment(images, positions)

        learner.optimizer.zero_grad()
        with learner.autocast():
            logits = learner.forward(photos)
            loss = learner.loss_fn(logits, labels)
        loss.backward()
        learner.optimizer.step()
        learner.schedule.step()

        learner.averaged.update(learner.network)
        losses.add(loss, len(labels))


@torch.inference_mode()
def validate(
    learner: Learner, batches: Iterable[Batch], to_input: Callable[[Tensor], Tensor]
) -> tuple[float, float]:
    """Return the averaged weights' mean loss per photo and accuracy, from 0 to 1."""
    loss_sum, correct, photos = sums = torch.zeros(3, device=learner.device)
    for images, labels, _ in batches:
        images = images.to(learner.device, non_blocking=True)
        labels = labels.to(learner.device, non_blocking=True)
        logits = learner.averaged.network(to_input(images))
        loss_sum += learner.loss_fn(logits, labels) * len(labels)
        correct += (logits.argmax(dim=1) == labels).sum()
        photos += len(labels)
    loss_sum, correct, photos = learner.processes.sum(sums).tolist()
    return loss_sum / photos, correct / photos
