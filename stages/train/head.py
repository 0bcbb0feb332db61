"""The head of a network: what it is fed, and its fit to that."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.model.classifier import ModelMeta
from stages.common.errors import UserError
from stages.model.flowernet import head_name
from stages.train.loss import Loss

STEPS = 50
"""L-BFGS steps for each penalty; each starts from the result of the one before."""


def linear_head(network: nn.Module, meta: ModelMeta) -> nn.Linear:
    """Return the linear layer that a network ends in.

    Raises
    ------
    UserError
        If it ends in something else, or does more with the layer's logits.
    """
    problem = f"params.yaml: train.epochs is 0, but of {meta.architecture} no head can be fitted"
    remedy = "set train.epochs to at least 1, or choose another network"
    head = network.get_submodule(head_name(network))
    if not isinstance(head, nn.Linear):
        raise UserError(f"{problem}: its last layer is a {type(head).__name__}; {remedy}")
    weight = next(network.parameters())
    inputs = weight.new_ones(1, 3, meta.input_size_px, meta.input_size_px)
    with torch.inference_mode():
        features, logits = features_of(network, head, inputs), network(inputs)
        if features.ndim != 2 or not torch.allclose(head(features), logits, rtol=1e-4, atol=1e-4):
            raise UserError(f"{problem}: it does not end in its last linear layer; {remedy}")
    return head


def features_of(network: nn.Module, head: nn.Module, inputs: Tensor) -> Tensor:
    """Return what a network feeds its head, of shape (B, D), for inputs (B, 3, H, W)."""
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, fed: seen.append(fed[0]))
    try:
        network(inputs)
    finally:
        hook.remove()
    return seen[-1]


def minimize(
    head: nn.Linear, features: Tensor, labels: Tensor, loss_fn: Loss, penalty: float
) -> None:
    """Fit a head to features of shape (views, N, D), with L-BFGS on all of them at once."""
    inputs, targets = features.flatten(0, 1), labels.repeat(len(features))
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=STEPS, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = loss_fn(head(inputs), targets) + penalty / 2 * head.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    optimizer.step(closure)  # type: ignore[no-untyped-call]


@torch.no_grad()
def plain_head(head: nn.Linear, mean: Tensor, std: Tensor) -> nn.Linear:
    """Return the head that does to features what `head` does to standardized ones."""
    plain = copy.deepcopy(head)
    plain.weight.div_(std)
    if plain.bias is not None:
        plain.bias.sub_(plain.weight @ mean)
    return plain


@torch.no_grad()
def measure(head: nn.Linear, features: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy on features of shape (views, N, D)."""
    logits, targets = head(features.flatten(0, 1)), labels.repeat(len(features))
    accuracy = (logits.argmax(dim=1) == targets).float().mean()
    return F.cross_entropy(logits, targets).item(), accuracy.item()
