"""The built-in garden: the same photos from the same seed, whole or not at all."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from garden import __main__ as stage
from garden import garden
from garden.garden import draw_garden
from garden.photograph import photograph
from garden.species import SPECIES
from stages.common.files import new_folder
from stages.common.schema import Garden
from tests.conftest import PARAMS

Contents = dict[str, bytes]

SMALL = Garden(seed=3, photos_per_species=2, image_size_px=64)


def contents(folder: Path) -> Contents:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    folder = tmp_path_factory.mktemp("one_worker")
    draw_garden(folder, SMALL, workers=1)
    return contents(folder)


def test_photos_are_in_one_folder_per_species(drawn: Contents) -> None:
    numbers = ("0001", "0002")
    assert sorted(drawn) == sorted(f"{s}/{s}_{n}.jpg" for s in SPECIES for n in numbers)
    assert len(SPECIES) >= 5


def test_photos_are_rgb_jpegs_of_the_stated_size(drawn: Contents) -> None:
    for content in drawn.values():
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert (image.format, image.mode, max(image.size)) == ("JPEG", "RGB", 64)
            assert min(image.size) >= 64 // 2


def test_no_photo_is_drawn_twice(drawn: Contents) -> None:
    assert len(set(drawn.values())) == len(drawn)


def test_same_seed_gives_same_bytes() -> None:
    assert photograph("rose", 1, 5, 96) == photograph("rose", 1, 5, 96)


def test_another_seed_gives_other_bytes() -> None:
    assert photograph("rose", 1, 5, 96) != photograph("rose", 1, 6, 96)


def test_number_of_workers_changes_no_byte(drawn: Contents, tmp_path: Path) -> None:
    draw_garden(tmp_path, SMALL, workers=3)
    assert contents(tmp_path) == drawn


def test_more_photos_per_species_change_no_earlier_photo(drawn: Contents, tmp_path: Path) -> None:
    draw_garden(tmp_path, SMALL.model_copy(update={"photos_per_species": 3}), workers=2)
    longer = contents(tmp_path)
    assert len(longer) == len(drawn) * 3 // 2
    assert {name: longer[name] for name in drawn} == drawn


def test_global_random_state_changes_no_byte() -> None:
    np.random.seed(1)  # noqa: NPY002 - the state under test is the global one
    first = photograph("daisy", 1, 0, 64)
    np.random.seed(2)  # noqa: NPY002
    assert photograph("daisy", 1, 0, 64) == first


def test_failure_while_drawing_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def photos_then_failure(*_: object) -> Iterator[bytes]:
        yield photograph("daisy", 1, 0, 64)
        raise RuntimeError("out of paint")

    monkeypatch.setattr(garden, "draw_all", photos_then_failure)
    with pytest.raises(RuntimeError, match="out of paint"), new_folder(tmp_path / "demo") as folder:
        draw_garden(folder, SMALL, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_failure_in_a_worker_reaches_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garden, "SPECIES", {"thistle": None})  # workers do not know it
    with pytest.raises(KeyError, match="thistle"):
        draw_garden(tmp_path, SMALL, workers=1)


def test_stage_writes_the_folder_that_params_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    text = re.sub(r"photos_per_species: \d+", "photos_per_species: 1", text)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    stage.main()
    assert len(contents(Path("data/demo"))) == len(SPECIES)
    assert capsys.readouterr().out == "data/demo: drew 1 photos of each of 6 species\n"


def test_color_alone_does_not_tell_the_species() -> None:
    """The nearest class by mean color histogram is right for well under all photos."""
    photos = [(s, _histogram(photograph(s, n, 0, 64))) for s in SPECIES for n in range(1, 17)]
    means = {s: np.mean([h for name, h in photos if name == s], axis=0) for s in SPECIES}
    named = [min(means, key=lambda s: np.abs(means[s] - h).sum()) == name for name, h in photos]
    assert np.mean(named) < 0.5


def _histogram(photo: bytes) -> NDArray[np.float64]:
    image = Image.open(io.BytesIO(photo)).convert("HSV")
    bins = np.asarray(image).reshape(-1, 3) // 64 @ np.array([16, 4, 1])
    return np.bincount(bins, minlength=64) / len(bins)
