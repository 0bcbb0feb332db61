"""The report's parts: pairing, figures, Markdown, sentences, tables, curves."""

import json

import matplotlib as mpl
import pandas as pd
import pytest

from stages.common.errors import UserError
from tools.report.comparison import Comparison
from tools.report.curves import AFTER, BEFORE, Side, draw_picture, sides_of, write_mermaid
from tools.report.data import describe_data
from tools.report.figures import Figure, compare_classes, compare_figures
from tools.report.freshness import Freshness, StaleStage
from tools.report.git import Revision
from tools.report.markdown import MINUS, code, listed, plural, signed, table
from tools.report.page import MARKER, describe_classes, describe_photos, write_page
from tools.report.paired import compare_predictions, mcnemar_exact
from tools.report.snapshot import Snapshot, read_snapshot
from tools.report.verdict import describe_freshness, give_verdict

EMPTY = read_snapshot(lambda path: None)


def predictions(*rows: tuple[str, str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["path", "actual", "predicted"])
    return table.assign(confidence=0.5)


def snapshot(files: dict[str, object]) -> Snapshot:
    """Read a side from text, and from anything else as JSON."""
    contents = {
        path: content.encode() if isinstance(content, str) else json.dumps(content).encode()
        for path, content in files.items()
    }
    return read_snapshot(contents.get, "here:")


def comparison(before: Snapshot, after: Snapshot, **changes: object) -> Comparison:
    sides = {"base": Revision("main", "b" * 40), "here": Revision("wide", "a" * 40)}
    others = {"behind": 0, "before": before, "after": after, "freshness": Freshness()}
    return Comparison(**{**sides, **others, **changes})  # type: ignore[arg-type]


# McNemar


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


def test_pairs_count_only_photos_of_both_tests_under_the_same_class() -> None:
    before = predictions(
        ("1", "rose", "rose"),
        ("2", "rose", "tulip"),
        ("3", "rose", "tulip"),
        ("4", "tulip", "tulip"),
        ("relabelled", "rose", "rose"),
        ("gone", "rose", "rose"),
    )
    after = predictions(
        ("new", "rose", "rose"),
        ("relabelled", "tulip", "tulip"),
        ("4", "tulip", "tulip"),
        ("3", "rose", "daisy"),
        ("2", "rose", "rose"),
        ("1", "rose", "tulip"),
    )
    paired = compare_predictions(before, after)
    assert (paired.shared, paired.unpaired) == (4, 3)
    assert (paired.right_before, paired.right_after, paired.lost, paired.gained) == (2, 2, 1, 1)
    assert paired.changed["path"].tolist() == ["1", "2", "3"]
    assert paired.changed["outcome"].tolist() == ["now wrong", "now right", "still wrong"]


# figures


def test_a_figure_is_judged_by_its_direction() -> None:
    assert Figure("accuracy", 0.8, 0.9).verdict == "better"
    assert Figure("log_loss", 0.8, 0.9).verdict == "worse"
    assert Figure("expected_calibration_error", 0.2, 0.1).verdict == "better"
    assert Figure("macro_f1", 0.8, 0.8).verdict == "same"
    assert Figure("images", 100, 120).verdict == ""
    assert Figure("accuracy", None, 0.9).verdict == ""
    assert Figure("accuracy", 0.1, 0.3).change == 0.2


def test_every_figure_of_the_evaluation_with_a_direction_is_judged() -> None:
    names = ["accuracy", "top3_accuracy", "macro_f1", "log_loss", "brier_score"]
    before = dict.fromkeys([*names, "expected_calibration_error"], 0.5)
    after = dict.fromkeys(before, 0.6)
    verdicts = {figure.name: figure.verdict for figure in compare_figures(before, after)}
    assert list(verdicts) == [*names, "expected_calibration_error"]
    assert list(verdicts.values()) == ["better"] * 3 + ["worse"] * 3


def test_bounds_become_an_interval_and_accuracy_comes_first() -> None:
    evaluation = {"images": 9, "accuracy_low": 0.1, "accuracy_high": 0.3, "accuracy": 0.2}
    first, second = compare_figures({}, {**evaluation, "classes": {"rose": {"f1": 1.0}}})
    assert (first.name, first.interval_after, first.before) == ("accuracy", (0.1, 0.3), None)
    assert second.name == "images"


def test_classes_come_from_the_greatest_loss_to_the_greatest_gain() -> None:
    def side(**f1: float | None) -> dict[str, object]:
        return {"classes": {name: {"f1": value, "support": 3} for name, value in f1.items()}}

    rows = compare_classes(side(a=0.5, b=0.5, c=None, d=0.9), side(a=0.9, b=0.1, c=0.2, d=0.9))
    assert [row.name for row in rows] == ["b", "c", "d", "a"]
    assert rows[1].f1.change is None


# Markdown


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("rose", "`rose`"),
        ("a|b", r"`a\|b`"),
        ("two\nlines", "`two lines`"),
        ("`tick", "`` `tick ``"),
        ("a``b", "```a``b```"),
        ("", ""),
        ("@everyone <b>", "`@everyone <b>`"),
        ("a" * 50 + "z" * 50, f"`{'a' * 39}…{'z' * 40}`"),
    ],
)
def test_a_name_stays_a_name(name: str, span: str) -> None:
    assert code(name) == span


