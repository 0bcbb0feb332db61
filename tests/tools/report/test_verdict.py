"""The sentences at the top: is dvc.lock up to date, is the model better, is it chance?"""

from tests.tools.report.sides import (
    EMPTY,
    comparison,
    evaluation,
    snapshot,
    written,
)
from tools.report.page import (
    describe_classes,
    describe_metrics,
    write_page,
)
from tools.report.snapshot import Snapshot
from tools.report.staleness import Staleness
from tools.report.verdict import give_verdict


def test_the_verdict_says_how_far_accuracy_moved_with_both_intervals() -> None:
    before = snapshot({"metrics/evaluation.json": evaluation(0.5)})
    after = snapshot({"metrics/evaluation.json": evaluation(0.425)})
    assert give_verdict(comparison(before, after)) == (
        "- **dvc.lock is up to date** with the code and the parameters.\n"
        "- **Accuracy worse by 7.5 points**: 42.5% (95 % interval 10.0% to 90.0%), "
        "before 50.0% (95 % interval 10.0% to 90.0%)."
    )


def test_the_verdict_without_results_before_or_after() -> None:
    after = snapshot({"metrics/evaluation.json": {"accuracy": 0.5}})
    assert "**Accuracy 50.0%**; `main` has none." in give_verdict(comparison(EMPTY, after))
    assert "**No accuracy:**" in give_verdict(comparison(after, EMPTY))
    assert "**Accuracy unchanged**: 50.0%" in give_verdict(comparison(after, after))


def test_the_verdict_names_what_would_run_what_is_unchecked_and_what_is_missing() -> None:
    staleness = Staleness({"train": ["`stages/train` changed"]}, ["/photos"])
    said = give_verdict(comparison(EMPTY, EMPTY, staleness=staleness, behind=2))
    assert "would run `train` (`stages/train` changed), and what depends on it." in said
    assert "Not in this clone, so not checked: `/photos`." in said
    assert "`main` has 2 commits that this branch lacks" in said


def test_chance_is_named_only_where_it_explains_the_change() -> None:
    def said(lost: int, gained: int) -> str:
        rows = [(str(i), "rose", "rose" if i < lost else "tulip") for i in range(lost + gained)]
        turned = [(path, "rose", "tulip" if p == "rose" else "rose") for path, _, p in rows]
        sides = (snapshot({"metrics/predictions.csv": written(*side)}) for side in (rows, turned))
        return give_verdict(comparison(*sides)).splitlines()[-1]

    assert said(2, 12) == (
        "- Of 14 test photos, 12 became right and 2 became wrong. That is hardly chance: two "
        "equally good models would differ by at least this much with probability 0.013 "
        "(McNemar's exact test)."
    )
    assert "That could well be chance" in said(3, 4)
    assert "30 became right and none became wrong" in said(0, 30)
    assert "probability below 0.0001" in said(0, 30)


def side_with(accuracy: float, *rows: tuple[str, str, str]) -> Snapshot:
    classes = {"rose": {"f1": accuracy}}
    return snapshot(
        {
            "metrics/evaluation.json": {"accuracy": accuracy, "classes": classes},
            "metrics/predictions.csv": written(*rows),
        }
    )


def test_other_test_photos_are_not_comparable() -> None:
    before = side_with(0.5, ("1", "rose", "rose"), ("2", "rose", "rose"))
    after = side_with(0.75, ("1", "tulip", "tulip"), ("3", "rose", "rose"))
    both = comparison(before, after)
    said = give_verdict(both).splitlines()
    assert said[1:] == ["- **Not comparable: other test photos.** Accuracy 75.0%, before 50.0%."]
    assert "| `accuracy` | 0.5000 | 0.7500 | +0.2500 |  |" in describe_metrics(both)
    assert "| `rose` | 0.5000 | 0.7500 | +0.2500 |  |" in describe_classes(both)
    assert "better" not in write_page(both)


def test_one_shared_test_photo_is_comparable() -> None:
    before = side_with(0.5, ("1", "rose", "rose"), ("2", "rose", "rose"))
    after = side_with(0.75, ("1", "rose", "rose"), ("3", "rose", "rose"))
    said = give_verdict(comparison(before, after))
    assert "**Accuracy better by 25.0 points**" in said
    assert "Of 1 test photo in both tests (2 are in only one), none became right or wrong." in said
