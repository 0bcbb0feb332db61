import pytest
import torch

from stages.common.errors import UserError
from stages.common.network import build_flowernet, build_network


@pytest.mark.parametrize("size", [32, 64, 97, 128])
def test_any_image_size_gives_logits(size: int) -> None:
    network = build_flowernet(width=8, classes=5).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 5)


def test_default_network_is_small() -> None:
    parameters = sum(p.numel() for p in build_flowernet(width=32, classes=5).parameters())
    assert parameters < 3_000_000


def test_every_weight_learns() -> None:
    network = build_flowernet(width=8, classes=5)
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "googlenet"])
def test_a_network_of_torchvision_has_a_head_for_our_classes(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name, width=32, classes=5).eval()
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no network 'resnt18'; .*did you mean resnet18"):
        build_network("resnt18", width=32, classes=5)
