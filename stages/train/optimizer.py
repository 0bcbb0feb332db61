"""The optimizers: Muon for the convolutions, AdamW for everything else, at one learning rate.

Muon turns the momentum of a kernel, seen as a matrix, into the nearest matrix whose singular values
are all about 1, so that rare directions learn as fast as frequent ones. Its step is scaled to the
size of AdamW's, so both share one learning rate. ``torch.optim.Muon`` takes only matrices.

References
----------
Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
Liu et al., "Muon is scalable for LLM training" (2025): the scale 0.2 sqrt(max(rows, columns)).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from stages.common.params import Train
from stages.train.schedule import warmup_cosine

MOMENTUM = 0.95
"""Jordan et al.'s."""


class Muon(Optimizer):
    """Momentum, made orthogonal, for kernels of shape (out, in, height, width)."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every kernel once."""
        assert closure is None
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:  # it is frozen
                    continue
                direction = orthogonalize(self._momentum(kernel).flatten(1)).view(kernel.shape)
                size = 0.2 * math.sqrt(max(kernel.shape[0], kernel[0].numel()))
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.add_(direction, alpha=-group["lr"] * size)

    def _momentum(self, kernel: Tensor) -> Tensor:
        """Update a kernel's momentum with its gradient; return it one step ahead (Nesterov)."""
        assert kernel.grad is not None
        state: dict[str, Any] = self.state[kernel]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(kernel)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(kernel.grad, 1 - MOMENTUM)
        return kernel.grad.lerp(momentum, MOMENTUM)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Bring the singular values of a matrix (rows, columns) near 1 by five Newton-Schulz steps.

    A step multiplies the matrix X by a polynomial of its Gram matrix X X^T. All these polynomials
    commute, so they are multiplied on the small square side, and X only once, at the end.
    Jordan's coefficients trade exactness (the values end between about 0.7 and 1.2) for a fast rise
    of the small ones.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide: Tensor = matrix.mT if is_tall else matrix
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.mT  # (rows, rows)
    identity = torch.eye(len(gram), device=gram.device)
    product = factor = gram_polynomial(gram, identity)
    for _ in range(4):
        gram = factor @ gram @ factor
        factor = gram_polynomial(gram, identity)
        product = factor @ product
    result: Tensor = product @ wide
    return result.mT if is_tall else result


def gram_polynomial(gram: Tensor, identity: Tensor) -> Tensor:
    """Return Jordan's polynomial of a Gram matrix, by which a step multiplies."""
    return torch.addmm(3.4445 * identity - 4.7750 * gram, gram, gram, alpha=2.0315)


def build_optimizers(
    network: nn.Module, params: Train, pretrained: frozenset[str] = frozenset()
) -> list[Optimizer]:
    """Return the optimizers of a network's weights: Muon, then AdamW.

    Muon has the convolutions that see features. The first one sees colors and stays with AdamW, as
    do depthwise kernels, norms, biases and the head. Norms and biases do not decay: nothing is
    gained by making them small.

    Parameters
    ----------
    network : Module
    params : Train
    pretrained : set of str
        Names of the weights that were trained before: they learn at a lower rate.
    """

    def groups(is_meant: Callable[[Tensor], bool], weight_decay: float) -> list[dict[str, Any]]:
        """Return the meant weights in two groups: the new ones, then the pretrained."""
        meant = [(name, weight) for name, weight in network.named_parameters() if is_meant(weight)]
        new = [weight for name, weight in meant if name not in pretrained]
        old = [weight for name, weight in meant if name in pretrained]
        old_lr = params.lr * params.pretrained_lr_factor
        return [
            {"params": new, "lr": params.lr, "weight_decay": weight_decay},
            {"params": old, "lr": old_lr, "weight_decay": weight_decay},
        ]

    decay = params.weight_decay
    matrices = groups(lambda weight: weight.ndim != 1 and not is_kernel(weight), decay)
    vectors = groups(lambda weight: weight.ndim == 1, 0.0)
    return [
        Muon(groups(is_kernel, decay)),
        AdamW([*matrices, *vectors], fused=True),
    ]


def is_kernel(weight: Tensor) -> bool:
    """Tell Muon's weights: convolutions that see features, several in each group."""
    return weight.ndim == 4 and weight.shape[1] > 3


def build_schedulers(
    optimizers: Iterable[Optimizer], params: Train, steps_per_epoch: int
) -> list[LambdaLR]:
    """Return a scheduler for each optimizer: a linear warm-up, then half a cosine."""
    steps = params.epochs * steps_per_epoch
    warmup_steps = params.warmup_fraction * steps

    def share(step: int) -> float:
        return warmup_cosine(step, warmup_steps, steps)

    return [LambdaLR(optimizer, share) for optimizer in optimizers]
