"""The optimizers: Muon for the convolutions, AdamW for everything else, at one learning rate.

Muon turns the momentum of a kernel, seen as a matrix, into the nearest matrix whose singular values
are all about 1, so that rare directions learn as fast as frequent ones. Its step is scaled to the
size of AdamW's, so both share one learning rate. ``torch.optim.Muon`` has the same rule, but casts
to bfloat16: on a CPU without fast bfloat16 a step of flowernet takes it 2.6 s instead of 0.04 s.

References
----------
Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
Liu et al., "Muon is scalable for LLM training" (2025): the scale 0.2 sqrt(max(rows, columns)).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from stages.common.schema import Train
from stages.train.schedule import warmup_cosine

MOMENTUM = 0.95
"""Jordan et al.'s."""


class Muon(Optimizer):
    """Momentum, made orthogonal, for kernels of shape (out, in, height, width).

    Parameters
    ----------
    groups : iterable of dict
        ``params``, ``lr`` and ``weight_decay`` of each group.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every kernel once."""
        assert closure is None
        for group in self.param_groups:
            kernels = [kernel for kernel in group["params"] if kernel.grad is not None]
            momenta = [as_matrix(self._momentum(kernel)) for kernel in kernels]
            for kernel, direction in zip(kernels, orthogonalize(momenta), strict=True):
                size = 0.2 * math.sqrt(max(direction.shape))
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.add_(as_kernel(direction, kernel), alpha=-group["lr"] * size)

    def _momentum(self, kernel: Tensor) -> Tensor:
        """Update a kernel's momentum with its gradient; return it one step ahead (Nesterov)."""
        assert kernel.grad is not None
        state: dict[str, Any] = self.state[kernel]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(kernel)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(kernel.grad, 1 - MOMENTUM)
        return kernel.grad.lerp(momentum, MOMENTUM)


def as_matrix(kernel: Tensor) -> Tensor:
    """Return a kernel as a matrix (out, height * width * in): no copy if it is channels-last."""
    return kernel.permute(0, 2, 3, 1).flatten(1)


def as_kernel(matrix: Tensor, like: Tensor) -> Tensor:
    """Undo `as_matrix`."""
    out, width_in, height, width = like.shape
    return matrix.view(out, height, width, width_in).permute(0, 3, 1, 2)


def orthogonalize(matrices: list[Tensor]) -> list[Tensor]:
    """Bring the singular values of matrices (rows, columns) near 1 by five Newton-Schulz steps.

    A step multiplies the matrix X by a polynomial of its Gram matrix X X^T. All these polynomials
    commute, so they are multiplied on the small square side, and X only once, at the end. Gram
    matrices of one size are multiplied together.

    In single precision: Gram matrices have no negative eigenvalues, but rounded to bfloat16 they
    do, and a step multiplies those by 12 and more, so that a momentum of low rank came out a
    million times too large. The usual steps on X itself work in bfloat16, and take just as long.
    """
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    wide = [matrix / (matrix.norm() + 1e-7) for matrix in wide]
    indices: dict[int, list[int]] = defaultdict(list)  # by the length of the small side
    for index, matrix in enumerate(wide):
        indices[len(matrix)].append(index)
    for same_size in indices.values():
        grams = torch.stack([wide[index] @ wide[index].mT for index in same_size])
        for index, product in zip(same_size, newton_schulz(grams), strict=True):
            wide[index] = product @ wide[index]
    return [
        result.mT if matrix.shape[0] > matrix.shape[1] else result
        for matrix, result in zip(matrices, wide, strict=True)
    ]


def newton_schulz(grams: Tensor) -> Tensor:
    """Return what five steps multiply matrices by, from their Gram matrices (B, rows, rows).

    Jordan's coefficients trade exactness (the singular values end between about 0.7 and 1.2) for a
    fast rise of the small ones.
    """
    identity = torch.eye(grams.shape[1], dtype=grams.dtype, device=grams.device)
    product = factor = gram_polynomial(grams, identity)
    for _ in range(4):
        grams = factor @ grams @ factor
        factor = gram_polynomial(grams, identity)
        product = factor @ product
    return product


def gram_polynomial(grams: Tensor, identity: Tensor) -> Tensor:
    """Return Jordan's polynomial of Gram matrices, by which a step multiplies."""
    return torch.baddbmm(3.4445 * identity - 4.7750 * grams, grams, grams, alpha=2.0315)


def build_optimizers(
    network: nn.Module,
    params: Train,
    pretrained: frozenset[str] = frozenset(),
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

    def factor(step: int) -> float:
        return warmup_cosine(step, warmup_steps, steps)

    return [LambdaLR(optimizer, factor) for optimizer in optimizers]
