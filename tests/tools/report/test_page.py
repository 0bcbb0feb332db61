"""The sections: data, parameters, classes, photos, curves."""

import dataclasses

import pandas as pd
import pytest

from stages.evaluate.markdown import code
from tests.tools.report.sides import (
    EMPTY,
    LOSSES,
    classes,
    comparison,
    evaluation,
    snapshot,
    taken,
    written,
)
from tools.report.comparison import MINUS
from tools.report.page import (
    LONGEST_PAGE,
    MARKER,
    assemble,
    describe_classes,
    describe_confusions,
    describe_data,
    describe_metrics,
    describe_params,
    describe_photos,
    draw_losses,
    give_verdict,
    write_page,
)
from tools.report.snapshot import Snapshot
from tools.report.staleness import Staleness


def prepared(**photos: int) -> dict[str, object]:
    return {"photos": {"train": photos, "test": photos}, "rejected": {}}


def test_data_names_only_the_numbers_that_changed() -> None:
    before = snapshot({"metrics/prepare.json": prepared(rose=5, tulip=1000)})
    after = snapshot(
        {"metrics/prepare.json": {**prepared(rose=6, tulip=1000), "rejected": {"empty": 1}}}
    )
    assert describe_data(comparison(before, after)) == (
        "Photos: unknown.\n\n"
        "| number | before | after | change |  |\n"
        "| :-- | --: | --: | --: | --: |\n"
        "| `photos.train.rose` | 5 | 6 | +1 |  |\n"
        "| `photos.test.rose` | 5 | 6 | +1 |  |\n"
        "| `rejected.empty` |  | 1 |  |  |"
    )
    assert describe_data(comparison(before, before)) == "Same photos, same splits."
    assert "Not prepared yet" in describe_data(comparison(before, EMPTY))


def test_other_photos_are_told_by_the_lock() -> None:
    def side(md5: str) -> Snapshot:
        dep = f"- {{path: data/demo, md5: {md5}, nfiles: 3, size: 1500000}}"
        lock = f"stages:\n  prepare:\n    deps:\n    {dep}\n"
        return snapshot({"params.yaml": "data: {photos: ./data/demo}", "dvc.lock": lock})

    said = describe_data(comparison(side("aaaaaaaaaa.dir"), side("bbbbbbbbbb.dir")))
    assert said == (
        "Photos: `data/demo` (3 files, 1.5 MB, md5 `bbbbbbb`); "
        "before: `data/demo` (3 files, 1.5 MB, md5 `aaaaaaa`).\n\nNo number changed."
    )


def test_another_store_of_the_same_photos_is_told() -> None:
    def side(md5: str) -> Snapshot:
        deps = f"deps: [{{path: data/prepared, md5: {md5}.dir}}]"
        lock = f"stages: {{train: {{{deps}}}}}"
        return snapshot({"metrics/prepare.json": prepared(rose=5), "dvc.lock": lock})

    said = describe_data(comparison(side("aaaa"), side("bbbb")))
    assert said == "Same photos, but another store: other splits, or another image size."


def test_a_linear_probe_has_no_curve_and_nothing_odd() -> None:
    side = snapshot({"metrics/loss.csv": LOSSES + "0,0.3,0.4\n"})
    assert (side.losses, side.problems) == ([], ())


def weights_side(name: str, md5: str = "") -> Snapshot:
    deps = [{"path": f"data/weights/{name}", "md5": md5, "size": 9_100_000}]
    files = {
        "params.yaml": {"model": {"weights": name}},
        "dvc.lock": {"stages": {"train": {"deps": deps}}},
    }
    return snapshot(files)


def test_first_weights_are_told_by_name_and_content() -> None:
    old, new = weights_side("mine.pth", "1234567890"), weights_side("mine.pth", "abcdef7890")
    same = "First weights: `data/weights/mine.pth` (1 file, 9.1 MB, md5 `1234567`)."
    assert describe_params(comparison(old, old)).endswith(f"No parameter changed.\n\n{same}")
    changed = describe_params(comparison(old, new))
    assert "md5 `abcdef7`); before: `data/weights/mine.pth`" in changed


def test_random_first_weights_need_no_word() -> None:
    random, default = weights_side("none", "12"), weights_side("DEFAULT", "34")
    assert "First weights" not in describe_params(comparison(random, random))
    changed = describe_params(comparison(random, default))
    assert changed.endswith("First weights: `DEFAULT`; before: `none`.")


