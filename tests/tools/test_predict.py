import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageFilter
from tqdm import tqdm

from stages.common.errors import UserError
from stages.common.files import write_guarded
from stages.common.schema import Fit, Params
from stages.common.store import STORE, Store, open_store
from stages.evaluate.predicting import DECIMALS, tabulate
from stages.evaluate.predicting import predict as predict_test_split
from stages.model.classifier import (
    PREDICT_BATCH,
    Calibration,
    Classifier,
    ModelMeta,
    Probabilities,
    normalize,
)
from stages.model.flowernet import build_flowernet
from stages.model.folder import CALIBRATION, save_classifier
from stages.prepare.stage import prepare_store
from tests.conftest import ROOT
from tools.predict import Predictor, unlabeled
from tools.predict.__main__ import main
from tools.predict.photos import AHEAD, LIMITS, Pixels, Prediction, predict_photos, read_photo

CLASSES = ("daisy", "rose", "tulip")


def test_an_empty_name_is_no_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", ""])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "must name a file or a folder, got nothing" in capsys.readouterr().err


def draw_photo(path: Path, seed: int) -> None:
    """Draw soft blobs, 90 px high or more, so that scaling and cropping have work to do."""
    random = np.random.default_rng(seed)
    size = (90 + 7 * (seed % 9), 90 + 5 * (seed % 7))
    noise = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(9))
    stretched = image.point(lambda value: min(max(8 * value - 900, 0), 255))
    stretched.save(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 photos of three classes, JPEG and PNG."""
    folder = tmp_path_factory.mktemp("photos")
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(20):
            suffix = "png" if number % 5 == 0 else "jpg"
            draw_photo(folder / name / f"{number:02}.{suffix}", 100 * label + number)
    return folder


@pytest.fixture
def prepared(photos: Path, params: Params, tmp_path: Path) -> Store:
    """The store of the photos; two thirds of them are the test split, more than a batch."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    fractions = {"test_fraction": 0.7, "validation_fraction": 0.1}
    prepare_store(photos, params.prepare.model_copy(update=fractions), folder, workers=1)
    return open_store(folder)


@pytest.fixture
def classifier(photos: Path) -> Classifier:
    """A classifier that predicts each class for some of the photos."""
    torch.manual_seed(0)
    meta = ModelMeta(
        architecture="flowernet",
        width=8,
        classes=list(CLASSES),
        image_size_px=32,
        input_size_px=32,
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.25, 0.3],
    )
    network = build_flowernet(8, 3).eval()
    pixels = np.stack([read_photo(path, 32, "crop") for path in sorted(photos.glob("*/*"))])
    with torch.no_grad():
        network.get_parameter("head.weight").mul_(100)
        seen = normalize(torch.from_numpy(pixels), meta.mean, meta.std)
        network.get_parameter("head.bias").sub_(network(seen).mean(dim=0))
    return Classifier(network, meta)


