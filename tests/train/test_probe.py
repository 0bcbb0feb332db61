import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stages.common.errors import UserError
from stages.common.schema import Params, Runtime
from stages.common.store import Store
from stages.model.classifier import to_input
from stages.model.networks import build_network
from stages.train.distributed import World
from stages.train.initial import InitialModel
from stages.train.probe import PENALTIES, Probe, features_of, fit_heads, linear_head, measure
from stages.train.stopping import Stopped, StopRequest
from tests.conftest import meta_of
from tests.train.conftest import new_checkpoints, small_network

pytestmark = pytest.mark.usefixtures("in_empty_folder")


def new_probe(store: Store, params: Params, size: int = 1) -> Probe:
    train = params.train.model_copy(update={"epochs": 0, "batch_size": 8})
    runtime = Runtime(save_every_seconds=1e9, loader_workers=0)
    start = InitialModel(small_network(), meta_of(store))
    return Probe(start, store, train, runtime, World(torch.device("cpu"), size=size))


def test_only_the_head_is_fitted_and_row_0_says_how_well(store: Store, params: Params) -> None:
    before = small_network().state_dict()
    after = new_probe(store, params).run(new_checkpoints(), StopRequest())
    changed = {
        name for name, value in after.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"head.weight", "head.bias"}
    assert not after.training
    (row,) = pd.read_csv("metrics/loss.csv").to_dict("records")
    assert row["epoch"] == row["learning_rate"] == 0
    assert row["train_loss"] < np.log(2)
    assert 0 <= row["val_accuracy"] <= 1


def test_row_0_is_that_of_the_network_on_the_validation_photos(
    store: Store, params: Params
) -> None:
    probe = new_probe(store, params)
    fitted = probe.run(new_checkpoints(), StopRequest())
    images, labels, _ = probe.sets["validation"][np.arange(len(probe.sets["validation"]))]
    with torch.inference_mode():
        loss = F.cross_entropy(fitted(to_input(images, probe.meta)), labels).item()
    assert pd.read_csv("metrics/loss.csv")["val_loss"][0] == pytest.approx(loss, abs=2e-5)


class StopAtPhoto(StopRequest):
    def __init__(self, probe: Probe, photo: int) -> None:
        super().__init__()
        self.probe, self.photo = probe, photo

    @property
    def is_asked(self) -> bool:
        if self.probe.n_photos >= self.photo:
            self.signal_number = signal.SIGTERM
        return self.signal_number != 0


@pytest.mark.parametrize("photo", [8, 24, 45, 10_000])
def test_a_stop_in_features_or_fit_resumes_to_the_same_bytes(
    store: Store, params: Params, capsys: pytest.CaptureFixture[str], photo: int
) -> None:
    whole = new_probe(store, params).run(new_checkpoints(), StopRequest()).state_dict()
    row = Path("metrics/loss.csv").read_bytes()
    new_checkpoints().clear()
    interrupted = new_probe(store, params)
    n_photos = sum(map(len, interrupted.sets.values()))
    with pytest.raises(Stopped):
        interrupted.run(new_checkpoints(), StopAtPhoto(interrupted, min(photo, n_photos)))
    done = interrupted.n_photos
    assert done == n_photos if photo >= n_photos else done < n_photos
    resumed = new_probe(store, params)
    assert resumed.n_photos == 0
    again = resumed.run(new_checkpoints(), StopRequest()).state_dict()
    assert f"resuming with the features of {done} photos" in capsys.readouterr().out
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert Path("metrics/loss.csv").read_bytes() == row