def test_classes_of_one_side_come_first_then_those_that_changed_most() -> None:
    def side(**f1: float | None) -> Snapshot:
        return snapshot({"metrics/classes.csv": classes(**f1)})

    rose, iris = side(rose=0.5, tulip=0.5, lily=0.5, a=1), side(rose=0.25, iris=1.0, lily=1.0, a=1)
    assert describe_classes(comparison(rose, iris)).splitlines()[2:] == [
        "| `iris` |  | 1.0000 |  |  |",
        "| `tulip` | 0.5000 |  |  |  |",
        "| `lily` | 0.5000 | 1.0000 | +0.5000 | ▲ better |",
        f"| `rose` | 0.5000 | 0.2500 | {MINUS}0.2500 | ▼ worse |",
    ]
    assert describe_classes(comparison(rose, rose)) == "No class changed."
    assert describe_classes(comparison(EMPTY, rose)) == "Nothing to compare."


def test_no_change_of_photos_is_one_word() -> None:
    side = snapshot({"metrics/predictions.csv": written(("1", "rose", "rose"))})
    assert describe_photos(comparison(side, side)) == "None."


@pytest.mark.parametrize("letter", ["x", "|", "`", "\u202e", "花"])
def test_a_page_of_a_thousand_long_names_fits_in_a_comment(letter: str) -> None:
    names = [f"{i} {letter * 120} {i}" for i in range(1000)]

    def side(number: int) -> Snapshot:
        rows = [(f"{name}/1.jpg", name, names[i - number]) for i, name in enumerate(names)]
        f1 = pd.Series({name: i * number % 7 / 7 for i, name in enumerate(names)}, name="f1")
        photos = [
            (f"{name}/1.jpg", names[i - number], "test", str(i)) for i, name in enumerate(names)
        ]
        metrics = dict.fromkeys(names, number)
        return snapshot(
            {
                "params.yaml": dict.fromkeys(names[:300], f"{letter * 120} {number}"),
                "metrics/predictions.csv": written(*rows),
                "metrics/evaluation.json": evaluation(0.5, **metrics),
                "metrics/classes.csv": f1.rename_axis("class").to_csv(),
                "metrics/photos.csv": taken(*photos),
                "metrics/prepare.json": {"photos": {"train": dict.fromkeys(names, number)}},
                "metrics/loss.csv": LOSSES + "".join(f"{i},1,1e9\n" for i in range(1, 300)),
            }
        )

    reasons = [f"{code(name)} changed" for name in names]
    staleness = Staleness({name: reasons for name in names}, names)  # noqa: C420
    both = comparison(side(3), side(5), staleness=staleness, base=names[0])
    page = write_page(both)
    assert page.startswith(MARKER)
    assert len(page.encode()) <= LONGEST_PAGE
    assert "### Loss\n\nCurves:" in page
    assert len(give_verdict(both)) < 15_000


def test_a_table_says_how_many_rows_it_leaves_out() -> None:
    def side(number: int) -> Snapshot:
        names = [f"name{i}" for i in range(1000)]
        rows = [(name, name, names[i - number]) for i, name in enumerate(names)]
        return snapshot(
            {
                "params.yaml": dict.fromkeys(names, number),
                "metrics/predictions.csv": written(*rows),
                "metrics/evaluation.json": dict.fromkeys(names, number),
                "metrics/classes.csv": classes(**dict.fromkeys(names, number / 9)),
            }
        )

    page = write_page(comparison(side(3), side(5)))
    for rest in ("parameters", "classes", "photos", "metrics"):
        assert f"and 950 more {rest}." in page


def curve(*losses: float) -> Snapshot:
    rows = "".join(f"{epoch},9,{loss}\n" for epoch, loss in enumerate(losses, 1))
    return snapshot({"metrics/loss.csv": LOSSES + rows})


def test_curves_that_did_not_change_are_drawn_once() -> None:
    assert draw_losses(comparison(curve(2, 1), curve(2, 1))).count("line [") == 1
    assert draw_losses(comparison(curve(2, 1), curve(2, 0))).count("line [") == 2
    assert "Curves: blue `wide`, to epoch 2:" in draw_losses(comparison(EMPTY, curve(2, 1)))
    assert "Curves: orange `main`, to epoch 2:" in draw_losses(comparison(curve(2, 1), EMPTY))
    assert draw_losses(comparison(EMPTY, EMPTY)) == "No curves on either side."
    assert "One epoch" in draw_losses(comparison(EMPTY, curve(1)))


def test_curves_end_where_the_shorter_one_ends() -> None:
    text = draw_losses(comparison(curve(4, 2), curve(3, 2, 1)))
    assert text.startswith("Curves: orange `main` and blue `wide`, to epoch 2:\n\n```mermaid\n")
    assert '"plotColorPalette": "#d55e00, #0072b2"' in text
    assert "line [4.0000, 2.0000]\n  line [3.0000, 2.0000]\n```" in text


def test_the_longest_sections_give_way_until_the_page_fits() -> None:
    page = assemble("mark", {"# a": "é" * 40_000, "# b": "b" * 30_000, "# c": "c"})
    first, last = page.split("b" * 30_000)
    assert first == "mark\n\n# a\n\nToo long to show here: 40,000 characters.\n\n# b\n\n"
    assert last == "\n\n# c\n\nc\n"
    assert len(assemble("mark", {str(i): "x" * 70_000 for i in range(9)})) < 1000


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
    return snapshot(
        {
            "metrics/evaluation.json": {"accuracy": accuracy},
            "metrics/classes.csv": classes(rose=accuracy),
            "metrics/predictions.csv": written(*rows),
        }
    )


