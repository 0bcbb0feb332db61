import numpy as np

from stages.train.schedule import draw_order, image_sizes


def test_sizes_are_small_for_half_the_epochs_and_then_grow() -> None:
    assert image_sizes(64, 128, 14) == [64] * 7 + [96] * 5 + [112] * 2
    assert image_sizes(64, 224, 14) == [64] * 7 + [96] * 2 + [128, 160, 192] + [196] * 2


def test_sizes_of_a_short_run_end_at_the_largest() -> None:
    assert image_sizes(64, 128, 1) == [112]
    assert image_sizes(64, 128, 2) == [64, 112]


def test_a_first_size_above_the_largest_stays() -> None:
    assert image_sizes(120, 128, 4) == [120] * 4


def test_no_smaller_size_trains_at_the_full_size() -> None:
    assert image_sizes(128, 128, 3) == [128] * 3
    assert image_sizes(256, 128, 3) == [128] * 3


def test_an_epochs_order_depends_on_seed_and_epoch_only() -> None:
    order = draw_order(seed=0, epoch=1, n_photos=50)
    np.testing.assert_array_equal(draw_order(0, 1, 50), order)
    np.testing.assert_array_equal(np.sort(order), np.arange(50))
    assert (draw_order(0, 2, 50) != order).any()
    assert (draw_order(1, 1, 50) != order).any()
