import time
from collections.abc import Iterator

import torch

from stages.train.batches import Batch
from stages.train.time_spent import TimeSpent


def test_waiting_for_batches_is_feeding_and_the_rest_is_steps() -> None:
    spent = TimeSpent()
    batch = (torch.zeros(1), torch.zeros(1), torch.zeros(1))

    def slow() -> Iterator[Batch]:
        for _ in range(2):
            time.sleep(0.05)
            yield batch

    assert len(list(spent.feeding(slow()))) == 2
    with spent.on("saving"):
        time.sleep(0.02)
    assert 0.1 <= spent.seconds["feeding"] < 0.1 + spent.seconds["saving"] + 1
    assert spent.describe().startswith("feeding ")
    shares = [float(part.split()[1].rstrip("%")) for part in spent.describe().split(", ")]
    assert abs(sum(shares) - 100) < 0.2


def test_time_is_counted_also_when_the_block_fails() -> None:
    spent = TimeSpent()
    try:
        with spent.on("saving"):
            raise OSError
    except OSError:
        pass
    assert spent.seconds["saving"] > 0