@pytest.fixture
def model(classifier: Classifier, tmp_path: Path) -> Path:
    save_classifier(classifier, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def run(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Runner":
    return Runner(model, monkeypatch, capsys)


class Runner:
    """Runs the command in this process."""

    def __init__(
        self, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.model = model
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        words = ["predict", *map(str, arguments)]
        if "--model" not in words:
            words += ["--model", str(self.model)]
        self.monkeypatch.setattr(sys, "argv", words)
        self.monkeypatch.setattr(torch, "set_deterministic_debug_mode", lambda _: None)
        if code:
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == code
        else:
            main()
        printed = self.capsys.readouterr()
        return printed.out, printed.err


def test_predictions_equal_those_of_evaluate_to_the_last_digit(
    prepared: Store, photos: Path, classifier: Classifier, run: Runner
) -> None:
    expected = predict_test_split(classifier, prepared, "test")
    table = tabulate(prepared, expected)
    assert len(table) > 32  # more than a batch
    assert table["predicted"].nunique() > 1

    paths = [photos / path for path in table["path"]]
    pixels = [read_photo(path, 32, "crop") for path in paths]
    np.testing.assert_array_equal(pixels, prepared.images[table.index])
    for chosen in (slice(None), slice(5, 6), slice(None, None, -1)):
        again = classifier.probabilities(np.stack(pixels[chosen]))
        np.testing.assert_array_equal(again, expected[chosen])

    printed, _ = run("--csv", "--top", 1, *paths)
    found = pd.read_csv(io.StringIO(printed))
    assert found["path"].tolist() == [str(path) for path in paths]
    assert found["class"].tolist() == table["predicted"].tolist()
    assert found["probability"].tolist() == table["confidence"].tolist()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_photos_fit_as_the_model_says(
    photos: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, fit: Fit
) -> None:
    meta = classifier.meta.model_copy(update={"fit": fit})
    fitted = Classifier(classifier.network, meta)
    paths = sorted(photos.glob("*/*"))[:5]
    pixels = {each: [read_photo(path, 32, each) for path in paths] for each in get_args(Fit)}
    assert not np.array_equal(pixels["crop"], pixels["pad"])
    assert not np.array_equal(pixels["crop"], pixels["stretch"])
    found = list(predict_photos(fitted, paths, 1))
    expected = fitted.probabilities(np.stack(pixels[fit])).max(axis=1)
    assert [each.classes[0][1] for each in found] == expected.round(DECIMALS).tolist()

    seen: list[Pixels] = []

    def hash_of(square: Image.Image) -> int:
        seen.append(np.asarray(square))
        return 0

    monkeypatch.setattr(unlabeled, "perceptual_hash", hash_of)
    unlabeled.choose_unlabeled(found, set(), 5, meta)
    assert any(np.array_equal(seen[0], each) for each in pixels[fit])


def test_a_table_by_default(photos: Path, run: Runner) -> None:
    printed, complaints = run(photos / "rose" / "03.jpg", photos / "daisy" / "10.png")
    first, second = printed.splitlines()
    assert first.startswith(f"{photos}/rose/03.jpg  ")
    assert all(name in first for name in CLASSES)
    assert first.count("%") == second.count("%") == 3
    shares = [float(word.rstrip("%")) for word in first.split() if word.endswith("%")]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.02)
    assert complaints == ""


def test_the_forms_say_the_same(photos: Path, run: Runner) -> None:
    table, _ = run(photos / "rose", "--top", 2)
    array = json.loads(run(photos / "rose", "--top", 2, "--json")[0])
    rows = list(csv.DictReader(io.StringIO(run(photos / "rose", "--top", 2, "--csv")[0])))
    assert len(array) == len(table.splitlines()) == len(rows) == 20
    for photo, line, row in zip(array, table.splitlines(), rows, strict=True):
        assert line.split()[0] == photo["path"]
        assert line.split()[1::2] == [each["class"] for each in photo["classes"]]
        first, second = photo["classes"]
        assert row == {
            "path": photo["path"],
            "class": first["class"],
            "probability": str(first["probability"]),
            "unsure": "false",
            "class2": second["class"],
            "probability2": str(second["probability"]),
        }
    plain = run(photos / "rose", "--csv")[0].splitlines()
    assert plain[0] == "path,class,probability,unsure"
    assert plain[1:] == [",".join([*row.values()][:4]) for row in rows]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_photo_below_the_models_threshold_is_unsure(
    photos: Path, run: Runner, model: Path, threshold: float
) -> None:
    digest = json.loads((model / "model.json").read_text())["weights_sha256"]
    calibration = Calibration(weights_sha256=digest, temperature=5, threshold=threshold)
    write_guarded(model / CALIBRATION, calibration)
    is_unsure = threshold > 0
    table, _ = run(photos / "rose" / "03.jpg")
    assert table.rstrip().endswith("unsure") is is_unsure
    (found,) = json.loads(run(photos / "rose" / "03.jpg", "--json")[0])
    assert found["unsure"] is is_unsure
    assert found["classes"][0]["probability"] < 0.7  # the temperature counts


def test_a_calibration_of_other_weights_is_refused(photos: Path, run: Runner, model: Path) -> None:
    write_guarded(model / CALIBRATION, Calibration(weights_sha256="ab"))
    with pytest.raises(UserError, match=r"calibration\.json: belongs to other weights; make it"):
        run(photos / "rose" / "03.jpg")


def test_a_picture_of_each_photo_shows_where_the_flower_was_found(
    photos: Path, run: Runner, tmp_path: Path
) -> None:
    named = tmp_path / f"{'ü' * 100}.png"
    shutil.copy(photos / "rose" / "10.png", named)
    plain, _ = run(photos / "rose", photos / "tulip", named)
    explained, _ = run(photos / "rose", photos / "tulip", named, "--explain", tmp_path / "why")
    assert explained == plain
    pictures = sorted((tmp_path / "why").iterdir())
    assert len(pictures) == 41  # more than a batch
    assert pictures[0].name == "0001-00.png"
    assert pictures[-1].name == f"0041-{'ü' * 40}.png"
    with Image.open(pictures[0]) as picture:
        left, right = np.split(np.asarray(picture), 2, axis=1)
    np.testing.assert_array_equal(left, read_photo(photos / "rose" / "00.png", 32, "crop"))
    assert (right <= left).all()
    assert right.mean() < left.mean()


def test_a_rejected_photo_has_no_picture_and_moves_no_other(
    photos: Path, run: Runner, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_text("<html>")
    good = [photos / "rose/03.jpg", photos / "tulip/03.jpg"]
    run(good[0], tmp_path / "bad.jpg", good[1], "--explain", tmp_path / "why", code=1)
    pictures = sorted((tmp_path / "why").iterdir())
    assert [path.name for path in pictures] == ["0001-03.png", "0002-03.png"]
    for path, picture in zip(good, pictures, strict=True):
        with Image.open(picture) as image:
            np.testing.assert_array_equal(np.asarray(image)[:, :32], read_photo(path, 32, "crop"))


def test_a_folder_for_pictures_that_is_a_file_is_one_line(
    photos: Path, run: Runner, tmp_path: Path
) -> None:
    (tmp_path / "why").touch()
    with pytest.raises(UserError, match=r"why.*cannot be written"):
        run(photos / "rose" / "03.jpg", "--explain", tmp_path / "why")


def test_more_classes_than_there_are_is_all_of_them(photos: Path, run: Runner) -> None:
    (photo,) = json.loads(run(photos / "rose/03.jpg", "--top", 99, "--json")[0])
    assert len(photo["classes"]) == 3


def test_a_folder_is_its_photos_sorted_without_clutter(
    photos: Path, run: Runner, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    for name in ("b.jpg", "a/z.png", "a/.hidden.jpg", ".git/x.jpg", "Thumbs.db", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((photos / "rose/03.jpg").read_bytes())
    array = json.loads(run(folder, "--json")[0])
    assert [photo["path"] for photo in array] == [f"{folder}/a/z.png", f"{folder}/b.jpg"]


def test_no_name_of_a_folder_hides_its_photos(photos: Path, run: Runner, tmp_path: Path) -> None:
    for name in ("copying-ink/1.jpg", "license-plates/readme_plate.jpg"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True)
        (tmp_path / "mine" / name).write_bytes((photos / "rose/03.jpg").read_bytes())
    assert len(run(tmp_path / "mine")[0].splitlines()) == 2


def test_a_link_to_a_folder_does_not_loop(photos: Path, run: Runner, tmp_path: Path) -> None:
    draw_photo(tmp_path / "a.png", 0)
    folder = tmp_path / "loop"
    folder.mkdir()
    (folder / "a.png").symlink_to(tmp_path / "a.png")
    (folder / "again").symlink_to(folder)
    assert len(run(folder)[0].splitlines()) == 1


def test_bad_photos_get_a_line_each_and_the_others_are_done(
    photos: Path, run: Runner, tmp_path: Path
) -> None:
    good = (photos / "rose/03.jpg").read_bytes()
    bad = {"cut.jpg": good[: len(good) // 2], "empty.png": b"", "text.jpg": b"<html>"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    empty = tmp_path / "no photos"
    empty.mkdir()
    (tmp_path / "inner").mkdir()
    os.mkfifo(tmp_path / "inner/pipe.jpg")
    printed, complaints = run(
        tmp_path / "gone.jpg",
        tmp_path / ("a" * 300),
        empty,
        tmp_path / "inner",
        *(tmp_path / name for name in bad),
        photos / "rose/03.jpg",
        code=1,
    )
    assert len(printed.splitlines()) == 1
    assert [line.removeprefix(f"{tmp_path}/") for line in complaints.splitlines()] == [
        "gone.jpg: not found; pass a photo or a folder that exists",
        f"{'a' * 300}: cannot be read: File name too long",
        "no photos: holds no photos; pass a folder that does, or photos",
        "inner/pipe.jpg: special_file: a device, a socket or a pipe",
        "cut.jpg: truncated: Premature end of JPEG file",
        "empty.png: empty: the file has no bytes",
        "text.jpg: not_an_image: none of JPEG, PNG, WEBP, AVIF, BMP, TIFF, GIF",
    ]


def test_only_bad_photos_are_still_json(run: Runner, tmp_path: Path) -> None:
    printed, _ = run(tmp_path / "gone.jpg", "--json", code=1)
    assert json.loads(printed) == []


def test_a_file_too_large_for_a_photo_is_not_read(run: Runner, tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(LIMITS.max_bytes + 1)
    _, complaints = run(tmp_path / "huge.jpg", code=1)
    assert complaints.count("\n") == 1
    assert "too_many_bytes" in complaints


def test_names_that_no_terminal_can_print_are_escaped(run: Runner, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\n.png")
    draw_photo(tmp_path / "a.png", 0)
    (tmp_path / "a.png").rename(tmp_path / name)
    printed, _ = run(tmp_path / name)
    assert printed.startswith(f"{tmp_path}/\\udcff\\n.png ")
    assert printed.count("\n") == 1


def test_tiny_wide_and_transparent_photos_have_an_answer(run: Runner, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    Image.new("L", (900, 3)).save(tmp_path / "wide.png")
    Image.new("RGBA", (40, 30), (0, 0, 0, 40)).save(tmp_path / "glass.png")
    assert len(run(tmp_path / "tiny.png", tmp_path / "wide.png", tmp_path / "glass.png")[0]) > 0


def test_a_file_is_what_would_be_printed(photos: Path, run: Runner, tmp_path: Path) -> None:
    for form, words in (("csv", ["--top", 99]), ("json", [])):
        printed, _ = run(photos, f"--{form}", *words)
        silent, _ = run(photos, *words, "--output", tmp_path / f"all.{form}")
        assert silent == ""
        assert (tmp_path / f"all.{form}").read_text() == printed
    assert sorted(path.name for path in tmp_path.glob("*all*")) == ["all.csv", "all.json"]


def test_a_file_is_complete_or_absent(
    photos: Path, run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, ends = tmp_path / "all.csv", iter([False, True])
    written.write_text("of yesterday")
    predicted = Classifier.probabilities

    def interrupted(*arguments: Any) -> Any:
        if next(ends):
            raise KeyboardInterrupt
        return predicted(*arguments)

    monkeypatch.setattr(Classifier, "probabilities", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(photos, "--output", written)
    assert written.read_text() == "of yesterday"
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder.csv", r"--output: \S+/folder.csv is not a file; name one, such as"),
        ("pipe.csv", r"--output: \S+/pipe.csv is not a file"),
        ("nowhere/all.csv", r"--output: \S+/nowhere is not a folder to write in; name another one"),
        ("shut/all.csv", r"--output: \S+/shut is not a folder to write in; name another one"),
    ],
)
def test_a_bad_place_for_the_file_is_refused_before_the_work(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "shut").mkdir(mode=0o500)
    os.mkfifo(tmp_path / "pipe.csv")
    access = os.access  # to root, nothing is shut
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "shut" and access(path, mode))
    with pytest.raises(UserError, match=message):
        run("lost", "--output", tmp_path / name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "all.txt"], "--output: must end in .csv or .json, got 'all.txt'"),
        (["--output", ""], "--output: must end in .csv or .json, got ''"),
        (["--json", "--output", "a.csv"], "--output: must end in .json here, got a.csv"),
        (["--unlabeled", "--output", "a.json"], "--output: must end in .csv here, got a.json"),
        (["--unlabeled", "0"], "--unlabeled: must be a whole number from 1 up, got '0'"),
        (["--unlabeled", "--json"], "--json: not allowed with argument --unlabeled"),
    ],
)
def test_options_that_do_not_fit_say_what_does(run: Runner, words: list[str], message: str) -> None:
    assert message in run("lost", *words, code=2)[1]


def test_the_network_waits_for_no_photo_that_could_be_decoded_meanwhile(
    photos: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it sees the first batch, the next one is decoded; never more than AHEAD photos are."""
    paths = sorted(photos.glob("*/*")) * 5
    decoded: list[Path] = []
    seen: list[int] = []

    def read(path: Path, size_px: int, fit: Fit) -> Pixels:
        decoded.append(path)
        return read_photo(path, size_px, fit)

    def watched(images: Pixels) -> Probabilities:
        start, ahead = time.monotonic(), min(len(paths), sum(seen) + AHEAD)
        while len(decoded) < ahead and time.monotonic() < start + 10:
            time.sleep(0.001)
        seen.append(len(images))
        assert 0 <= len(decoded) - ahead <= PREDICT_BATCH
        return classifier.probabilities(images)

    monkeypatch.setattr("tools.predict.photos.read_photo", read)
    watcher = SimpleNamespace(
        probabilities=watched, meta=classifier.meta, calibration=classifier.calibration
    )
    found = list(predict_photos(watcher, paths, 1))  # type: ignore[arg-type]
    assert [prediction.path for prediction in found] == paths
    assert sum(seen) == len(decoded) == 300


@pytest.mark.parametrize(("terminal", "bar"), [(True, True), (False, False)])
def test_a_bar_is_for_terminals_only(
    photos: Path,
    run: Runner,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    terminal: bool,
    bar: bool,
) -> None:
    def at_once(*arguments: Any, **options: Any) -> "tqdm[Any]":
        return tqdm(*arguments, **options | {"delay": 0})

    monkeypatch.setattr("tools.predict.__main__.tqdm", at_once)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    _, shown = run(photos, "--output", tmp_path / "all.csv")
    assert ("60/60" in shown) is bar
    assert max(map(len, shown.replace("\r", "\n").split("\n"))) <= 80


def test_eight_threads_share_a_predictor(photos: Path, model: Path) -> None:
    predictor, paths = Predictor(model), sorted(photos.glob("*/*"))
    alone = predictor.predict(paths)
    assert [prediction.path for prediction in alone] == paths
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(predictor.predict, [paths] * 16))
    assert together == [alone] * 16
    assert predictor.predict(str(paths[0]), top=1)[0].classes == alone[0].classes[:1]


def test_a_rejected_photo_says_why_among_the_others(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    good = photos / "rose/03.jpg"
    first, second, third = Predictor(model).predict([good, tmp_path / "gone.jpg", good])
    assert first == third
    assert not first.rejected
    assert second == Prediction(
        tmp_path / "gone.jpg", [], True, "vanished: was listed, then was gone"
    )


UNLABELED = "path,label,better_label,label_probability,better_probability"


def test_the_least_sure_are_to_be_labeled_first(photos: Path, run: Runner) -> None:
    every = pd.read_csv(io.StringIO(run(photos, "--csv")[0]))
    expected = every.sort_values("probability", kind="stable").head(7)
    printed, _ = run(photos, "--unlabeled", 7)
    assert printed.startswith(UNLABELED + "\n")
    found = pd.read_csv(io.StringIO(printed))
    assert found["path"].tolist() == expected["path"].tolist()
    assert found["better_label"].tolist() == expected["class"].tolist()
    assert found["better_probability"].tolist() == expected["probability"].tolist()
    assert found[["label", "label_probability"]].isna().all(axis=None)


def test_of_photos_that_look_alike_one_is_to_be_labeled(
    photos: Path, run: Runner, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    with Image.open(photos / "rose/03.jpg") as image:
        image.save(mine / "again.jpg", quality=60)
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mine / "mirror.png")
    shutil.copy(photos / "rose/03.jpg", mine / "copy.jpg")
    shutil.copy(photos / "rose/04.jpg", mine / "other.jpg")
    assert len(run(mine, "--csv")[0].splitlines()) == 1 + 4
    assert len(run(mine, "--unlabeled")[0].splitlines()) == 1 + 2


def test_what_the_store_has_is_labeled(
    photos: Path, run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: Params
) -> None:
    names = pd.read_csv(io.StringIO(run(photos, "--unlabeled")[0]))["path"]
    monkeypatch.chdir(tmp_path)
    STORE.mkdir(parents=True)
    (tmp_path / "labeled").mkdir()
    for name in ("daisy", "rose"):
        shutil.copytree(photos / name, tmp_path / "labeled" / name)
    prepare_store(tmp_path / "labeled", params.prepare, STORE, workers=1)
    left = pd.read_csv(io.StringIO(run(photos, "--unlabeled")[0]))["path"]
    assert len(left) > 0
    assert left.tolist() == [name for name in names if "/tulip/" in name]
    (STORE / "manifest.csv").unlink()
    with pytest.raises(UserError, match=r"data/prepared: cannot be read"):
        run(photos, "--unlabeled")


def test_a_file_to_label_is_found_by_the_name_in_the_table(
    photos: Path, run: Runner, tmp_path: Path
) -> None:
    decomposed = unicodedata.normalize("NFD", "ö.jpg")
    shutil.copy(photos / "rose/03.jpg", tmp_path / decomposed)
    run(tmp_path / decomposed, "--unlabeled", "--output", tmp_path / "next.csv")
    assert Path(pd.read_csv(tmp_path / "next.csv")["path"][0]).is_file()


def test_a_missing_model_is_one_clear_line(photos: Path, run: Runner, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--model: \S+/nowhere is not a folder; give the one"
    ) as raised:
        run(photos, "--model", tmp_path / "nowhere")
    assert "\n" not in str(raised.value)


def test_a_damaged_model_is_one_clear_line(photos: Path, run: Runner, model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors: is damaged") as raised:
        run(photos)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("top", ["0", "-1", "many", "1.5"])
def test_a_wrong_top_says_what_is_allowed(
    photos: Path,
    model: Path,
    top: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", str(photos), f"--top={top}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"--top: must be a whole number from 1 up, got '{top}'" in capsys.readouterr().err


def test_it_needs_nothing_but_the_model(photos: Path, model: Path, tmp_path: Path) -> None:
    # Neither git nor dvc on the path, no params.yaml, a folder of its own.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(photos / "rose/03.jpg", elsewhere / "röse.jpg")
    for name in ("numpy.py", "tools.py"):  # a stranger's, which must not run
        (elsewhere / name).write_text("raise SystemExit('it ran')")
    ended = subprocess.run(
        [
            *[sys.executable, "-P", "-m", "tools.predict"],
            "röse.jpg",
            "gone.jpg",
            "--model",
            str(model),
        ],
        cwd=elsewhere,
        env={
            "PATH": "",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "ascii",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout.startswith(r"r\xf6se.jpg ")
    assert ended.stderr.splitlines() == [
        "gone.jpg: not found; pass a photo or a folder that exists"
    ]
    assert {path.name for path in elsewhere.iterdir()} == {"röse.jpg", "numpy.py", "tools.py"}
