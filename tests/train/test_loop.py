import numpy as np
import pytest
import torch
from torch import nn

from stages.common.schema import Params
from stages.common.store import Store
from stages.train.augment import Augmentation
from stages.train.data import SplitDataset, load_batches, split_into_batches
from stages.train.distributed import World
from stages.train.initial import InitialModel
from stages.train.loop import train_step, validate
from stages.train.loss import build_loss
from stages.train.state import TrainState
from tests.conftest import meta_of
from tests.train.conftest import small_network

ALONE = World(torch.device("cpu"))


def new_state(store: Store, params: Params, **changes: object) -> TrainState:
    train = params.train.model_copy(update=changes)
    loss_fn = build_loss(store.labels, 0, train.label_smoothing, ALONE.device)
    return TrainState(InitialModel(small_network(), meta_of(store)), loss_fn, train, 20, ALONE)


def test_one_batch_can_be_overfitted(store: Store, params: Params) -> None:
    quiet = {"label_smoothing": 0.0, "color_jitter": 0.0, "min_crop_area": 1.0, "lr": 0.01}
    state = new_state(store, params, **quiet)
    split = SplitDataset.of(store, "train")
    images, labels, positions = split[np.arange(16)]
    still = params.train.model_copy(update=quiet)
    inputs = Augmentation(still, meta_of(store), len(split), 1, size_px=32)(images, positions)
    losses = [train_step(state, inputs, labels).item() for _ in range(41)]
    assert losses[-1] < 0.05 < losses[0]


def test_a_step_is_that_of_the_textbook(store: Store, params: Params) -> None:
    """One step of plain SGD on a linear network, by hand."""
    state = new_state(store, params, label_smoothing=0.0)
    linear = nn.Linear(3, 2)
    state.network = state.forward = linear
    state.ema = torch.optim.swa_utils.AveragedModel(linear)
    state.optimizers = [torch.optim.SGD(linear.parameters(), lr=0.5)]
    state.schedulers = [torch.optim.lr_scheduler.LambdaLR(state.optimizers[0], lambda step: 1.0)]
    before = linear.weight.detach().clone()
    inputs, labels = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    softmax = linear(inputs).softmax(dim=1).detach()
    gradient = (softmax - nn.functional.one_hot(labels, 2)).T @ inputs / 4
    loss = train_step(state, inputs, labels, weight=3.0)
    torch.testing.assert_close(loss, -softmax[range(4), labels].log().mean())
    torch.testing.assert_close(linear.weight.detach(), before - 0.5 * 3.0 * gradient)


def test_validation_weights_a_short_last_batch_by_size(store: Store, params: Params) -> None:
    state = new_state(store, params)
    split = SplitDataset.of(store, "train")
    by_16, by_40 = (
        validate(
            state,
            load_batches(split, split_into_batches(np.arange(40), size), 0, ALONE),
            meta_of(store),
        )
        for size in (16, 40)
    )
    assert by_16 == pytest.approx(by_40)
