"""From photos to the store: the same bytes however it is made, and clear words when it is not."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.common import reading
from stages.common.errors import UserError
from stages.common.store import open_store
from stages.drawing import png
from stages.photos.photo import Limits, decode_photo
from stages.prepare import __main__ as command
from stages.prepare.array import ArrayFile
from stages.prepare.checks import check_rejected
from stages.prepare.decoder import Decoder
from stages.prepare.sources import Folder
from stages.prepare.stage import _describe_classes, describe, summarize
from stages.prepare.writing import train_statistics
from tests.conftest import PARAMS, ROOT
from tests.hazards import HAZARDS, Hazard, photo, plant, plant_clean, settings, write
from tests.photos.profiles import P3, profile
from tests.prepare.decoders import DyingDecoder, FullDiskDecoder
from tests.prepare.stores import content, prepared


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root: Path = tmp_path_factory.mktemp("photos") / "photos"
    plant_clean(root, count=60)
    plant(root, HAZARDS)
    return root


@pytest.fixture
def few(tmp_path: Path) -> Path:
    plant_clean(tmp_path / "few")
    return tmp_path / "few"


def test_number_of_workers_changes_no_byte(photos: Path, tmp_path: Path):
    outcomes = [prepared(photos, tmp_path / f"store {n}", workers=n) for n in (1, 2, 4)]
    stores = [content(tmp_path / f"store {n}") for n in (1, 2, 4)]
    assert stores[0] == stores[1] == stores[2]
    assert len({png(outcome.picture) for outcome in outcomes}) == 1
    assert summarize(outcomes[0]) == summarize(outcomes[1]) == summarize(outcomes[2])


def test_the_store_opens_and_rows_hold_the_photos_they_name(photos: Path, tmp_path: Path):
    prepared(photos, tmp_path / "store")
    store = open_store(tmp_path / "store")
    names = store.manifest["path"].tolist()
    alone = Decoder(ArrayFile(tmp_path / "one.npy", 32), "crop", Limits(32, 0.25, 4))
    alone.array.reserve(1)
    for name in ("daisy/000.jpg", "daisy/turned.jpg", "rose/059.jpg"):
        alone([(0, photos / name)])
        assert (alone.array.read(0) == store.images[names.index(name)]).all()


def test_scanned_is_accepted_and_rejected_and_skipped(photos: Path, tmp_path: Path):
    summary = summarize(prepared(photos, tmp_path / "store"))
    parts = summary["accepted"] + summary["rejected"] + summary["skipped"]
    assert summary["scanned"] == parts == 120 + len(HAZARDS)
    assert summary["accepted"] == sum(summary["photos"].values())
    assert summary["rejected"] == sum(summary["rejected_by_reason"].values())


def test_no_group_is_separated_by_the_split(few: Path, tmp_path: Path):
    for number in range(10):
        again = photo(1000 + number).resize((192, 144))
        again.save(few / "daisy" / f"again-{number}.jpg", quality=60)
    prepared(few, tmp_path / "store")
    groups = open_store(tmp_path / "store").manifest.groupby("group")["split"]
    assert (groups.nunique() == 1).all()
    assert (groups.size() == 2).sum() == 10


def test_more_photos_move_few_of_the_old(tmp_path: Path):
    plant_clean(tmp_path / "old", count=300)
    plant_clean(tmp_path / "new", count=330)
    tables = []
    for name in ("old", "new"):
        prepared(tmp_path / name, tmp_path / f"store {name}", workers=2)
        manifest = open_store(tmp_path / f"store {name}").manifest
        tables.append(manifest.set_index("path")["split"])
    old, new = tables[0], tables[1].loc[tables[0].index]
    assert (old != new).mean() <= 0.02
    assert not ((old == "test") & (new == "train")).any()


def test_renaming_files_changes_no_split(few: Path, tmp_path: Path):
    prepared(few, tmp_path / "store")
    for path in sorted(few.rglob("*.jpg")):
        path.rename(path.with_name(f"renamed-{99 - int(path.stem)}.jpg"))
    prepared(few, tmp_path / "store again")
    before, after = (
        open_store(tmp_path / name).manifest.set_index("sha256")["split"]
        for name in ("store", "store again")
    )
    assert before.sort_index().equals(after.sort_index())


def test_too_many_rejected_is_an_error_that_counts_reasons(few: Path, tmp_path: Path):
    plant(few, [Hazard(f"daisy/bad-{n}.jpg", write(b"")) for n in range(6)])
    plant(few, [Hazard("rose/page.jpg", write(b"<html>"))])
    with pytest.raises(UserError) as caught:
        prepared(few, tmp_path / "store", max_rejected_fraction=0.25)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith(f"{few}: 7 of 27 photos would be rejected (6 empty, 1 not_an_image), ")
    assert "prepare.max_rejected_fraction = 0.25" in first
    assert rest[0] == "  daisy/bad-0.jpg: empty: the file has no bytes"
    assert len(rest) == 5


def test_as_many_rejected_as_allowed_is_no_error(few: Path, tmp_path: Path):
    plant(few, [Hazard(f"daisy/bad-{n}.jpg", write(b"")) for n in range(5)])
    assert len(prepared(few, tmp_path / "store", max_rejected_fraction=0.2).rejected) == 5


@pytest.mark.parametrize("photos", [7, 100])
def test_every_share_may_be_rejected_that_is_allowed_and_not_one_photo_more(photos: int):
    table = pd.DataFrame({"path": "a", "reason": "empty", "detail": ""}, index=range(photos))
    for number in range(photos):
        allowed = settings(max_rejected_fraction=float(str(number / photos)))
        check_rejected(table[:number], photos, allowed)
        with pytest.raises(UserError, match=f"{number + 1} of {photos} photos would be rejected"):
            check_rejected(table[: number + 1], photos, allowed)


def test_a_class_without_a_usable_photo_is_named(few: Path, tmp_path: Path):
    plant(few, [Hazard("lily/a.jpg", write(b"")), Hazard("lily/b.jpg", write(b"text"))])
    message = rf"^{few}: every photo of 'lily' \(empty, not_an_image\) is rejected"
    with pytest.raises(UserError, match=message):
        prepared(few, tmp_path / "store")


def test_nothing_usable_at_all_is_an_error(tmp_path: Path):
    plant(tmp_path, [Hazard(f"photos/{name}/x.jpg", write(b"x")) for name in ("a", "b")])
    with pytest.raises(UserError, match=r"'a' \(not_an_image\), 'b' \(not_an_image\)"):
        prepared(tmp_path / "photos", tmp_path / "store")


def test_a_photo_that_vanishes_is_rejected(few: Path, tmp_path: Path, monkeypatch):
    listed = Folder.contents

    def contents(self, wanted):
        (few / "rose" / "003.jpg").unlink()
        return listed(self, wanted)

    monkeypatch.setattr(Folder, "contents", contents)
    outcome = prepared(few, tmp_path / "store")
    assert outcome.rejected[["path", "reason"]].values.tolist() == [["rose/003.jpg", "vanished"]]


def test_a_photo_that_cannot_be_read_is_rejected(few: Path, tmp_path: Path, monkeypatch):
    whole = reading.read_bytes

    def read_bytes(path, *arguments):
        if path.name == "003.jpg" and path.parent.name == "rose":
            raise PermissionError(errno.EACCES, "Permission denied")
        return whole(path, *arguments)

    monkeypatch.setattr(reading, "read_bytes", read_bytes)
    outcome = prepared(few, tmp_path / "store")
    assert outcome.rejected.values.tolist() == [
        ["rose/003.jpg", "unreadable_file", "Permission denied"]
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_clear_line(few: Path, tmp_path: Path, monkeypatch, workers):
    monkeypatch.setattr("stages.prepare.stage.Decoder", FullDiskDecoder)
    with pytest.raises(UserError, match=r"images\.npy: .*No space left on device"):
        prepared(few, tmp_path / "store", workers)


def test_space_is_reserved_before_anything_is_decoded(few: Path, tmp_path: Path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    monkeypatch.setattr(Decoder, "__call__", None)
    with pytest.raises(UserError, match=r"images\.npy: .*No space left on device"):
        prepared(few, tmp_path / "store")


def test_a_worker_that_dies_ends_the_run_with_a_clear_line(few: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("stages.prepare.stage.Decoder", DyingDecoder)
    with pytest.raises(UserError, match="a worker process was killed"):
        prepared(few, tmp_path / "store", workers=2)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_when_their_parent_is_killed(few: Path, tmp_path: Path):
    script = """