def test_sentences_and_numbers() -> None:
    assert [listed(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert (plural(1, "photo"), plural(2_000, "class")) == ("1 photo", "2,000 classes")
    assert [signed(number) for number in (0.25, -0.00001, -1)] == ["+0.2500", "0", f"{MINUS}1.0000"]
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| :-- | --: |\n| 1 | 2 |"


# what is read


def test_dvcs_own_way_to_write_a_small_number_is_no_change() -> None:
    old = snapshot({"params.yaml": "train:\n  lr: 0.00001\n"})
    new = snapshot({"params.yaml": "train:\n  lr: 1e-05\n"})
    assert comparison(old, new).params == []


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("params.yaml", "a: [", "here:params.yaml: is not valid YAML; mend it first"),
        ("params.yaml", "- 1", "here:params.yaml: must hold names and values, got [1]"),
        ("metrics/evaluation.json", "{", "here:metrics/evaluation.json: is not valid JSON"),
        ("metrics/evaluation.json", "[]", "must hold names and values"),
        ("metrics/loss.csv", "epoch\n1\n", "here:metrics/loss.csv: lacks"),
        ("metrics/loss.csv", "", "here:metrics/loss.csv: lacks"),
        ("metrics/predictions.csv", "path,actual\n", "here:metrics/predictions.csv: lacks"),
        ("metrics/predictions.csv", "path,actual,confidence\n", "predictions.csv: lacks"),
    ],
)
def test_a_broken_file_is_one_clear_line(path: str, content: str, message: str) -> None:
    with pytest.raises(UserError, match=r"write it again|mend it first") as caught:
        snapshot({path: content})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_conflict_in_the_lock_is_no_reason_to_fail() -> None:
    assert snapshot({"dvc.lock": "<<<<<<< HEAD\nstages:\n"}).photos is None


def test_a_class_named_na_stays_a_name() -> None:
    table = snapshot({"metrics/predictions.csv": "path,actual,predicted,confidence\n1,NA,007,1\n"})
    assert table.predictions is not None
    assert table.predictions[["actual", "predicted"]].to_numpy().tolist() == [["NA", "007"]]


# sentences


def evaluation(accuracy: float, **more: object) -> dict[str, object]:
    return {"accuracy": accuracy, "accuracy_low": 0.1, "accuracy_high": 0.9, **more}


