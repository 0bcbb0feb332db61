import math

import pytest
import torch
from torch import nn

from stages.common.schema import Params
from stages.model.device import Precision, cpu_multiplies_bf16
from stages.model.flowernet import build_flowernet
from stages.train.optimizer import (
    MOMENTUM,
    POLYNOMIALS,
    Muon,
    build_optimizers,
    build_schedulers,
    orthogonalize,
)


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for scale in (1e-6, 1.0, 1e6):
        values = torch.linalg.svdvals(orthogonalize([scale * matrix])[0])
        assert values.max() < 1.25
        assert values[min(shape) // 2] > 0.7
        assert values.min() > 0.7 or shape == (16, 16)  # one of a square matrix is nearly 0


def test_the_polynomials_bring_what_is_above_a_twentieth_near_one() -> None:
    values = scaled = torch.linspace(0.05, 1, 1000, dtype=torch.float64)
    for a, b, c in POLYNOMIALS:
        values = a * values + b * values**3 + c * values**5
    assert 0.77 < values.min() < 0.79
    assert 1.21 < values.max() < 1.23
    found = orthogonalize([torch.diag(scaled)])[0].diagonal()
    bound = (scaled**8).sum() ** 0.125  # what the greatest one is scaled by
    assert found[scaled / bound >= 0.05].min() > 0.77
    assert found.max() < 1.23


def test_orthogonalize_keeps_the_singular_vectors() -> None:
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    rotated = left.T @ orthogonalize([matrix])[0] @ right.T
    torch.testing.assert_close(rotated, rotated.diag().diag(), rtol=0, atol=1e-4)


def textbook(matrix: torch.Tensor) -> torch.Tensor:
    gram = matrix @ matrix.T
    x: torch.Tensor = matrix / (gram @ gram).norm() ** 0.25
    for a, b, c in POLYNOMIALS:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def test_orthogonalize_equals_the_textbook_iteration() -> None:
    random = torch.Generator().manual_seed(0)
    shapes = [(8, 30), (16, 40), (30, 8), (8, 72)]  # three with a small side of 8
    matrices = [torch.randn(shape, generator=random) for shape in shapes]
    for found, matrix in zip(orthogonalize(matrices), matrices, strict=True):
        torch.testing.assert_close(found, textbook(matrix), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", [(32, 288), (64, 576), (128, 64), (128, 1152), (256, 2304)])
def test_orthogonalize_bears_matrices_of_low_rank(
    shape: tuple[int, int], precision: Precision
) -> None:
    """As gradients are: most of their singular values are nearly 0."""
    random = torch.Generator().manual_seed(0)
    for rank in (1, 2, 4, 8, 16, 32):
        left = torch.randn(shape[0], rank, generator=random) * torch.logspace(0, -4, rank)
        matrix = left @ torch.randn(rank, shape[1], generator=random)
        matrix += 1e-5 * torch.randn(shape, generator=random)
        for each in (matrix, matrix.bfloat16().float()):
            assert torch.linalg.svdvals(orthogonalize([each], precision)[0]).max() < 1.25


@pytest.mark.skipif(not cpu_multiplies_bf16(), reason="needs a CPU with fast bfloat16")
def test_in_bfloat16_the_large_products_are_rounded() -> None:
    matrix = torch.randn(64, 288, generator=torch.Generator().manual_seed(0))
    exact, rounded = (orthogonalize([matrix], precision)[0] for precision in ("fp32", "bf16"))
    assert 0 < (exact - rounded).abs().max() < 0.01


def test_orthogonalize_of_nothing_is_nothing() -> None:
    assert not orthogonalize([torch.zeros(4, 9)])[0].any()


def test_first_muon_step_by_hand() -> None:
    kernel = nn.Parameter(torch.ones(4, 2, 3, 3))
    gradient = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel.grad = gradient.clone()
    Muon([{"params": [kernel], "lr": 0.1, "weight_decay": 0.5}]).step()
    # Both the momentum and its look ahead are multiples of the only gradient.
    direction = textbook(gradient.flatten(1)).view(4, 2, 3, 3)
    expected = torch.ones(4, 2, 3, 3) * (1 - 0.1 * 0.5) - 0.1 * 0.2 * math.sqrt(18) * direction
    torch.testing.assert_close(kernel.detach(), expected, rtol=1e-4, atol=1e-5)
    assert 0 < MOMENTUM < 1


def groups_of(network: nn.Module, params: Params, pretrained: frozenset[str] = frozenset()):
    optimizers = build_optimizers(network, params.train, pretrained)
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def test_every_weight_has_one_optimizer(params: Params) -> None:
    network = build_flowernet(8, 3)
    network.register_parameter("temperature", nn.Parameter(torch.tensor(1.0)))  # of no dimension
    held = [weight for group in groups_of(network, params) for weight in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, network.parameters()))


def test_norms_and_biases_do_not_decay(params: Params) -> None:
    for group in groups_of(build_flowernet(8, 3), params):
        for weight in group["params"]:
            assert (group["weight_decay"] == 0) == (weight.ndim == 1)


def test_both_optimizers_share_the_learning_rate_but_for_pretrained_weights(params: Params) -> None:
    network = build_flowernet(8, 3)
    head = {"head.weight", "head.bias"}
    pretrained = frozenset(name for name, _ in network.named_parameters()) - head
    slow = params.train.lr * params.train.pretrained_lr_factor
    for group in groups_of(network, params, pretrained):
        for weight in group["params"]:
            is_head = any(weight is network.get_parameter(name) for name in head)
            assert group["lr"] == (params.train.lr if is_head else slow)


def test_learning_rate_rises_then_falls_to_zero(params: Params) -> None:
    optimizers = build_optimizers(build_flowernet(8, 3), params.train)
    schedulers = build_schedulers(optimizers, params.train, steps_per_epoch=10)
    rates: list[float] = []
    for _ in range(10 * params.train.epochs):
        both = {group["lr"] for each in optimizers for group in each.param_groups[:1]}
        assert len(both) == 1
        rates += both
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
    warmup = int(10 * params.train.epochs * params.train.warmup_fraction)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert max(rates) == pytest.approx(params.train.lr, rel=0.01)
    assert rates[0] == pytest.approx(params.train.lr * 0.5 / warmup)
    assert 0 < rates[-1] < 0.01 * params.train.lr
