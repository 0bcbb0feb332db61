import torch
from torch import nn

from stages.train.state import average_weights


def test_average_by_hand() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    ema = average_weights(network, decay=0.9)
    expected = 0.0
    for step, value in enumerate([1.0, 2.0, 3.0]):
        network.weight.data.fill_(value)
        ema.update_parameters(network)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    weight = ema.module.state_dict()["weight"]
    torch.testing.assert_close(weight.item(), expected)


def test_no_decay_is_the_network_itself() -> None:
    network = nn.BatchNorm1d(3)
    ema = average_weights(network, decay=0.0)
    network(torch.randn(8, 3))
    ema.update_parameters(network)
    for mine, its in zip(
        ema.module.state_dict().values(), network.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, its)


def test_averaging_never_touches_the_network() -> None:
    network = nn.Linear(2, 2)
    before = network.weight.detach().clone()
    average_weights(network, decay=0.5).update_parameters(network)
    assert torch.equal(network.weight, before)
    assert network.weight.requires_grad
