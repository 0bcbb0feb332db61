import pytest
import torch

from stages.common.errors import UserError
from stages.train.processes import Processes
from stages.train.running_loss import RunningLoss

ALONE = Processes(torch.device("cpu"))


def test_loss_weights_short_last_batch_by_size() -> None:
    losses = RunningLoss(1, ALONE)
    losses.add(torch.tensor(1.0), photos=32)
    losses.add(torch.tensor(4.0), photos=8)
    assert losses.mean() == pytest.approx((32 * 1 + 8 * 4) / 40)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_names_epoch_and_first_batch(bad: float) -> None:
    losses = RunningLoss(7, ALONE)
    for loss in (1.0, 2.0, bad, 1.0, float("nan")):
        losses.add(torch.tensor(loss), photos=4)
    with pytest.raises(UserError, match=r"epoch 7, batch 3; lower train\.lr"):
        losses.mean()
