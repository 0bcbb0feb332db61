import math

import pytest
import torch
from torch import nn

from stages.common.network import build_flowernet
from stages.common.params import Params
from stages.train.optimizer import MOMENTUM, Muon, MuonWithAdamW, WarmupCosine, orthogonalise


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_orthogonalise_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_orthogonalise_keeps_the_singular_vectors() -> None:
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    rotated = left.T @ orthogonalise(matrix) @ right.T
    torch.testing.assert_close(rotated, rotated.diag().diag(), rtol=0, atol=1e-4)


def test_orthogonalise_equals_the_textbook_iteration() -> None:
    matrix = torch.randn(8, 30, generator=torch.Generator().manual_seed(0))
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalise(matrix), x, rtol=1e-4, atol=1e-5)


def test_first_muon_step_by_hand() -> None:
    kernel = nn.Parameter(torch.ones(4, 2, 3, 3))
    gradient = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel.grad = gradient.clone()
    Muon([{"params": [kernel], "weight_decay": 0.5}], lr=0.1).step()
    # Both the momentum and its look ahead are multiples of the only gradient.
    direction = orthogonalise(gradient.flatten(1)).view(4, 2, 3, 3)
    expected = torch.ones(4, 2, 3, 3) * (1 - 0.1 * 0.5) - 0.1 * 0.2 * math.sqrt(18) * direction
    torch.testing.assert_close(kernel.detach(), expected, rtol=1e-4, atol=1e-5)
    assert 0 < MOMENTUM < 1


def test_every_weight_has_one_optimizer(params: Params) -> None:
    network = build_flowernet(8, 3)
    optimizer = MuonWithAdamW(network, params.train)
    held = [p for part in optimizer.parts for group in part.param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, network.parameters()))


def test_norms_and_biases_do_not_decay(params: Params) -> None:
    network = build_flowernet(8, 3)
    groups = [g for part in MuonWithAdamW(network, params.train).parts for g in part.param_groups]
    for group in groups:
        for weight in group["params"]:
            assert (group["weight_decay"] == 0) == (weight.ndim == 1)


def test_both_optimizers_share_the_learning_rate(params: Params) -> None:
    optimizer = MuonWithAdamW(build_flowernet(8, 3), params.train)
    optimizer.set_lr(0.125)
    groups = [group for part in optimizer.parts for group in part.param_groups]
    assert {group["lr"] for group in groups if group["params"]} == {0.125}


def test_learning_rate_rises_then_falls_to_zero(params: Params) -> None:
    network = build_flowernet(8, 3)
    schedule = WarmupCosine(MuonWithAdamW(network, params.train), params.train, steps_per_epoch=10)
    rates = []
    for _ in range(10 * params.train.epochs):
        rates.append(schedule.lr)
        schedule.step()
    warmup = int(10 * params.train.warmup_epochs)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert max(rates) == pytest.approx(params.train.lr, rel=0.01)
    assert rates[0] == pytest.approx(params.train.lr * 0.5 / warmup)
    assert 0 < rates[-1] < 0.01 * params.train.lr
