"""Photos as people have them: already split, in a table, with a folder beside the classes."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from stages.common.errors import UserError
from stages.prepare.layout import find_layout
from stages.prepare.listing import list_photos
from stages.prepare.stage import Outcome, prepare_store
from tests.hazards import encoded, jpeg, plant_clean, settings

MAX_BYTES = 10**6


def pack(folder: Path, suffix: str) -> Path:
    """Return the folder itself, or an archive of it."""
    if not suffix:
        return folder
    path = folder.with_name(f"{folder.name}{suffix}")
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz" if suffix == ".tgz" else "w") as archive:
            archive.add(folder, ".")
    return path


def prepare(source: Path, tmp_path: Path, **changes: object) -> Outcome:
    store = tmp_path / "store"
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    return prepare_store(source, settings(**changes), store, workers=1)


def splits_of(outcome: Outcome) -> dict[str, set[str]]:
    """Return the splits that the photos of each top folder are in."""
    top = outcome.accepted["path"].str.split("/").str[0]
    return {str(name): set(splits) for name, splits in outcome.accepted.groupby(top)["split"]}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A data set that is split already, as most public ones are."""
    root = tmp_path / "photos"
    for number, split in enumerate(("train", "val", "test")):
        plant_clean(root / split, ("daisy", "rose", "tulip")[: 2 + (number == 0)], 8)
        for file in sorted((root / split).rglob("*.jpg")):  # photos that no other split has
            seed = 10_000 * number + int(file.stem) + 100 * len(file.parent.name)
            file.write_bytes(jpeg(seed))
    shutil.rmtree(root / "train/tulip")
    return root


# given splits


@pytest.mark.parametrize("suffix", ["", ".tar", ".tgz", ".zip"])
@pytest.mark.parametrize("wrapper", ["", "flowers/deep"])
def test_given_splits_are_kept(given: Path, tmp_path: Path, suffix: str, wrapper: str) -> None:
    root = given
    if wrapper:
        root = tmp_path / "wrapped"
        (root / wrapper).parent.mkdir(parents=True)
        given.rename(root / wrapper)
        root = root / "flowers"
    outcome = prepare(pack(root, suffix), tmp_path)
    assert outcome.classes == ["daisy", "rose"]
    assert splits_of(outcome) == {"train": {"train"}, "val": {"validation"}, "test": {"test"}}
    assert len(outcome.accepted) == 48


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        ("Training VALIDATION Test", ["train", "validation", "test"]),
        ("train dev eval", ["train", "validation", "test"]),
        ("train valid testing", ["train", "validation", "test"]),
    ],
)
def test_splits_are_known_by_their_usual_names(names: str, splits: list[str]) -> None:
    folders = {f"{top}{end}" for top in names.split() for end in ("", "/daisy", "/rose")}
    layout = find_layout(Path("photos"), folders)
    assert [layout.splits[name] for name in names.split()] == splits


def test_missing_splits_are_taken_from_train_by_content(given: Path, tmp_path: Path) -> None:
    shutil.rmtree(given / "val")
    found = splits_of(prepare(given, tmp_path))
    assert found == {"train": {"train", "validation"}, "test": {"test"}}
    again = prepare(given, tmp_path).accepted["split"]
    pd.testing.assert_series_equal(again, prepare(given, tmp_path).accepted["split"])


def test_ignored_splits_are_merged_and_split_by_content(given: Path, tmp_path: Path) -> None:
    outcome = prepare(given, tmp_path, given_splits="ignore")
    assert outcome.classes == ["daisy", "rose"]
    assert splits_of(outcome)["test"] != {"test"}
    assert set(outcome.accepted["split"]) == {"train", "validation", "test"}


