"""The moving average of the weights: steadier and more accurate than the last step's weights."""

import copy

import torch
from torch import nn


class AveragedWeights:
    """A copy of a network whose weights follow it as an exponential moving average.

    The decay of step t is min(decay, (1 + t) / (10 + t)), so that the random first weights are soon
    forgotten. The running statistics of the batch norms are averaged alike.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move a step towards the network's weights."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for mean, value in zip(
            self.network.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)
