"""The moving average of the weights: steadier and more accurate than the last step's weights."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

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