@pytest.mark.parametrize(
    "features",
    [
        None,
        {"train": []},
        {"train": [torch.zeros(2, 3)], "validation": []},
        {"train": [torch.zeros(2, 10_000, 16)], "validation": []},
        {"train": "ab", "validation": []},
    ],
)
def test_a_checkpoint_without_sense_is_one_clear_line(
    store: Store, params: Params, features: object
) -> None:
    new_checkpoints().clear()
    new_checkpoints().save({"features": features})
    with pytest.raises(
        UserError, match=r"checkpoint does not fit .*\(\w+Error: .*; start again with `FLOWERBED"
    ):
        new_probe(store, params).run(new_checkpoints(), StopRequest())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_each_head_minimizes_the_weighted_mean_loss_and_its_penalty(
    n_classes: int, bias: bool
) -> None:
    """At the minimum, the gradient with respect to weights of standardized features is 0."""
    random = torch.Generator().manual_seed(0)
    features = 3 * torch.randn(2, 200, 6, generator=random) + 7
    directions = torch.randn(6, n_classes, generator=random)
    labels = ((features[0] - 7) @ directions).argmax(dim=1)
    labels[::7] = 0  # so that no line divides the classes
    weights = 2 * torch.rand(200, generator=random)
    weights /= weights.mean()
    mean, std = features.mean(dim=(0, 1)), features.std(dim=(0, 1))
    targets, counts = labels.repeat(2), weights.repeat(2)
    heads = fit_heads(nn.Linear(6, n_classes, bias), features, labels, weights)
    for head, penalty in zip(heads, PENALTIES, strict=True):
        scaled = (head.weight.detach() * std).requires_grad_()
        offset = (0 if head.bias is None else head.bias.detach()) + head.weight.detach() @ mean
        logits = ((features - mean) / std).flatten(0, 1) @ scaled.T + (offset if bias else 0)
        loss = (counts * F.cross_entropy(logits, targets, reduction="none")).mean()
        # Of two classes, the regression knows the difference: its square counts twice.
        squares = scaled.square().sum() * (2 if n_classes == 2 else 1)
        (loss + penalty / 2 * squares).backward()  # type: ignore[no-untyped-call]
        assert scaled.grad is not None
        assert scaled.grad.abs().max() < 2e-3


def test_the_head_takes_features_as_they_are() -> None:
    features = torch.cat([torch.zeros(1, 20, 1), torch.full((1, 20, 1), 9.0)], dim=1)
    labels = torch.arange(40) // 20
    for head in fit_heads(nn.Linear(1, 2), features, labels, torch.ones(40)):
        assert measure(head, features, labels)[1] == 1.0


def test_features_are_what_the_head_is_fed(store: Store) -> None:
    net, meta = small_network().eval(), meta_of(store)
    inputs = torch.randn(3, 3, 32, 32)
    features = features_of(net, linear_head(net, meta), inputs)
    assert features.shape == (3, 128)
    torch.testing.assert_close(net.get_submodule("head")(features), net(inputs))


def test_a_measure_by_hand() -> None:
    head = nn.Linear(1, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0], [1.0]]))
        head.bias.zero_()
    loss, accuracy = measure(head, torch.tensor([[[0.0], [2.0]]]), torch.tensor([0, 0]))
    assert loss == pytest.approx((np.log(2) + np.log1p(np.exp(2))) / 2)
    assert accuracy == 0.5


def test_a_head_that_is_not_linear_is_one_clear_line(store: Store) -> None:
    meta = meta_of(store).model_copy(update={"architecture": "squeezenet1_1"})
    with pytest.raises(
        UserError, match=r"train\.epochs is 0, but of squeezenet1_1 no head .*Conv2d"
    ):
        linear_head(build_network("squeezenet1_1", 8, 2), meta)


def test_a_network_that_goes_on_after_its_last_linear_layer_is_refused(store: Store) -> None:
    twisted = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2), nn.Tanh())
    with pytest.raises(UserError, match="does not end in its last linear layer"):
        linear_head(twisted, meta_of(store))


def test_several_processes_are_refused(store: Store, params: Params) -> None:
    with pytest.raises(UserError, match="a linear probe takes one process"):
        new_probe(store, params, size=2)