def test_the_verdict_says_how_far_accuracy_moved_with_both_intervals() -> None:
    before = snapshot({"metrics/evaluation.json": evaluation(0.5)})
    after = snapshot({"metrics/evaluation.json": evaluation(0.425)})
    assert give_verdict(comparison(before, after)) == (
        "- **dvc.lock is up to date** with the code and the parameters.\n"
        "- **Accuracy worse by 7.5 points**: 42.5% (95 % interval 10.0% to 90.0%), "
        "before 50.0% (95 % interval 10.0% to 90.0%)."
    )


def test_the_verdict_without_results_before_or_after() -> None:
    after = snapshot({"metrics/evaluation.json": evaluation(0.5)})
    assert "`main` has no results yet" in give_verdict(comparison(EMPTY, after))
    assert "No results yet" in give_verdict(comparison(after, EMPTY))


def test_the_verdict_names_what_would_run_what_is_unchecked_and_what_is_missing() -> None:
    stale = (StaleStage("train", ("`stages/train` changed",)), StaleStage("evaluate", ()))
    freshness = Freshness(stale, ("/photos",))
    said = give_verdict(comparison(EMPTY, EMPTY, freshness=freshness, behind=2))
    assert "would run `train` (`stages/train` changed), then `evaluate`." in said
    assert "Not checked, since it is not here: `/photos`." in said
    assert "`main` has 2 commits that this branch lacks" in said
    assert describe_freshness(freshness) in said


def test_chance_is_named_only_where_it_explains_the_change() -> None:
    def said(lost: int, gained: int) -> str:
        rows = [(str(i), "rose", "rose" if i < lost else "tulip") for i in range(lost + gained)]
        turned = [(path, "rose", "tulip" if p == "rose" else "rose") for path, _, p in rows]
        header = "path,actual,predicted,confidence\n"
        before, after = (
            snapshot(
                {"metrics/predictions.csv": header + "".join(f"{','.join(r)},1\n" for r in side)}
            )
            for side in (rows, turned)
        )
        return give_verdict(comparison(before, after)).splitlines()[-1]

    assert said(2, 12) == (
        "- Of 14 test photos, 12 became right and 2 became wrong. That can hardly be chance: "
        "equally good models would part at least so far with probability 0.013 "
        "(McNemar's exact test)."
    )
    assert "That can well be chance" in said(3, 4)
    assert "30 became right and none became wrong" in said(0, 30)
    assert "probability below 0.0001" in said(0, 30)


# sections


def prepared(**classes: int) -> dict[str, object]:
    return {
        "photos": {"train": classes, "validation": classes, "test": classes},
        "rejected_by_reason": {},
    }


def test_data_names_only_the_classes_whose_number_changed() -> None:
    before = snapshot({"metrics/prepare.json": prepared(rose=5, tulip=1000)})
    after = snapshot(
        {
            "metrics/prepare.json": {
                **prepared(rose=6, tulip=1000),
                "rejected_by_reason": {"empty": 1},
            }
        }
    )
    assert describe_data(comparison(before, after)) == (
        "| class | train | validation | test |\n"
        "| :-- | --: | --: | --: |\n"
        "| `rose` | 5 → 6 | 5 → 6 | 5 → 6 |\n"
        "| all 2 classes | 1,005 → 1,006 | 1,005 → 1,006 | 1,005 → 1,006 |\n\n"
        "Left out: `empty` 0 → 1."
    )
    assert describe_data(comparison(before, before)) == "Same photos, same splits."
    assert "| all 2 classes | 1,005 | 1,005 | 1,005 |" in describe_data(comparison(EMPTY, before))
    assert "Not prepared yet" in describe_data(comparison(before, EMPTY))


def test_other_photos_are_told_by_the_lock() -> None:
    def side(md5: str) -> Snapshot:
        dep = f"- {{path: data/demo, md5: {md5}, nfiles: 3, size: 1500000}}"
        lock = f"stages:\n  prepare:\n    deps:\n    {dep}\n"
        return snapshot({"params.yaml": "data: {photos: ./data/demo}", "dvc.lock": lock})

    said = describe_data(comparison(side("aaaaaaaaaa.dir"), side("bbbbbbbbbb.dir")))
    assert said == (
        "Photos: `data/demo` (3 files, 1.5 MB, md5 `bbbbbbb`); "
        "before: `data/demo` (3 files, 1.5 MB, md5 `aaaaaaa`)."
    )