def test_leaks_across_given_borders_are_left_out_of_train(given: Path, tmp_path: Path) -> None:
    same = (given / "test/rose/000.jpg").read_bytes()
    (given / "train/rose/same.jpg").write_bytes(same)
    (given / "train/daisy/other-label.jpg").write_bytes(same)
    (given / "val/rose/same.jpg").write_bytes(same)
    with Image.open(given / "val/daisy/000.jpg") as image:
        brighter = Image.fromarray(
            np.clip(np.asarray(ImageOps.mirror(image)) * 1.05, 0, 255).astype("uint8")
        )
    (given / "train/daisy/mirrored.jpg").write_bytes(encoded(brighter, "JPEG", quality=80))
    outcome = prepare(given, tmp_path)
    leaks = outcome.rejected[outcome.rejected["reason"] == "leak"].set_index("path")["detail"]
    assert leaks.to_dict() == {
        "train/daisy/mirrored.jpg": "looks like val/daisy/000.jpg",
        "train/daisy/other-label.jpg": "same pixels as test/rose/000.jpg",
        "train/rose/same.jpg": "same pixels as test/rose/000.jpg",
        "val/rose/same.jpg": "same pixels as test/rose/000.jpg",
    }
    assert len(outcome.accepted) == 48


def test_a_class_called_train_beside_bus_stays_a_class(tmp_path: Path) -> None:
    plant_clean(tmp_path / "photos", ("train", "bus"))
    assert list_photos(tmp_path / "photos", MAX_BYTES).classes == ["bus", "train"]


def test_classes_called_train_and_test_stay_classes(tmp_path: Path) -> None:
    plant_clean(tmp_path / "photos", ("train", "test"))
    assert list_photos(tmp_path / "photos", MAX_BYTES).classes == ["test", "train"]


def test_a_split_without_class_folders_is_named(given: Path, tmp_path: Path) -> None:
    shutil.rmtree(given / "test")
    (given / "test").mkdir()
    with pytest.raises(UserError, match="the split 'test' holds no class folders"):
        prepare(given, tmp_path)
    (given / "test/1.jpg").write_bytes(jpeg(1))
    with pytest.raises(UserError, match="the split 'test' holds no class folders, so the labels"):
        prepare(given, tmp_path)


def test_a_folder_beside_the_splits_is_named(given: Path, tmp_path: Path) -> None:
    plant_clean(given, ("more",))
    with pytest.raises(UserError, match="'more' is beside the splits test, train, val; move it"):
        prepare(given, tmp_path)


def test_splits_without_train_are_named(given: Path, tmp_path: Path) -> None:
    shutil.rmtree(given / "train")
    with pytest.raises(UserError, match="of the given splits test, val, none is called train"):
        prepare(given, tmp_path)


def test_a_class_that_train_lacks_is_named(given: Path, tmp_path: Path) -> None:
    plant_clean(given / "test", ("tulip",))
    with pytest.raises(UserError, match="train has no photos of 'tulip'"):
        prepare(given, tmp_path)


def test_a_class_that_only_train_has_is_named(given: Path, tmp_path: Path) -> None:
    plant_clean(given / "train", ("tulip",))
    outcome = prepare(given, tmp_path)
    assert outcome.notes == [
        "validation has no photos of 'tulip'",
        "test has no photos of 'tulip'",
    ]


