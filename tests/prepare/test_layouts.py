"""Photos as people have them: already split, in one folder with labels.csv, or beside masks."""

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from stages.common.errors import UserError
from stages.prepare.layout import find_layout
from stages.prepare.listing import list_photos
from stages.prepare.stage import Outcome, summarize
from tests.hazards import encoded, jpeg, link, plant_clean, write
from tests.prepare.stores import content, pack, prepared

MAX_BYTES = 10**6
SOURCES = ["folder", ".tar", ".tgz", ".zip"]


def packed(root: Path, suffix: str) -> Path:
    """Return a folder as it is, or an archive of it."""
    return root if suffix == "folder" else pack(root, root.with_name(f"{root.name}{suffix}"))


def prepare(source: Path, **changes: Any) -> Outcome:
    store = source.with_name("store")
    shutil.rmtree(store, ignore_errors=True)
    return prepared(source, store, **changes)


def splits_of(outcome: Outcome) -> dict[str, set[str]]:
    """Return the splits that the photos of each top folder are in."""
    top = outcome.accepted["path"].str.split("/").str[0]
    return {str(name): set(splits) for name, splits in outcome.accepted.groupby(top)["split"]}


# given splits


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A data set that is split already, as most public ones are."""
    root = tmp_path / "photos"
    for number, split in enumerate(("train", "val", "test")):
        plant_clean(root / split, ("daisy", "rose"), 8)
        for file in sorted((root / split).rglob("*.jpg")):  # photos that no other split has
            seed = 10_000 * number + int(file.stem) + 100 * len(file.parent.name)
            file.write_bytes(jpeg(seed))
    return root


@pytest.mark.parametrize("suffix", SOURCES)
@pytest.mark.parametrize("wrapper", ["", "flowers/deep"])
def test_given_splits_are_kept(given: Path, tmp_path: Path, suffix: str, wrapper: str) -> None:
    root = given
    if wrapper:
        (tmp_path / "wrapped" / wrapper).parent.mkdir(parents=True)
        given.rename(tmp_path / "wrapped" / wrapper)
        root = tmp_path / "wrapped" / "flowers"
    outcome = prepare(packed(root, suffix))
    assert outcome.classes == ["daisy", "rose"]
    assert splits_of(outcome) == {"train": {"train"}, "val": {"validation"}, "test": {"test"}}
    assert len(outcome.accepted) == 48


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        ("Training, VALIDATION, Test", ["train", "validation", "test"]),
        ("train, dev, eval", ["train", "validation", "test"]),
        ("train, valid, testing", ["train", "validation", "test"]),
        ("train_set, test_set", ["train", "test"]),
        ("train2017, val2017", ["train", "validation"]),
        ("Train Images, test", ["train", "test"]),
    ],
)
def test_splits_are_known_by_their_usual_names(names: str, splits: list[str]) -> None:
    tops = names.split(", ")
    layout = find_layout({f"{top}{end}" for top in tops for end in ("", "/daisy", "/rose")})
    assert [layout.splits[top] for top in tops] == splits


def test_missing_splits_are_taken_from_train_by_content(given: Path) -> None:
    shutil.rmtree(given / "val")
    outcome = prepare(given)
    assert splits_of(outcome) == {"train": {"train", "validation"}, "test": {"test"}}
    pd.testing.assert_series_equal(outcome.accepted["split"], prepare(given).accepted["split"])


def test_ignored_splits_are_merged_and_split_by_content(given: Path) -> None:
    outcome = prepare(given, given_splits="ignore")
    assert outcome.classes == ["daisy", "rose"]
    assert splits_of(outcome)["test"] != {"test"}
    assert set(outcome.accepted["split"]) == {"train", "validation", "test"}


def test_leaks_across_given_borders_are_left_out_of_train(given: Path) -> None:
    same = (given / "test/rose/000.jpg").read_bytes()
    (given / "train/rose/same.jpg").write_bytes(same)
    (given / "train/daisy/other-label.jpg").write_bytes(same)
    (given / "val/rose/same.jpg").write_bytes(same)
    with Image.open(given / "val/daisy/000.jpg") as image:
        brighter = Image.fromarray(
            np.clip(np.asarray(ImageOps.mirror(image)) * 1.05, 0, 255).astype("uint8")
        )
    (given / "train/daisy/mirrored.jpg").write_bytes(encoded(brighter, "JPEG", quality=80))
    outcome = prepare(given)
    leaks = outcome.rejected[outcome.rejected["reason"] == "leak"].set_index("path")["detail"]
    assert leaks.to_dict() == {
        "train/daisy/mirrored.jpg": "looks like val/daisy/000.jpg",
        "train/daisy/other-label.jpg": "same pixels as test/rose/000.jpg",
        "train/rose/same.jpg": "same pixels as test/rose/000.jpg",
        "val/rose/same.jpg": "same pixels as test/rose/000.jpg",
    }
    assert len(outcome.accepted) == 48


@pytest.mark.parametrize("other", ["bus", "test"])
def test_a_class_called_train_stays_a_class(tmp_path: Path, other: str) -> None:
    plant_clean(tmp_path / "photos", ("train", other))
    assert list_photos(tmp_path / "photos", MAX_BYTES).classes == sorted(["train", other])


def test_a_class_that_only_train_has_is_named(given: Path) -> None:
    plant_clean(given / "train", ("tulip",))
    assert prepare(given).notes == [
        "validation has no photos of 'tulip'",
        "test has no photos of 'tulip'",
    ]


def empty_test_split(given: Path) -> None:
    shutil.rmtree(given / "test")
    (given / "test").mkdir()


def photo_in_a_split(given: Path) -> None:
    empty_test_split(given)
    (given / "test/1.jpg").write_bytes(jpeg(1))


def split_of_unknown_name(given: Path) -> None:
    shutil.rmtree(given / "val")
    (given / "test").rename(given / "holdout")


def rejected_split(given: Path) -> None:
    for file in (given / "test").rglob("*.jpg"):
        file.write_text("no photo")


NO_CLASS_FOLDERS = "the split 'test' holds no class folders, so the labels of its photos are"


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (empty_test_split, NO_CLASS_FOLDERS),
        (photo_in_a_split, NO_CLASS_FOLDERS),
        (
            lambda given: plant_clean(given, ("more",)),
            "'more' is beside the splits test, train, val; move it",
        ),
        (
            lambda given: shutil.rmtree(given / "train"),
            "of the given splits test, val, none is called train; rename one",
        ),
        (
            lambda given: plant_clean(given / "test", ("tulip",)),
            "train has no photos of 'tulip', unlike other splits; add some, or set prepare.given_",
        ),
        (
            split_of_unknown_name,
            "'holdout' holds the same folders as 'train', which is named like a split; call it",
        ),
        (
            rejected_split,
            r"every photo of the given split test is rejected \(16 not_an_image\); fix them, or",
        ),
    ],
)
def test_given_splits_that_cannot_be_kept_are_named(
    given: Path, plant: Callable[[Path], None], message: str
) -> None:
    plant(given)
    with pytest.raises(UserError, match=f"^{given}: {message}"):
        prepare(given)


# labels.csv


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    plant_clean(tmp_path / "photos")
    return tmp_path / "photos"


def rows(folders: Path) -> list[str]:
    """Return the lines of a labels.csv that says what the folders say."""
    return [f"{p.relative_to(folders)},{p.parent.name}" for p in sorted(folders.rglob("*.jpg"))]


def write_labels(folder: Path, header: str, lines: list[str]) -> None:
    (folder / "labels.csv").write_text("\n".join([header, *lines]))


@pytest.mark.parametrize("suffix", SOURCES)
def test_labels_give_the_bytes_of_class_folders(folders: Path, tmp_path: Path, suffix: str) -> None:
    prepare(folders)
    expected = content(tmp_path / "store")
    write_labels(folders, "path,label", rows(folders)[::-1])
    prepare(packed(folders, suffix))
    assert content(tmp_path / "store") == expected


def test_photos_in_one_folder_get_their_classes_from_labels(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    (root / "img").mkdir(parents=True)
    lines = ["label , PATH"]
    for number in range(20):
        (root / f"img/{number:02}.jpg").write_bytes(jpeg(number))
        lines.append(f'{("daisy", "rose")[number % 2]},"img/{number:02}.jpg"')
    (root / "labels.csv").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())  # as Excel does
    outcome = prepare(root)
    assert outcome.classes == ["daisy", "rose"]
    assert outcome.accepted["path"].tolist()[:2] == ["daisy/img/00.jpg", "daisy/img/02.jpg"]


def test_a_table_as_spreadsheets_and_other_systems_write_it_is_read(folders: Path) -> None:
    (folders / "daisy/000.jpg").rename(folders / unicodedata.normalize("NFD", "daisy/blüte.jpg"))
    lines = ["path,label", "daisy/bl\u00fcte.jpg,daisy", *rows(folders), ",", ","]
    lines = [line for line in lines if unicodedata.normalize("NFD", "ü") not in line]
    (folders / "labels.csv").write_bytes("\r".join(lines).encode())
    assert len(prepare(folders).accepted) == 20


def test_labels_can_give_the_splits(folders: Path) -> None:
    splits = ("Train", "train", "train", "val", "TEST") * 4
    lines = [f"{row},{split}" for row, split in zip(rows(folders), splits, strict=True)]
    write_labels(folders, "path,label,split", lines)
    assert prepare(folders).accepted["split"].value_counts().to_dict() == {
        "train": 12,
        "validation": 4,
        "test": 4,
    }


def test_photos_of_one_group_stay_in_one_split_and_fold(folders: Path) -> None:
    lines = [f"{row},plant {index // 2}" for index, row in enumerate(rows(folders))]
    write_labels(folders, "path,label,group", lines)
    for fold in range(4):
        store = folders.parent / f"store {fold}"
        photos = prepared(folders, store, fold=fold, test_fraction=0.25).accepted
        assert set(photos.groupby("group").size()) == {2}
        assert (photos.groupby("group")["split"].nunique() == 1).all()
        assert set(photos["split"]) == {"train", "validation", "test"}


def test_photos_of_one_group_do_not_count_as_alike(folders: Path, tmp_path: Path) -> None:
    lines = [f"{row},plant {index // 2}" for index, row in enumerate(rows(folders))]
    write_labels(folders, "path,label,group", lines)
    outcome = prepared(folders, tmp_path / "store")
    assert summarize(outcome)["near_duplicates"]["groups"] == 0
    assert (tmp_path / "store/alike.csv").read_text().count("\n") == 1


def test_labels_that_are_versions_or_lists_of_words_stay(tmp_path: Path) -> None:
    names = {"a": "1.1", "b": "1.10", "c": '"maple, red"', "d": "maple"}
    plant_clean(tmp_path / "four", tuple(names), 4)
    lines = [row.partition(",") for row in rows(tmp_path / "four")]
    write_labels(tmp_path / "four", "path,label", [f"{p},{names[name]}" for p, _, name in lines])
    assert set(prepare(tmp_path / "four").classes) == {"1.1", "1.10", "maple, red", "maple"}


def test_a_class_of_too_few_groups_is_named(folders: Path) -> None:
    lines = [f"{row},{row.count('rose')}" for row in rows(folders)]
    write_labels(folders, "path,label,group", lines)
    with pytest.raises(UserError, match=r"'daisy' has 1: 10 of its 10 photos have one `group`"):
        prepared(folders, folders.parent / "store")


def test_photos_that_no_line_names_are_rejected(folders: Path) -> None:
    write_labels(folders, "path,label", rows(folders)[1:])
    rejected = prepare(folders).rejected
    assert rejected[["path", "reason"]].to_numpy().tolist() == [["daisy/000.jpg", "no_label"]]


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100_000_000)


def without_train(path: Path) -> None:
    write_labels(path.parent, "path,label,split", [f"{row},val" for row in rows(path.parent)])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "line 1: the columns must be path, label and perhaps split and group; found nothing"),
        ("file,label\n", "line 1: the columns must be .*; found file, label"),
        (
            "path,label,sex\n",
            "line 1: the columns must be .*, sex; if it is another table, rename or remove it",
        ),
        ("path,label\ngone.jpg,daisy\n", "line 2: there is no file 'gone.jpg'"),
        ("path,label\n,daisy\n", "line 2: there is no file ''"),
        ("path,label\ndaisy/000.jpg,\n", "line 2: daisy/000.jpg has no label"),
        ("path,label\ndaisy/000.jpg,a/b\n", "line 2: the label 'a/b' can't name a folder"),
        ("path,label\ndaisy/000.jpg,..\n", r"line 2: the label '\.\.' can't name a folder"),
        ("path,label\ndaisy/000.jpg,.\n", r"line 2: the label '\.' can't name a folder"),
        (f"path,label\ndaisy/000.jpg,{'x' * 201}\n", "line 2: the label 'x{80}' is over 200"),
        ("path,label\ndaisy/000.jpg,a,b\n", "line 2: has 3 values for 2 columns"),
        (
            "path,label\n\ndaisy/000.jpg,a\n./daisy/000.jpg,a\n",
            "line 4: daisy/000.jpg is listed twice",
        ),
        ("path,label,split\ndaisy/000.jpg,a,later\n", "line 2: split must be .*, got 'later'"),
        ('path,label\n"daisy/000.jpg,a\n', "line 2: unexpected end of data"),
        ("path,label\ndaisy/.hidden.jpg,daisy\n", r"line 2: daisy/\.hidden\.jpg is hidden, or no"),
        (
            "path,label\nC:\\img\\ONLY.png,daisy\n",
            r"line 2: there is no file 'C:.*ONLY\.png'; did you mean 'rose/only\.jpg'\?",
        ),
        (
            "path,label\ndaisy/000.jpg,dai\u200bsy\n",
            r"line 2: the label .* has an invisible letter",
        ),
        (
            "path,label\ndaisy/000.jpg,daisy\ndaisy/001.jpg,rose\nrose/000.jpg,daisy|rose\n",
            r"'daisy.*rose' is several labels; a photo has one",
        ),
        (
            "path,label\ndaisy/000.jpg,0\nrose/000.jpg,0.0\n",
            r"'0' and '0\.0' are one number; write it alike",
        ),
        ("path,label\n" + "gone.jpg,daisy\n" * 9, r"(line \d: there is no .*\n  ){5}and 4 more"),
    ],
)
def test_lines_of_labels_that_are_wrong_are_named(folders: Path, lines: str, message: str) -> None:
    (folders / "daisy/.hidden.jpg").write_bytes(jpeg(5))
    (folders / "rose/only.jpg").write_bytes(jpeg(6))
    (folders / "labels.csv").write_text(lines)
    with pytest.raises(UserError, match=rf"^{folders}/labels\.csv: fix these lines:\n  {message}"):
        prepare(folders)


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (write(b"path,label\ndaisy/000.jpg,G\xe4nse\n"), "line 2: is not UTF-8; save it as UTF-8"),
        (sparse, "has 100,000,000 bytes, over 64,000,000: no such table"),
        (link("daisy/000.jpg"), "must be a plain file"),
        (
            write(b"path,label\ndaisy/000.jpg,daisy\n"),
            r"names 1 of 20 files, not daisy/001\.jpg, for example; .* remove it if",
        ),
        (without_train, "no line has the split train; name some"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(
    folders: Path, plant: Callable[[Path], None], message: str
) -> None:
    plant(folders / "labels.csv")
    with pytest.raises(UserError, match=rf"^{folders}/labels\.csv: {message}"):
        prepare(folders)


def test_two_photos_of_one_path_are_named(folders: Path) -> None:
    (folders / "000.jpg").write_bytes(jpeg(5))
    write_labels(folders, "path,label", ["000.jpg,daisy", *rows(folders)[1:]])
    message = (
        rf"^{folders}: two photos .* both be called daisy/000\.jpg: 000\.jpg and daisy/000\.jpg;"
    )
    with pytest.raises(UserError, match=message):
        prepare(folders)


def test_classes_that_print_alike_are_an_error(tmp_path: Path) -> None:
    plant_clean(tmp_path / "photos", ("a\nb", "a\\nb", "c"), 4)
    with pytest.raises(UserError, match="differ only in letter case or Unicode form"):
        prepare(tmp_path / "photos")


# parallel trees


def plant_named(root: Path, classes: list[str], names: list[str]) -> None:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for seed, file in enumerate(names):
            (root / name / file).write_bytes(jpeg(100 * number + seed))


def test_images_and_masks_of_the_same_names_get_one_line(tmp_path: Path) -> None:
    names = [f"{word}_{number}.jpg" for word in ("cat", "dog", "owl") for number in range(4)]
    plant_named(tmp_path / "photos", ["images", "masks"], names)
    (note,) = prepare(tmp_path / "photos").notes
    assert note.startswith("the classes 'images', 'masks' hold files of the same names")


def test_classes_that_count_their_photos_alike_get_no_line(tmp_path: Path) -> None:
    plant_named(tmp_path / "photos", ["daisy", "rose"], [f"IMG_{n:04}.jpg" for n in range(12)])
    assert prepare(tmp_path / "photos").notes == []