def test_classes_that_are_on_one_side_only_are_named() -> None:
    def side(**f1: float) -> Snapshot:
        classes = {name: {"f1": v, "recall": v, "support": 3} for name, v in f1.items()}
        return snapshot({"metrics/evaluation.json": evaluation(0.5, classes=classes)})

    said = describe_classes(comparison(side(rose=0.5, tulip=0.5), side(rose=0.25, iris=1.0)))
    assert f"| `rose` | 3 | 0.5000 | 0.2500 | {MINUS}0.2500 | ▼ worse | 0.5000 | 0.2500 |" in said
    assert "Only before: `tulip`." in said
    assert "Only after: `iris`." in said


def test_a_page_of_a_thousand_long_names_fits_in_a_comment() -> None:
    names = [f"{'x' * 120} {i}" for i in range(1000)]

    def side(number: int) -> Snapshot:
        rows = [f"{name}/1.jpg,{name},{names[i - number]},1" for i, name in enumerate(names)]
        classes = {
            f"{name} {number if i > 500 else ''}": {"f1": i * number % 7 / 7, "support": 3}
            for i, name in enumerate(names)
        }
        return snapshot(
            {
                "params.yaml": dict.fromkeys(names, f"{'y' * 120} {number}"),
                "metrics/predictions.csv": "\n".join(["path,actual,predicted,confidence", *rows]),
                "metrics/evaluation.json": evaluation(0.5, classes=classes),
                "metrics/prepare.json": prepared(**dict.fromkeys(names, number)),
            }
        )

    page = write_page(comparison(side(3), side(5)), "curves")
    assert page.startswith(MARKER)
    assert len(page) < 60_000
    for rest in ("960 more parameters", "970 more classes changed", "920 more photos", "469 more"):
        assert rest in page


def test_no_change_of_photos_is_one_word() -> None:
    text = "path,actual,predicted,confidence\n1,rose,rose,1\n"
    side = snapshot({"metrics/predictions.csv": text})
    assert describe_photos(comparison(side, side)) == "None."


# curves


def curve(*losses: float) -> pd.DataFrame:
    epochs = range(1, len(losses) + 1)
    return pd.DataFrame({"epoch": epochs, "train_loss": losses, "val_loss": losses})


def test_the_picture_has_the_same_bytes_each_time_whatever_the_users_settings() -> None:
    sides = [Side("before", "_a$b$", curve(2, 1), BEFORE), Side("after", "b", curve(3), AFTER)]
    first = draw_picture(sides)
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30}):
        assert draw_picture(sides) == first
    assert first.startswith(b"\x89PNG")
    assert b"matplotlib" not in first


def test_curves_that_did_not_change_are_drawn_once() -> None:
    one, two = (snapshot({"metrics/loss.csv": curve(*losses).to_csv()}) for losses in ([2], [1]))
    times = [[side.time for side in sides_of(comparison(one, other))] for other in (one, two)]
    assert times == [["before and after"], ["before", "after"]]
    assert [side.time for side in sides_of(comparison(EMPTY, one))] == ["after"]
    assert sides_of(comparison(EMPTY, EMPTY)) == []


def test_mermaid_curves_end_where_the_shorter_one_ends() -> None:
    short, long = curve(4, 2), curve(3, 2, 1)
    text = write_mermaid([Side("before", "a", short, BEFORE), Side("after", "b", long, AFTER)])
    assert text.startswith("Orange `a` and blue `b`, to epoch 2:\n\n```mermaid\n")
    assert "line [4.0000, 2.0000]\n  line [3.0000, 2.0000]\n```" in text
    assert "One epoch" in write_mermaid([Side("after", "b", curve(1), AFTER)])