import sys
from pathlib import Path
from stages.prepare import stage
from tests.hazards import settings
from tests.photos.profiles import P3, profile
from tests.prepare.decoders import SleepingDecoder
stage.Decoder = SleepingDecoder
Path(sys.argv[2]).mkdir()
stage.prepare_store(Path(sys.argv[1]), settings(), Path(sys.argv[2]), workers=2)
"""
    arguments = [sys.executable, "-c", script, str(few), str(tmp_path / "store")]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        workers = {int(run.stdout.readline()) for _ in range(2)}
        run.kill()
    deadline = time.monotonic() + 60
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(worker) for worker in workers)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_picture_shows_every_class_and_what_was_rejected(photos: Path, tmp_path: Path):
    plant_clean(tmp_path / "clean")
    clean = prepared(tmp_path / "clean", tmp_path / "clean store").picture
    dirty = prepared(photos, tmp_path / "store").picture
    assert dirty.width == clean.width
    assert dirty.height > clean.height + 3 * 96


def test_a_hundred_classes_make_a_picture_of_bounded_size(tmp_path: Path):
    plant_clean(tmp_path / "many", tuple(f"class-{n:03d}" for n in range(100)), count=3)
    outcome = prepared(tmp_path / "many", tmp_path / "store", workers=2)
    assert outcome.picture.height < 1400
    lines = describe(outcome).splitlines()
    assert lines[1] == "train: 100 photos of 100 classes, 1 each"
    assert max(map(len, lines)) < 100
    assert _describe_classes({str(n): n + 1 for n in range(13)}) == (
        "91 photos of 13 classes, from 0 (1) to 12 (13)"
    )


@pytest.fixture
def project(few: Path, tmp_path: Path, monkeypatch) -> Path:
    """A folder with params.yaml that names a few clean photos."""
    text = PARAMS.read_text()
    (tmp_path / "params.yaml").write_text(text.replace("photos: garden", "photos: few"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command_writes_store_metrics_and_picture(project: Path, capsys):
    command.main()
    summary = json.loads(Path("metrics/prepare.json").read_text())
    assert summary["accepted"] == 20
    assert "scanned 20 = accepted 20 + rejected 0 + skipped 0\n" in capsys.readouterr().out
    taken = pd.read_csv("metrics/photos.csv", dtype=str)
    manifest = open_store().manifest.set_index("path").loc[taken["path"]]
    assert len(taken) == 20
    assert taken["sha256"].is_monotonic_increasing
    assert taken["sha256"].tolist() == manifest["sha256"].str[:12].tolist()
    assert taken["class"].tolist() == manifest["class"].tolist()
    assert taken["split"].tolist() == manifest["split"].tolist()
    assert open_store().images.shape == (20, 128, 128, 3)
    assert Image.open("metrics/photos.png").format == "PNG"


def test_outputs_name_no_place_on_this_machine(project: Path):
    command.main()
    texts = [*Path("data/prepared").glob("*.[cj]s*"), Path("metrics/prepare.json")]
    assert len(texts) == 5
    assert not any(str(project) in path.read_text() for path in texts)


def test_command_leaves_the_old_store_when_it_fails(project: Path):
    command.main()
    before = content(project / "data" / "prepared")
    for path in (project / "few" / "rose").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError):
        command.main()
    assert content(project / "data" / "prepared") == before
    assert [path.name for path in (project / "data").iterdir()] == ["prepared"]


def test_mean_and_std_hold_for_more_values_than_64_bits_count():
    side, count, dark, light = 1024, 10_000, 50, 150
    pixels = side**2
    photos = [
        {"split": "train", "sums": (pixels * level,) * 3, "squares": (pixels * level**2,) * 3}
        for level in [dark, light] * (count // 2)
    ]
    mean, std = train_statistics(pd.DataFrame(photos), side)
    np.testing.assert_allclose(mean, [100 / 255] * 3, rtol=1e-12)
    np.testing.assert_allclose(std, [50 / 255] * 3, rtol=1e-12)


def test_unequal_classes_and_large_groups_that_look_alike_get_a_line(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    plant_clean(root, count=40)
    for number in range(3, 40):
        (root / f"daisy/{number:03}.jpg").unlink()
    for number in range(8):
        photo(7, 96 + number, 72 + number).save(root / "rose" / f"again {number}.jpg")
    notes = prepared(root, tmp_path / "store").notes
    assert notes == [
        "rose has 48 photos, daisy only 3: `-S train.class_balance=0.5` gives rare classes more "
        "weight",
        "8 of 48 photos of rose look alike, such as rose/again 0.jpg, so they stay in one split; "
        "if they show different things, lower prepare.near_duplicate_bits, or set it to off",
    ]
    for number in range(8):
        (root / "rose" / f"again {number}.jpg").unlink()
    assert len(prepared(root, tmp_path / "other").notes) == 1


def test_description_names_every_count(photos: Path, tmp_path: Path):
    text = describe(prepared(photos, tmp_path / "store"))
    assert text.startswith(f"scanned {120 + len(HAZARDS)} = accepted ")
    assert "rejected: 2 duplicate" in text
    assert "near-duplicates: " in text


def test_odd_colors_are_counted_by_class(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    for number in range(3):
        deep = np.asarray(photo(number).convert("L")).astype(np.uint16) * 16  # 12 bits
        Image.fromarray(deep).save(tmp_path / f"photos/rose/dark{number}.png")
        path = tmp_path / f"photos/daisy/odd{number}.png"
        photo(90 + number).save(path, icc_profile=profile(P3, space=b"RGB Lab "))
    assert prepared(tmp_path / "photos", tmp_path / "store").notes == [
        "3 photos (3 of rose) are nearly black; if their files hold 12 bits of 16, scale them up",
        "3 photos (3 of daisy) have a color profile that is ignored, so their colors may be a "
        "little off",
    ]


def test_a_split_far_from_its_fraction_is_said(tmp_path: Path):
    plant_clean(tmp_path / "photos", count=20)
    rows = [
        f"{name}/{n:03}.jpg,{name},{n // 5}{name}" for name in ("daisy", "rose") for n in range(20)
    ]
    (tmp_path / "photos/labels.csv").write_text("path,label,group\n" + "\n".join(rows))
    assert prepared(tmp_path / "photos", tmp_path / "store").notes == [
        "test has 10 of 40 photos, prepare.test_fraction asks for 4: groups are kept whole, and "
        "that of daisy/000.jpg has 5 photos"
    ]


def test_classes_that_look_alike_are_no_doubtful_labels(tmp_path: Path):
    for name, color in zip(("daisy", "rose"), ((30, 30, 30), (35, 35, 35)), strict=True):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(24):
            image = photo(number, 64, 64)
            image.paste(color, (20, 20, 24, 24))
            image.save(tmp_path / "photos" / name / f"{number}.png")
    outcome = prepared(tmp_path / "photos", tmp_path / "store")
    assert outcome.notes == [
        "48 photos look like one of another class, which is then no sign of a wrong label; lower "
        "prepare.near_duplicate_bits, or set it to off"
    ]
    assert (tmp_path / "store/alike.csv").read_text().count("\n") == 1
    assert (outcome.accepted.groupby("group")["split"].nunique() == 1).all()


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_the_store_says_how_photos_fit(tmp_path: Path, fit: str):
    plant_clean(tmp_path / "photos")
    prepared(tmp_path / "photos", tmp_path / "store", fit=fit)
    store = open_store(tmp_path / "store")
    assert store.meta.fit == fit
    first = (tmp_path / "photos" / store.manifest["path"][0]).read_bytes()
    expected = decode_photo(first, 32, fit, Limits(1, 64, 4)).pixels
    np.testing.assert_array_equal(store.images[0], expected)
