import numpy as np

from stages.train.schedule import draw_order, image_sizes


def test_sizes_grow_to_the_full_size_for_the_last_sixth() -> None:
    assert image_sizes(64, 128, 12) == [64] * 5 + [96] * 5 + [128] * 2


def test_sizes_of_a_short_run_end_at_the_full_size() -> None:
    assert image_sizes(64, 128, 1) == [128]
    assert image_sizes(64, 128, 2) == [64, 128]


def test_no_smaller_size_trains_at_the_full_size() -> None:
    assert image_sizes(128, 128, 3) == [128] * 3
    assert image_sizes(256, 128, 3) == [128] * 3


def test_an_epochs_order_depends_on_seed_and_epoch_only() -> None:
    order = draw_order(seed=0, epoch=1, photos=50)
    np.testing.assert_array_equal(draw_order(0, 1, 50), order)
    np.testing.assert_array_equal(np.sort(order), np.arange(50))
    assert (draw_order(0, 2, 50) != order).any()
    assert (draw_order(1, 1, 50) != order).any()
