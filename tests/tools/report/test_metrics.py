"""Which change of a metric is better."""

import pytest

from tests.tools.report.sides import (
    EMPTY,
    comparison,
    snapshot,
)
from tools.report.metrics import compare_numbers
from tools.report.page import (
    describe_metrics,
)


@pytest.mark.parametrize(
    ("name", "before", "after", "verdict"),
    [
        ("accuracy", 0.8, 0.9, "better"),
        ("top3_accuracy", 0.9, 0.8, "worse"),
        ("log_loss", 0.8, 0.9, "worse"),
        ("brier_score", 0.9, 0.8, "better"),
        ("expected_calibration_error", 0.2, 0.1, "better"),
        ("macro_f1", 0.8, 0.8, "same"),
        ("classes.log_loss.f1", 0.8, 0.9, "better"),
        ("images", 100, 120, ""),
    ],
)
def test_a_metric_is_judged_by_its_own_direction(
    name: str, before: float, after: float, verdict: str
) -> None:
    assert compare_numbers({name: before}, {name: after})[name].verdict == verdict


def test_a_metric_of_one_side_is_not_judged() -> None:
    side = snapshot({"metrics/evaluation.json": {"accuracy": 0.9}})
    assert "| `accuracy` |  | 0.9000 |  |  |" in describe_metrics(comparison(EMPTY, side))


def test_a_change_has_no_noise_of_binary_fractions() -> None:
    assert compare_numbers({"a": 0.1}, {"a": 0.3})["a"].difference == 0.2


def test_the_bounds_of_an_interval_stand_beside_its_number() -> None:
    side = snapshot(
        {
            "metrics/evaluation.json": {
                "images": 9,
                "accuracy_low": 0.1,
                "accuracy_high": 0.3,
                "accuracy": 0.2,
            }
        }
    )
    rows = describe_metrics(comparison(EMPTY, side)).splitlines()[2:]
    assert rows == [
        "| `images` |  | 9 |  |  |",
        "| `accuracy` |  | 0.2000 (0.1000 to 0.3000) |  |  |",
    ]
