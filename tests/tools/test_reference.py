"""The program beside the ONNX file makes the same input as the pipeline, with Pillow alone."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from stages.common.schema import Fit
from stages.photos.photo import Limits, decode_photo
from tests.conftest import ROOT
from tests.photos.profiles import ADOBE, P3, profile

REFERENCE = ROOT / "tools/export/reference.py"
LIMITS = Limits(min_side_px=1, max_megapixels=250, max_aspect_ratio=100)
SIDE = 96

read_photo = runpy.run_path(str(REFERENCE))["read_photo"]


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(width / 60))
    return image.point(lambda value: min(max(6 * value - 640, 0), 255)).convert(mode)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def save_all(folder: Path) -> None:
    picture(320, 240).save(folder / "plain.jpg")
    picture(321, 243).save(folder / "odd.jpg", quality=60)
    picture(1001, 753).save(folder / "large.jpg")
    picture(4000, 3000).save(folder / "huge.jpg", quality=80)
    picture(640, 480, "L").save(folder / "gray.jpg")
    picture(640, 480, "CMYK").save(folder / "cmyk.jpg")
    for orientation in range(2, 9):
        exif = turned(orientation)
        picture(500, 377).save(folder / f"turned{orientation}.jpg", exif=exif)
    picture(300, 200).save(folder / "plain.png")
    picture(300, 200, "P").save(folder / "palette.png")
    picture(200, 300, "LA").save(folder / "gray_alpha.png")
    clear = picture(300, 200, "RGBA")
    clear.putalpha(picture(300, 200, "L"))
    clear.save(folder / "clear.png")
    deep = np.asarray(picture(300, 200, "L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    picture(300, 200).save(folder / "photo.webp")
    picture(300, 200).save(folder / "wide.png", icc_profile=profile(P3))
    picture(301, 101).save(folder / "wide.jpg", icc_profile=profile(ADOBE, ("curv", 0, [0x0233])))
    picture(1, 90).save(folder / "thin.png")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_any_file_gives_the_pipelines_pixels(tmp_path: Path, fit: Fit) -> None:
    save_all(tmp_path)
    differences = {}
    for path in sorted(tmp_path.iterdir()):
        ours = decode_photo(path.read_bytes(), SIDE, fit, LIMITS).pixels
        theirs = read_photo(path, SIDE, fit)
        assert (theirs.dtype, theirs.shape) == (np.uint8, (SIDE, SIDE, 3))
        differences[path.name] = np.abs(ours.astype(int) - theirs).max()
    assert len(differences) == 22
    assert {name: value for name, value in differences.items() if value > 2} == {}


@pytest.mark.skipif("FLOWERBED_PHOTOS" not in os.environ, reason="FLOWERBED_PHOTOS names no photos")
def test_real_photos_give_the_pipelines_pixels() -> None:
    paths = sorted(Path(os.environ["FLOWERBED_PHOTOS"]).rglob("*.jpg"))[::17][:200]
    for number, path in enumerate(paths):
        fit: Fit = ("crop", "pad", "stretch")[number % 3]
        ours = decode_photo(path.read_bytes(), SIDE, fit, LIMITS).pixels
        assert np.abs(ours.astype(int) - read_photo(path, SIDE, fit)).max() <= 2, path


def test_it_is_short_and_needs_nothing_of_the_project(tmp_path: Path) -> None:
    shutil.copy(REFERENCE, tmp_path / "flowers.py")
    picture(64, 64).save(tmp_path / "a.png")
    code = "import flowers; print(flowers.read_photo('a.png', 8, 'crop').shape)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "(8, 8, 3)\n"
    assert len(REFERENCE.read_text().splitlines()) <= 66
    assert "stages" not in REFERENCE.read_text()
