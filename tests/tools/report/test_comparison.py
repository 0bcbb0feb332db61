"""What is compared: the working tree, a base, and whether results are stale."""

import subprocess
from pathlib import Path

import pytest

from tests.tools.report.sides import (
    EMPTY,
    comparison,
    predictions,
    snapshot,
)
from tools.report.comparison import (
    GAINED,
    LOST,
    MINUS,
    compare_numbers,
    compare_predictions,
    compare_with_base,
    mcnemar_exact,
    show_p_value,
    signed,
)
from tools.report.page import (
    describe_metrics,
)
from tools.report.staleness import Staleness


def test_the_working_tree_is_compared_with_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    asked = []

    def check(params: dict[str, object] | None) -> Staleness:
        asked.append(params)
        return Staleness({"train": ["train.lr"]})

    monkeypatch.setattr("tools.report.comparison.check_staleness", check)
    monkeypatch.chdir(tmp_path)
    evaluation = Path("metrics/evaluation.json")
    evaluation.parent.mkdir()
    evaluation.write_text('{"accuracy": 0.5}')
    Path("params.yaml").write_text("train: {lr: 1}")
    run_git("init", "--initial-branch", "main")
    run_git("add", ".")
    run_git("commit", "--message", "first")
    run_git("switch", "--create", "wide")
    evaluation.write_text('{"accuracy": 0.75}')
    Path("metrics/loss.csv").write_text("nonsense")
    run_git("switch", "main")
    run_git("commit", "--allow-empty", "--message", "second")
    run_git("switch", "wide")
    both = compare_with_base("main")
    assert (both.base, both.here, both.behind) == ("main", "wide + uncommitted changes", 1)
    assert (both.before.evaluation, both.after.evaluation) == (
        {"accuracy": 0.5},
        {"accuracy": 0.75},
    )
    assert both.metrics["accuracy"].verdict == "better"
    assert both.after.problems[0].startswith("`metrics/loss.csv`")
    assert asked == [{"train.lr": 1}]
    assert both.staleness.stale == {"train": ["train.lr"]}
    evaluation.write_text('{"accuracy": 0.5}')
    run_git("add", "metrics/loss.csv")
    run_git("commit", "--message", "odd")
    assert compare_with_base("wide").before.problems[0].startswith("`wide:metrics/loss.csv`")
    run_git("commit", "--allow-empty", "--message", "results of an experiment")
    run_git("update-ref", "refs/exps/ab/cdef/bold", "HEAD")
    run_git("reset", "--hard", "HEAD^")
    assert (compare_with_base("bold").base, compare_with_base("bold").behind) == ("bold", 0)


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


def test_a_change_has_a_sign_and_nothing_has_none() -> None:
    changes = [signed(number) for number in (0.25, -0.00001, -1.0)]
    assert changes == ["+0.2500", "0", f"{MINUS}1.0000"]
    assert (signed(1234), signed(0)) == ("+1,234", "0")


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
    assert (paired.shared, paired.right, paired.unpaired) == (4, (2, 2), 2)
    assert paired.relabeled["photo"].tolist() == ["relabeled"]
    assert (paired.count(LOST), paired.count(GAINED)) == (1, 1)
    assert paired.changed["path"].to_dict() == {0: "1", 1: "2", 2: "3"}
    assert paired.changed["outcome"].tolist() == ["now wrong", "now right", "still wrong"]
