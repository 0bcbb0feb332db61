"""Decisions of a review change labels.csv in their rows, or nothing changes."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.common.errors import UserError
from stages.prepare.listing import list_photos
from stages.prepare.stage import prepare_store
from tests.conftest import change_params
from tests.hazards import plant_clean, settings
from tools.relabel import main

HEADER = "path,sha256,label,decision,class\n"
Apply = Callable[..., str]


@pytest.fixture
def photos(own_photos: Path) -> Path:
    """Class folders of a project that is the current folder."""
    plant_clean(own_photos)
    return own_photos


@pytest.fixture
def relabel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Apply:
    """Apply rows of decisions.csv; return what is printed."""

    def apply(*rows: str, header: str = HEADER) -> str:
        Path("decisions.csv").write_text(header + "".join(f"{row}\n" for row in rows))
        monkeypatch.setattr(sys, "argv", ["relabel", "decisions.csv"])
        main()
        return capsys.readouterr().out

    return apply


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def row(photos: Path, path: str, decision: str, new: str = "", file: str = "") -> str:
    return f"{path},{sha(photos / (file or path))},{path.split('/')[0]},{decision},{new}"


def make_store(photos: Path) -> dict[str, str]:
    """Prepare the photos; return their classes by sha256."""
    shutil.rmtree("data/prepared", ignore_errors=True)
    Path("data/prepared").mkdir(parents=True)
    accepted = prepare_store(photos, settings(), Path("data/prepared"), workers=1).accepted
    return dict(zip(accepted["sha256"].str[:12], accepted["class"], strict=True))


def everything() -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in Path("data").rglob("*") if p.is_file()}


def names(photos: Path) -> list[str]:
    return sorted(p.name for p in (photos / "daisy").iterdir())


def test_class_folders_become_a_table_that_prepare_reads(photos: Path, relabel: Apply) -> None:
    before = make_store(photos)
    one, two, three, *_ = (f"daisy/{name}" for name in names(photos))
    digest, gone = sha(photos / one), sha(photos / two)
    printed = relabel(
        row(photos, one, "relabel", "rose"), row(photos, two, "remove"), row(photos, three, "keep")
    )
    assert "2 changed, 1 kept" in printed
    assert f"daisy -> rose: 1 ({one})" in printed
    assert make_store(photos) == {k: v for k, v in before.items() if k != gone} | {digest: "rose"}
    assert (photos / ".removed" / two).is_file()
    assert list_photos(photos, 10**9).rejected == []


def test_given_splits_stay(photos: Path, relabel: Apply) -> None:
    train = Path("data/photos2/train")
    train.parent.mkdir()
    photos.rename(train)
    plant_clean(train.parent / "val", count=3)
    train.parent.rename(photos)
    for path in (photos / "val").rglob("*.jpg"):
        path.write_bytes(path.read_bytes() + b"\0")
    make_store(photos)
    first = f"train/daisy/{sorted((photos / 'train/daisy').iterdir())[0].name}"
    relabel(f"{first},{sha(photos / first)},daisy,relabel,rose")
    found = {
        one.entry.name: (one.class_name, one.split) for one in list_photos(photos, 10**9).candidates
    }
    assert found.pop(first) == ("rose", "train")
    assert {split for name, (_, split) in found.items() if "val/" in name} == {"validation"}
    assert all(name.split("/")[1] == label for name, (label, _) in found.items())


TABLE = '\ufeffLabel, path \r\n\r\ndaisy,"a, b.jpg"\r\n daisy ,b.jpg\r\nrose,c.jpg\r\nrose,d.jpg'


@pytest.fixture
def table(photos: Path) -> Path:
    """Photos in one folder, with a labels.csv that no program would write so."""
    files = sorted(photos.rglob("*.jpg"))
    for name, file in zip(("a, b.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"), files, strict=False):
        file.rename(photos / name)
    for folder in ("daisy", "rose"):
        shutil.rmtree(photos / folder)
    (photos / "labels.csv").write_bytes(TABLE.encode())
    return photos


def test_only_the_decided_rows_change(table: Path, relabel: Apply) -> None:
    relabel(
        row(table, "daisy/b.jpg", "relabel", "rose", "b.jpg"),
        f'"daisy/a, b.jpg",{sha(table / "a, b.jpg")},daisy,keep,',
        row(table, "rose/c.jpg", "remove", file="c.jpg"),
        f"data/photos/e.jpg,{sha(table / 'e.jpg')},,relabel,daisy",
    )
    expected = (
        TABLE.replace(" daisy ,", "rose,").replace("rose,c.jpg\r\n", "") + "\r\ndaisy,e.jpg\r\n"
    )
    assert (table / "labels.csv").read_bytes() == expected.encode()
    assert not (table / "c.jpg").exists()


def test_other_columns_and_systems_line_ends_stay(table: Path, relabel: Apply) -> None:
    lines = ["path,label,group", "b.jpg,daisy,plant 1", "c.jpg,rose,", "d.jpg,rose,", ",,", ",,"]
    (table / "labels.csv").write_bytes("\r".join([*lines, ""]).encode())
    new = table / "e.jpg"
    relabel(
        row(table, "daisy/b.jpg", "relabel", "rose", "b.jpg"), f"{new},{sha(new)},,relabel,daisy"
    )
    lines[1] = "b.jpg,rose,plant 1"
    changed = (table / "labels.csv").read_bytes().decode().split("\r")
    assert changed[:4] == lines[:4]
    assert "e.jpg,daisy," in changed


def test_a_quoted_header_after_a_byte_order_mark_is_read(table: Path, relabel: Apply) -> None:
    text = '\ufeff"label","path"\n"daisy","b.jpg"\n"rose","c.jpg"\n'
    (table / "labels.csv").write_text(text)
    relabel(row(table, "daisy/b.jpg", "relabel", "rose", "b.jpg"))
    changed = text.replace('"daisy","b.jpg"', "rose,b.jpg")
    assert (table / "labels.csv").read_text() == changed


def test_rows_in_order_of_path_stay_so(table: Path, relabel: Apply) -> None:
    (table / "labels.csv").write_text("path,label\nb.jpg,daisy\nd.jpg,rose\n")
    relabel(f"data/photos/c.jpg,{sha(table / 'c.jpg')},,relabel,rose")
    assert (table / "labels.csv").read_text() == "path,label\nb.jpg,daisy\nc.jpg,rose\nd.jpg,rose\n"


def test_keeping_all_writes_nothing(table: Path, relabel: Apply) -> None:
    before = everything()
    printed = relabel(row(table, "rose/d.jpg", "keep", file="d.jpg"))
    assert everything() == before
    assert "next:" not in printed


def test_the_next_command_names_what_dvc_tracks(table: Path, relabel: Apply) -> None:
    Path("data/photos.dvc").write_text("outs: []\n")
    printed = relabel(row(table, "rose/d.jpg", "relabel", "daisy", "d.jpg"))
    assert "next: dvc add data/photos && dvc repro" in printed


BAD = {
    "an unknown photo": ("daisy/x.jpg,0,daisy,keep,", "daisy/x.jpg is not in data/photos"),
    "another label": ("rose/b.jpg,SHA,rose,keep,", "is not in data/photos with the label 'rose'"),
    "other bytes": ("daisy/b.jpg,012345678901,daisy,keep,", "not 012345678901: it is another"),
    "few digits": ("daisy/b.jpg,,daisy,keep,", "it is another photo"),
    "a new class": ("daisy/b.jpg,SHA,daisy,relabel,lily", "'lily': the classes are daisy, rose"),
    "no class": ("daisy/b.jpg,SHA,daisy,relabel,", "relabel needs a class"),
    "a class to keep": ("daisy/b.jpg,SHA,daisy,keep,rose", "keep and remove none"),
    "an unknown action": ("daisy/b.jpg,SHA,daisy,eat,", "keep, relabel or remove, got 'eat'"),
    "a photo with a label": ("data/photos/b.jpg,SHA,,relabel,rose", "has the label 'daisy' by now"),
    "nothing to keep": ("data/photos/e.jpg,SHA,,keep,", "there is no label to keep"),
    "a photo outside": ("params.yaml,SHA,,relabel,rose", "params.yaml is not in data/photos"),
    "the table": ("data/photos/labels.csv/../.x,SHA,,remove,", "is not in data/photos"),
    "a NUL": ("a\0b.jpg,SHA,,relabel,rose", "is not in data/photos"),
    "few values": ("daisy/b.jpg,SHA", "has 2 values, not 5"),
    "an open quote": ('"daisy/b.jpg', "is no CSV in UTF-8"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_one_bad_decision_and_none_is_applied(
    table: Path, relabel: Apply, text: str, message: str
) -> None:
    before = everything()
    good = row(table, "rose/d.jpg", "remove", file="d.jpg")
    with pytest.raises(UserError) as error:
        relabel(good, text.replace("SHA", sha(table / "b.jpg")))
    assert message in str(error.value)
    assert "decisions.csv" in str(error.value)
    assert everything() == before


def test_a_photo_is_decided_once(table: Path, relabel: Apply) -> None:
    good = row(table, "rose/d.jpg", "remove", file="d.jpg")
    with pytest.raises(UserError, match=r"line 3: rose/d\.jpg is decided twice"):
        relabel(good, good)


def test_decisions_are_applied_once(table: Path, relabel: Apply) -> None:
    good = row(table, "rose/d.jpg", "relabel", "daisy", "d.jpg")
    relabel(good)
    with pytest.raises(UserError, match="with the label 'rose': it is another store's, or decided"):
        relabel(good)


def test_a_removed_photo_is_not_overwritten(table: Path, relabel: Apply) -> None:
    (table / ".removed").mkdir()
    (table / ".removed/d.jpg").write_text("an earlier one")
    before = everything()
    with pytest.raises(UserError, match=r"there is a data/photos/\.removed/d\.jpg"):
        relabel(row(table, "rose/d.jpg", "remove", file="d.jpg"))
    assert everything() == before


def test_a_photo_that_cannot_move_leaves_all_as_it_was(table: Path, relabel: Apply) -> None:
    rows = [row(table, f"rose/{name}", "remove", file=name) for name in ("c.jpg", "d.jpg")]
    (table / "sub").mkdir()
    (table / "d.jpg").rename(table / "sub/d.jpg")
    text = TABLE.replace("d.jpg", "sub/d.jpg")
    (table / "labels.csv").write_bytes(text.encode())
    (table / ".removed").mkdir()
    (table / ".removed/sub").write_text("no folder")
    before = everything()
    with pytest.raises(UserError, match="cannot be moved"):
        relabel(rows[0], rows[1].replace("d.jpg", "sub/d.jpg"))
    assert everything() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\n<<<<<<< HEAD\nb.jpg,rose\n=======\n", "line 2: has a merge conflict"),
        (b"path,label\nb.jpg,\xff\n", "line 2: is not UTF-8"),
    ],
)
def test_prepare_and_relabel_refuse_a_broken_table(
    table: Path, relabel: Apply, content: bytes, message: str
) -> None:
    (table / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"data/photos/labels.csv: {message}"):
        list_photos(table, 10**9)
    with pytest.raises(UserError, match=f"data/photos/labels.csv: {message}"):
        relabel(row(table, "rose/d.jpg", "keep", file="d.jpg"))


def test_decisions_have_their_columns(table: Path, relabel: Apply) -> None:
    with pytest.raises(UserError, match=r"decisions\.csv: the columns must be path,sha256,label"):
        relabel(header="path,label\n")


@pytest.mark.parametrize("content", [b"\xff", None])
def test_decisions_must_be_readable(
    table: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content:
        Path("decisions.csv").write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["relabel", "decisions.csv"])
    with pytest.raises(UserError, match="download it"):
        main()


@pytest.mark.parametrize(
    ("photos_are", "message"),
    [("garden", "labels of the garden are drawn"), ("x.zip", "unpack it")],
)
def test_some_labels_cannot_change(
    table: Path, relabel: Apply, photos_are: str, message: str
) -> None:
    shutil.make_archive("x", "zip", "data/photos")
    change_params(Path("params.yaml"), {"data": {"photos": photos_are}})
    with pytest.raises(UserError, match=message):
        relabel()


def test_new_photos_lie_beside_class_folders(photos: Path, relabel: Apply) -> None:
    make_store(photos)
    plant_clean(Path("other"), ("new",), 10)
    shutil.copytree("other/new", photos / "new")
    first = sorted((photos / "new").iterdir())[-1]
    decision = f"{first},{sha(first)},,relabel,rose"
    with pytest.raises(UserError, match=r"'new' is not in data/prepared"):
        relabel(row(photos, f"daisy/{names(photos)[0]}", "keep"))
    relabel(decision)
    listing = list_photos(photos, 10**9)
    assert listing.classes == ["daisy", "rose"]
    assert {one.reason for one in listing.rejected} == {"no_label"}
    assert f"rose/new/{first.name}" in {one.path for one in listing.candidates}
