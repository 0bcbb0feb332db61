"""The optimizers: Muon for the convolutions, AdamW for everything else, at one learning rate.

Muon brings the singular values of a kernel's momentum, seen as a matrix, to about 1, but for the
smallest, so that rare directions learn as fast as frequent ones. Its step is scaled to the size of
AdamW's, so both share one learning rate. ``torch.optim.Muon`` takes more steps, all in bfloat16,
which is slow on most CPUs.

References
----------
Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
Liu et al., "Muon is scalable for LLM training" (2025): the scale 0.2 sqrt(max(rows, columns)).
Amsel et al., "The Polar Express" (2025): the polynomials.
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
from stages.model.device import Precision, products_in
from stages.train.schedule import warmup_cosine

MOMENTUM = 0.95
"""Jordan et al.'s."""

POLYNOMIALS = ((6.7524, -18.3510, 13.2633), (2.5379, -1.8747, 0.4413))
"""a, b, c of a x + b x^3 + c x^5, for two steps: the best, one after the other, to bring singular
values from 0.05 to 1 near 1. They end between 0.78 and 1.22, and smaller ones grow 17 times."""


class Muon(Optimizer):
    """Momentum, made orthogonal, for kernels of shape (out, in, height, width).

    Parameters
    ----------
    groups : iterable of dict
        ``params``, ``lr`` and ``weight_decay`` of each group.
    precision : str
        Of the network's passes, for `orthogonalize`.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], precision: Precision = "fp32") -> None:
        super().__init__(groups, {})
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every kernel once."""
        assert closure is None
        for group in self.param_groups:
            kernels = [kernel for kernel in group["params"] if kernel.grad is not None]
            momenta = [as_matrix(self._momentum(kernel)) for kernel in kernels]
            directions = orthogonalize(momenta, self.precision)
            for kernel, direction in zip(kernels, directions, strict=True):
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


def orthogonalize(matrices: list[Tensor], precision: Precision = "fp32") -> list[Tensor]:
    """Bring the singular values of matrices (rows, columns) near 1: the large ones above all.

    A step multiplies a matrix X by a polynomial of its Gram matrix X X^T. These polynomials
    commute, so they are multiplied on the small square side, and X only once, at the end. Gram
    matrices of one size are multiplied together.

    The two large products may round their factors if the precision is bfloat16. Between them,
    nothing is rounded: a Gram matrix has no negative eigenvalues, but rounded to bfloat16 it does,
    and the steps would make those larger.
    """
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    indices: dict[int, list[int]] = defaultdict(list)  # by the length of the small side
    for index, matrix in enumerate(wide):
        indices[len(matrix)].append(index)
    with products_in(precision):
        grams = [matrix @ matrix.mT for matrix in wide]
    factors = list(grams)
    for same_size in indices.values():
        stacked = torch.stack([grams[index] for index in same_size])
        for index, factor in zip(same_size, inverse_roots(stacked), strict=True):
            factors[index] = factor
    with products_in(precision):
        results = [factor @ matrix for factor, matrix in zip(factors, wide, strict=True)]
    return [
        result.mT if matrix.shape[0] > matrix.shape[1] else result
        for matrix, result in zip(matrices, results, strict=True)
    ]


def inverse_roots(grams: Tensor) -> Tensor:
    """Return by what to multiply matrices, from their Gram matrices (B, rows, rows).

    That is about the inverse square root of a Gram matrix. First it is scaled until its greatest
    eigenvalue is at most 1. The root of its square's norm bounds that eigenvalue more closely than
    its trace, by which Muon usually scales; where many are alike, that is worth two steps.
    """
    trace = grams.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] + 1e-14
    grams = grams / trace  # so that squares neither vanish nor overflow
    squares = grams @ grams
    bound = torch.linalg.matrix_norm(squares, keepdim=True).sqrt() + 1e-7
    grams, squares = grams / bound, squares / bound**2
    identity = torch.eye(grams.shape[1], dtype=grams.dtype, device=grams.device)
    (a, b, c), *others = POLYNOMIALS
    product = factor = a * identity + b * grams + c * squares
    for a, b, c in others:
        grams = factor @ grams @ factor
        factor = torch.baddbmm(a * identity + b * grams, grams, grams, alpha=c)
        product = factor @ product
    scaled: Tensor = product / (trace * bound).sqrt()
    return scaled


def build_optimizers(
    network: nn.Module,
    params: Train,
    pretrained: frozenset[str] = frozenset(),
    precision: Precision = "fp32",
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
    precision : str
        Of the network's passes.
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
        Muon(groups(is_kernel, decay), precision),
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
