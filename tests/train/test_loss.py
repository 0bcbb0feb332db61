import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.common.errors import UserError
from stages.train.loss import EpochLoss, build_loss, class_weights

CPU = torch.device("cpu")
LABELS = np.array([0] * 90 + [1] * 10)


@pytest.mark.parametrize(
    ("balance", "weights"),
    [(0.0, [1, 1]), (1.0, [100 / 180, 100 / 20]), (0.5, [0.8333333, 2.5])],
)
def test_weights_by_hand(balance: float, weights: list[float]) -> None:
    """Of 90 and 10 photos; 0.5: 1/sqrt(90) and 1/sqrt(10), times the same factor."""
    found = class_weights(np.bincount(LABELS), balance)
    np.testing.assert_allclose(found, weights, rtol=1e-6)
    np.testing.assert_allclose(found[LABELS].mean(), 1, rtol=1e-6)


def test_full_balance_counts_every_class_alike() -> None:
    counts = np.array([1, 10, 1000])
    np.testing.assert_allclose(class_weights(counts, 1.0) * counts, counts.sum() / 3, rtol=1e-6)


def test_no_balance_is_plain_cross_entropy_to_the_bit() -> None:
    logits, labels = torch.randn(8, 2), torch.tensor([0, 1] * 4)
    found = build_loss(LABELS, 0, 0.1, CPU)(logits, labels)
    assert torch.equal(found, F.cross_entropy(logits, labels, label_smoothing=0.1))


def test_a_weighted_batch_is_the_mean_of_its_weighted_photos() -> None:
    logits, labels = torch.randn(3, 2), torch.tensor([0, 1, 1])
    each = F.cross_entropy(logits, labels, reduction="none")
    expected = (each * torch.tensor([100 / 180, 5.0, 5.0])).mean()
    torch.testing.assert_close(build_loss(LABELS, 1, 0.0, CPU)(logits, labels), expected)


CPU = torch.device("cpu")


def test_loss_weights_short_last_batch_by_size() -> None:
    losses = EpochLoss(1, CPU)
    losses.add(torch.tensor(32 * 1.0), photos=32)
    losses.add(torch.tensor(8 * 4.0), photos=8)
    assert losses.mean() == pytest.approx((32 * 1 + 8 * 4) / 40)
    assert (losses.batches, losses.photos) == (2, 40)


def test_a_resumed_loss_is_the_same_to_the_bit() -> None:
    losses, resumed = EpochLoss(1, CPU), EpochLoss(1, CPU)
    for loss in (1 / 3, 1e-9, 12345.678):
        losses.add(torch.tensor(loss), photos=7)
    resumed.load_state_dict(losses.state_dict())
    for each in (losses, resumed):
        each.add(torch.tensor(0.1), photos=3)
    assert resumed.mean() == losses.mean()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_names_epoch_and_first_batch(bad: float) -> None:
    losses = EpochLoss(7, CPU)
    for loss in (1.0, 2.0, bad, 1.0, float("nan")):
        losses.add(torch.tensor(loss), photos=4)
    with pytest.raises(UserError, match=r"epoch 7, batch 3; lower train\.lr"):
        losses.mean()
