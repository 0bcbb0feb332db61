import time

import pytest

from stages.train.clock import Clock, Every


def test_what_is_not_counted_by_name_is_steps() -> None:
    clock = Clock()

    for _ in range(2):
        with clock.on("feeding"):
            time.sleep(0.05)
    with clock.on("checkpoints"):
        time.sleep(0.02)
    seconds = clock.state_dict()
    assert 0.1 <= seconds["feeding"] < seconds["total"]
    assert clock.describe().startswith("feeding ")
    shares = [float(part.split()[1].rstrip("%")) for part in clock.describe().split(", ")]
    assert abs(sum(shares) - 100) < 0.2


def test_time_is_counted_also_when_the_block_fails() -> None:
    clock = Clock()
    with pytest.raises(OSError), clock.on("checkpoints"):  # noqa: PT011
        raise OSError
    assert clock.state_dict()["checkpoints"] > 0


def test_a_resumed_clock_continues_without_the_time_between() -> None:
    clock = Clock()
    with clock.on("feeding"):
        time.sleep(0.02)
    saved = clock.state_dict()
    resumed = Clock()
    resumed.load_state_dict({**saved, "total": 100.0})
    assert resumed.state_dict()["feeding"] == saved["feeding"]
    assert 100 <= resumed.total() < 110


def test_a_time_is_due_again_and_again() -> None:
    assert [Every(0).is_due() for _ in range(2)] == [True, True]
    rarely = Every(0.02)
    assert not rarely.is_due()
    time.sleep(0.03)
    assert rarely.is_due()
    assert not rarely.is_due()
