import pytest
import torch

from stages.common.errors import UserError
from stages.train.epoch_loss import EpochLoss

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
