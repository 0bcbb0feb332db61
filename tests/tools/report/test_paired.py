"""Predictions photo by photo, and McNemar's test."""

import pytest

from tests.tools.report.sides import (
    predictions,
)
from tools.report.paired import (
    GAINED,
    LOST,
    compare_predictions,
    mcnemar_exact,
    show_p_value,
)


def test_mcnemar_equals_the_published_example() -> None:
    """Two media for growing tubercle bacilli: 12 and 2 discordant of 50 specimens, P = 0.0129.

    Armitage and Berry, "Statistical methods in medical research", 3rd edition, 1994, page 127;
    its exact P (Liddell 1983) as given in the manual of StatsDirect, "McNemar and exact test".
    """
    assert round(mcnemar_exact(12, 2), 4) == 0.0129
    assert mcnemar_exact(2, 12) == mcnemar_exact(12, 2)


@pytest.mark.parametrize(
    ("lost", "gained", "by_hand"),
    [(0, 0, 1), (1, 1, 1), (0, 1, 1), (0, 5, 2 / 32), (1, 5, 2 * (1 + 6) / 64)],
)
def test_mcnemar_equals_coin_tosses_counted_by_hand(lost: int, gained: int, by_hand: float) -> None:
    assert mcnemar_exact(lost, gained) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("p_value", "shown"), [(0.0321, "0.032"), (1e-4, "0.0001"), (0.99e-4, "below 0.0001")]
)
def test_a_small_p_value_is_shown_as_a_bound(p_value: float, shown: str) -> None:
    assert show_p_value(p_value) == shown


def test_pairs_count_only_photos_of_both_tests_under_the_same_class() -> None:
    before = predictions(
        ("1", "rose", "rose"),
        ("2", "rose", "tulip"),
        ("3", "rose", "tulip"),
        ("4", "tulip", "tulip"),
        ("relabeled", "rose", "rose"),
        ("gone", "rose", "rose"),
    )
    after = predictions(
        ("new", "rose", "rose"),
        ("relabeled", "tulip", "tulip"),
        ("4", "tulip", "tulip"),
        ("3", "rose", "daisy"),
        ("2", "rose", "rose"),
        ("1", "rose", "tulip"),
    )
    paired = compare_predictions(before, after)
    assert (paired.shared, paired.unpaired) == (4, 3)
    assert (paired.count(LOST), paired.count(GAINED)) == (1, 1)
    assert paired.changed["path"].to_dict() == {0: "1", 1: "2", 2: "3"}
    assert paired.changed["outcome"].tolist() == ["now wrong", "now right", "still wrong"]
