import pytest
import torch

from stages.common.network import build_network


@pytest.mark.parametrize("size", [32, 64, 97, 128])
def test_any_image_size_gives_logits(size: int) -> None:
    network = build_network(width=8, classes=5).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 5)


def test_default_network_is_small() -> None:
    parameters = sum(p.numel() for p in build_network(width=32, classes=5).parameters())
    assert parameters < 3_000_000


def test_every_weight_learns() -> None:
    network = build_network(width=8, classes=5)
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