# a table of labels


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    plant_clean(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.mark.parametrize("suffix", ["", ".tar", ".tgz", ".zip"])
def test_a_table_gives_the_bytes_of_class_folders(
    folders: Path, tmp_path: Path, suffix: str
) -> None:
    prepare(folders, tmp_path)
    expected = {p.name: p.read_bytes() for p in (tmp_path / "store").iterdir()}
    lines = [f"{p.relative_to(folders)},{p.parent.name}" for p in sorted(folders.rglob("*.jpg"))]
    (folders / "labels.csv").write_text("path,label\n" + "\n".join(reversed(lines)))
    prepare(pack(folders, suffix), tmp_path)
    assert {p.name: p.read_bytes() for p in (tmp_path / "store").iterdir()} == expected


def test_photos_in_one_folder_get_their_classes_from_the_table(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    (root / "img").mkdir(parents=True)
    rows = ["label , PATH"]
    for number in range(20):
        (root / f"img/{number:02}.jpg").write_bytes(jpeg(number))
        rows.append(f'{("daisy", "rose")[number % 2]},"img/{number:02}.jpg"')
    (root / "labels.csv").write_bytes(("\ufeff" + "\r\n".join(rows)).encode())  # as Excel saves it
    outcome = prepare(root, tmp_path)
    assert outcome.classes == ["daisy", "rose"]
    assert outcome.accepted["path"].tolist()[:2] == ["daisy/img/00.jpg", "daisy/img/02.jpg"]


def test_a_table_can_give_the_splits(folders: Path, tmp_path: Path) -> None:
    rows = ["path,label,split"]
    for number, file in enumerate(sorted(folders.rglob("*.jpg"))):
        split = ("Train", "train", "train", "val", "TEST")[number % 5]
        rows.append(f"{file.relative_to(folders)},{file.parent.name},{split}")
    (folders / "labels.csv").write_text("\n".join(rows))
    outcome = prepare(folders, tmp_path)
    assert outcome.accepted["split"].value_counts().to_dict() == {
        "train": 12,
        "validation": 4,
        "test": 4,
    }


def test_photos_that_no_line_names_are_rejected(folders: Path, tmp_path: Path) -> None:
    lines = [f"{p.relative_to(folders)},{p.parent.name}" for p in sorted(folders.rglob("*.jpg"))]
    (folders / "labels.csv").write_text("path,label\n" + "\n".join(lines[1:]))
    rejected = prepare(folders, tmp_path).rejected
    assert rejected[["path", "reason"]].to_numpy().tolist() == [["daisy/000.jpg", "no_label"]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "line 1: the columns must be path,label or path,label,split; found nothing"),
        ("file,label\n", "line 1: the columns must be .*; found file, label"),
        ("path,label,sex\n", "line 1: the columns must be .*; found path, label, sex"),
        ("path,label\ngone.jpg,daisy\n", "line 2: there is no file 'gone.jpg'"),
        ("path,label\n,daisy\n", "line 2: there is no file ''"),
        ("path,label\ndaisy/000.jpg,\n", "line 2: daisy/000.jpg has no label"),
        ("path,label\ndaisy/000.jpg,a/b\n", "line 2: the label 'a/b' can't name a folder"),
        ("path,label\ndaisy/000.jpg,a,b\n", "line 2: has 3 values for 2 columns"),
        (
            "path,label\n\ndaisy/000.jpg,a\n./daisy/000.jpg,a\n",
            "line 4: daisy/000.jpg is listed twice",
        ),
        ("path,label,split\ndaisy/000.jpg,a,later\n", "line 2: split must be .*, got 'later'"),
        ('path,label\n"daisy/000.jpg,a\n', "unexpected end of data"),
    ],
)
def test_problems_of_a_table_name_their_line(
    folders: Path, tmp_path: Path, rows: str, message: str
) -> None:
    (folders / "daisy/0.jpg").write_bytes(jpeg(99))
    (folders / "labels.csv").write_text(rows)
    with pytest.raises(UserError, match=message) as refused:
        prepare(folders, tmp_path)
    assert str(refused.value).startswith(f"{folders}/labels.csv: ")


def test_a_table_that_is_not_utf_8_names_the_line(folders: Path, tmp_path: Path) -> None:
    (folders / "labels.csv").write_bytes(b"path,label\ndaisy/000.jpg,G\xe4nse\n")
    with pytest.raises(UserError, match=r"labels\.csv: line 2: is not UTF-8; save it as UTF-8"):
        prepare(folders, tmp_path)


def test_a_table_of_100_mb_is_refused(folders: Path, tmp_path: Path) -> None:
    with (folders / "labels.csv").open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(UserError, match=r"labels\.csv: has 100,000,000 bytes, over 64,000,000"):
        prepare(folders, tmp_path)


def test_many_problems_are_counted(folders: Path, tmp_path: Path) -> None:
    (folders / "labels.csv").write_text("path,label\n" + "gone.jpg,daisy\n" * 9)
    with pytest.raises(UserError, match="and 4 more"):
        prepare(folders, tmp_path)


def test_a_table_beside_class_folders_is_an_error(folders: Path, tmp_path: Path) -> None:
    (folders / "labels.csv").write_text("path,label\ndaisy/000.jpg,daisy\n")
    message = r"labels\.csv: names 1 of 20 files, not daisy/001\.jpg, for example; .* remove it if"
    with pytest.raises(UserError, match=message):
        prepare(folders, tmp_path)


