"""The optimizer: Muon for the convolutions, AdamW for everything else, at one learning rate.

Muon turns the momentum of a kernel, seen as a matrix, into the nearest matrix whose singular values
are all about 1, so that rare directions learn as fast as frequent ones. Its step is scaled to have
the size that AdamW's would have, which lets both share one learning rate.

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

from stages.common.params import Train

MOMENTUM = 0.95


class Muon(Optimizer):
    """Momentum, made orthogonal, for kernels of shape (out, in, height, width)."""

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every kernel once."""
        assert closure is None
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:  # it is frozen
                    continue
                direction = orthogonalise(self._momentum(kernel).flatten(1)).view(kernel.shape)
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


def orthogonalise(matrix: Tensor) -> Tensor:
    """Bring the singular values of a matrix (rows, columns) near 1 by five Newton-Schulz steps.

    A step multiplies the matrix X by a polynomial of its Gram matrix X X^T. All these polynomials
    commute, so they are multiplied on the small square side, and X only once, at the end.
    Jordan's coefficients trade exactness (the values end between about 0.7 and 1.2) for a fast rise
    of the small ones.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide: Tensor = matrix.mT if tall else matrix
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.mT
    unit = torch.eye(len(gram), device=gram.device)
    product = polynomial(gram, unit)
    step = product
    for _ in range(4):
        gram = step @ gram @ step
        step = polynomial(gram, unit)
        product = step @ product
    result: Tensor = product @ wide
    return result.mT if tall else result


def polynomial(gram: Tensor, unit: Tensor) -> Tensor:
    """Return Jordan's polynomial of a Gram matrix, by which a step multiplies."""
    return torch.addmm(3.4445 * unit - 4.7750 * gram, gram, gram, alpha=2.0315)


def is_kernel(weight: Tensor) -> bool:
    """Tell Muon's weights: those of convolutions that see features, several in each group."""
    return weight.ndim == 4 and weight.shape[1] > 3


def is_vector(weight: Tensor) -> bool:
    """Tell norms and biases."""
    return weight.ndim == 1


def is_other_matrix(weight: Tensor) -> bool:
    """Tell what is left: the first convolution, linear layers."""
    return not is_kernel(weight) and not is_vector(weight)


class MuonWithAdamW:
    """Both optimizers, used as one.

    The first convolution sees colours, not features, and stays with AdamW, as do the norms, the
    biases and the classifier's head. Norms and biases do not decay: they have no need to be small.

    Parameters
    ----------
    network : Module
    params : Train
    pretrained : set of str
        Names of the weights that were trained before: they learn at a lower rate.
    """

    def __init__(
        self, network: nn.Module, params: Train, pretrained: frozenset[str] = frozenset()
    ) -> None:
        def groups(wanted: Callable[[Tensor], bool], weight_decay: float) -> list[dict[str, Any]]:
            """Return the wanted weights in two groups, the new ones and the pretrained."""
            found = [(name in pretrained, p) for name, p in network.named_parameters() if wanted(p)]
            return [
                {
                    "params": [p for is_old, p in found if is_old == old],
                    "weight_decay": weight_decay,
                    "factor": factor,
                }
                for old, factor in ((False, 1.0), (True, params.pretrained_lr_factor))
            ]

        decay = params.weight_decay
        others = groups(is_other_matrix, decay) + groups(is_vector, 0.0)
        self.parts: list[Optimizer] = [
            Muon(groups(is_kernel, decay), params.lr),
            AdamW(others, params.lr, fused=True),
        ]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """Update the weights."""
        for part in self.parts:
            part.step()

    def state(self) -> list[dict[str, Any]]:
        """Return what the optimizers remember."""
        return [part.state_dict() for part in self.parts]

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Go on from what `state` returned."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the next step."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr * group["factor"]


class WarmupCosine:
    """The learning rate rises in a line to its highest value, then falls along half a cosine."""

    def __init__(self, optimizer: MuonWithAdamW, params: Train, steps_per_epoch: int) -> None:
        self._optimizer = optimizer
        self._highest = params.lr
        self._warmup_steps = params.warmup_epochs * steps_per_epoch
        self._steps = params.epochs * steps_per_epoch
        self.go_to(0)

    def step(self) -> None:
        """Set the learning rate of the next training step."""
        self.go_to(self.done + 1)

    def go_to(self, step: int) -> None:
        """Set the learning rate that follows `step` training steps."""
        self.done = step
        self.lr = self._highest * self._factor(step + 0.5)
        self._optimizer.set_lr(self.lr)

    def _factor(self, step: float) -> float:
        if step < self._warmup_steps:
            return step / self._warmup_steps
        share = (step - self._warmup_steps) / (self._steps - self._warmup_steps)
        return (1 + math.cos(math.pi * min(share, 1))) / 2