def test_other_test_photos_are_not_comparable() -> None:
    before = side_with(0.5, ("1", "rose", "rose"), ("2", "rose", "rose"))
    after = side_with(0.75, ("1", "tulip", "tulip"), ("3", "rose", "rose"))
    both = comparison(before, after)
    said = give_verdict(both).splitlines()
    assert said[1:] == [
        "- **Not comparable: other test photos or labels.** Accuracy 75.0%, before 50.0%."
    ]
    assert "| `accuracy` | 0.5000 | 0.7500 | +0.2500 |  |" in describe_metrics(both)
    assert "| `rose` | 0.5000 | 0.7500 | +0.2500 |  |" in describe_classes(both)
    assert "better" not in write_page(both)


def test_over_other_test_photos_the_shared_ones_come_first_and_nothing_else_is_judged() -> None:
    before = side_with(0.5, ("1", "rose", "tulip"), ("2", "rose", "rose"))
    after = side_with(0.25, ("1", "rose", "rose"), ("3", "rose", "rose"))
    both = comparison(before, after)
    assert give_verdict(both).splitlines()[1:] == [
        "- **On the 1 test photo that both have under the same label, accuracy better by 100.0 "
        "points**: 100.0%, before 0.0%.",
        "- Of these, 1 became right and none became wrong. That could well be chance: two equally "
        "good models would differ by at least this much with probability 1 (McNemar's exact test).",
        "- On all test photos (2 in one test only) accuracy is 25.0%, before 50.0%.",
    ]
    assert "| `accuracy` | 0.5000 | 0.2500 | \N{MINUS SIGN}0.2500 |  |" in describe_metrics(both)
    assert "worse" not in write_page(both)


def with_photos(side: Snapshot, *rows: tuple[str, str, str, str]) -> Snapshot:
    table = snapshot({"metrics/photos.csv": taken(*rows)}).taken
    return dataclasses.replace(side, taken=table)


def test_a_photo_is_known_by_its_content_whatever_its_folder() -> None:
    before = with_photos(
        side_with(0.5, ("rose/1", "rose", "rose"), ("rose/2", "rose", "tulip")),
        ("rose/1", "rose", "test", "aa"),
        ("rose/2", "rose", "test", "bb"),
        ("rose/3", "rose", "train", "cc"),
        ("rose/4", "rose", "train", "dd"),
    )
    after = with_photos(
        side_with(1, ("rose/one", "rose", "rose"), ("tulip/2", "tulip", "tulip")),
        ("rose/one", "rose", "test", "aa"),
        ("tulip/2", "tulip", "test", "bb"),
        ("rose/3", "rose", "validation", "cc"),
        ("rose/5", "rose", "train", "ee"),
    )
    both = comparison(before, after)
    said = give_verdict(both)
    assert "On the 1 test photo that both have under the same label, accuracy unchanged" in said
    assert (
        "Of 1 test photo with another label now, the prediction is the new label of 1, before of 1."
        in said
    )
    assert describe_data(both) == (
        "Photos: unknown.\n\n"
        "- **1 photo relabeled**: 1 from `rose` to `tulip`.\n"
        "- **1 photo added**: 1 `rose`.\n"
        "- **1 photo removed**: 1 `rose`.\n"
        "- **1 photo moved to another split**: 1 from `train` to `validation`.\n"
        "\n<details><summary>4 photos</summary>\n\n"
        "| photo |  | before | after |\n"
        "| :-- | :-- | :-- | :-- |\n"
        "| `tulip/2` | relabeled | `rose`, `test` | `tulip`, `test` |\n"
        "| `rose/5` | added |  | `rose`, `train` |\n"
        "| `rose/4` | removed | `rose`, `train` |  |\n"
        "| `rose/3` | moved to another split | `rose`, `train` | `rose`, `validation` |\n\n"
        "</details>"
    )
    assert describe_data(comparison(after, after)) == "Same photos, same splits."


def test_the_pairs_that_are_confused_most_are_counted() -> None:
    before = side_with(0, ("1", "rose", "tulip"), ("2", "rose", "rose"))
    after = side_with(0, ("1", "rose", "tulip"), ("2", "rose", "tulip"), ("3", "tulip", "rose"))
    assert describe_confusions(comparison(before, after)) == (
        "| class | taken for | before | after |\n"
        "| :-- | :-- | --: | --: |\n"
        "| `rose` | `tulip` | 1 | 2 |\n"
        "| `tulip` | `rose` | 0 | 1 |"
    )
    assert describe_confusions(comparison(after, EMPTY)) == "Nothing to compare."