def test_a_table_that_is_a_link_is_refused(folders: Path, tmp_path: Path) -> None:
    (folders / "labels.csv").symlink_to("daisy/000.jpg")
    with pytest.raises(UserError, match=r"labels\.csv: must be a plain file"):
        prepare(folders, tmp_path)


@pytest.mark.parametrize("label", ["..", ".", "x" * 201])
def test_a_label_that_names_no_folder_is_refused(folders: Path, tmp_path: Path, label: str) -> None:
    (folders / "labels.csv").write_text(f"path,label\ndaisy/000.jpg,{label}\n")
    with pytest.raises(UserError, match="line 2: the label") as refused:
        prepare(folders, tmp_path)
    assert len(str(refused.value)) < 400


def test_a_line_of_a_skipped_file_says_so(folders: Path, tmp_path: Path) -> None:
    (folders / "daisy/.hidden.jpg").write_bytes(jpeg(5))
    (folders / "labels.csv").write_text("path,label\ndaisy/.hidden.jpg,daisy\n")
    with pytest.raises(UserError, match=r"line 2: daisy/\.hidden\.jpg is hidden, or no photo by"):
        prepare(folders, tmp_path)


def test_two_photos_of_one_path_are_named(folders: Path, tmp_path: Path) -> None:
    (folders / "000.jpg").write_bytes(jpeg(5))
    lines = [f"{p.relative_to(folders)},{p.parent.name}" for p in sorted(folders.rglob("0*.jpg"))]
    lines[0] = "000.jpg,daisy"
    (folders / "labels.csv").write_text("path,label\n" + "\n".join(lines))
    with pytest.raises(UserError, match=r"both be called daisy/000\.jpg: 000\.jpg and daisy/000"):
        prepare(folders, tmp_path)


def test_classes_that_print_alike_are_an_error(tmp_path: Path) -> None:
    plant_clean(tmp_path / "photos", ("a\nb", "a\\nb", "c"), 4)
    with pytest.raises(UserError, match="differ only in letter case or Unicode form"):
        prepare(tmp_path / "photos", tmp_path)


def test_a_given_split_of_rejected_photos_is_never_replaced(given: Path, tmp_path: Path) -> None:
    for file in (given / "test").rglob("*.jpg"):
        file.write_text("no photo")
    message = r"every photo of the given split test is rejected \(16 not_an_image\)"
    with pytest.raises(UserError, match=message):
        prepare(given, tmp_path, max_rejected_fraction=1)


@pytest.mark.parametrize("names", ["train_set test_set", "train2017 val2017", "Train Images test"])
def test_splits_are_known_by_longer_names_too(given: Path, tmp_path: Path, names: str) -> None:
    first, second = names.rsplit(" ", 1)
    shutil.rmtree(given / "val")
    (given / "train").rename(given / first)
    (given / "test").rename(given / second)
    assert prepare(given, tmp_path).classes == ["daisy", "rose"]


def test_a_split_of_an_unknown_name_is_an_error(given: Path, tmp_path: Path) -> None:
    shutil.rmtree(given / "val")
    (given / "test").rename(given / "holdout")
    with pytest.raises(UserError, match="'holdout' holds the same folders as 'train', which is"):
        prepare(given, tmp_path)


# parallel trees


def plant_named(root: Path, classes: list[str], names: list[str]) -> None:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for place, file in enumerate(names):
            (root / name / file).write_bytes(jpeg(100 * number + place))


def test_images_and_masks_of_the_same_names_get_one_line(tmp_path: Path) -> None:
    names = [f"{word}_{number}.jpg" for word in ("cat", "dog", "owl") for number in range(4)]
    plant_named(tmp_path / "photos", ["images", "masks"], names)
    (note,) = prepare(tmp_path / "photos", tmp_path).notes
    assert note.startswith("the classes 'images', 'masks' hold files of the same names")


def test_classes_that_count_their_photos_alike_get_no_line(tmp_path: Path) -> None:
    plant_named(tmp_path / "photos", ["daisy", "rose"], [f"IMG_{n:04}.jpg" for n in range(12)])
    assert prepare(tmp_path / "photos", tmp_path).notes == []
