import sys

import pytest
import torch

from stages.common.errors import UserError
from stages.model.flowernet import build_flowernet
from stages.model.networks import build_network, default_weights, load_weights


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


def test_weights_of_a_network_with_versions_are_read_as_the_present_one() -> None:
    network = build_network("mnasnet0_5", width=32, classes=5)
    weights = {name: value.clone() + 1 for name, value in network.state_dict().items()}
    load_weights(network, weights)
    assert torch.equal(network.state_dict()["classifier.1.bias"], weights["classifier.1.bias"])


def test_an_unknown_network_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no network 'resnt18'; .*did you mean resnet18"):
        build_network("resnt18", width=32, classes=5)


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit.r160_in1k", "timm/levit_128s"])
def test_a_network_of_timm_has_a_head_for_our_classes(name: str) -> None:
    size = default_weights(name).size_px
    network = build_network(name, width=32, classes=5).eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 5)


def test_an_unknown_network_of_timm_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no network 'timm/resnt18'; .*did you mean timm/resnet18"):
        build_network("timm/resnt18", width=32, classes=5)
    with pytest.raises(UserError, match=r"did you mean timm/resnet18\.a1_in1k"):
        default_weights("timm/resnet18.a1_in")


def test_an_encoder_of_timm_is_no_classification_network() -> None:
    with torch.device("meta"), pytest.raises(UserError, match="without a head for classes"):
        build_network("timm/gemma4_vit_167m_enc", width=32, classes=5)


def test_where_timm_is_missing_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"timm/\.\.\. needs .* not installed.*: pip install timm"):
        build_network("timm/test_resnet", width=32, classes=5)


def test_the_weights_of_timm_come_with_their_own_size_and_colors() -> None:
    usual, own = default_weights("timm/resnet18"), default_weights("timm/test_resnet")
    assert (usual.size_px, usual.mean) == (224, [0.485, 0.456, 0.406])
    assert (own.size_px, own.mean, own.std) == (160, [0.5] * 3, [0.5] * 3)
    assert own.source == "timm/test_resnet.r160_in1k/model.safetensors"
