"""How long prepare takes, against loops that only decode and scale: docs/measurements.md.

Run it with ``FLOWERBED_PHOTOS=folder python -m benchmarks.prepare_speed [rounds]``; the folder has
one folder of JPEGs per class. Every round runs every contender once, so that a busy machine slows
all of them alike; figures are medians over rounds.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from stages.common.errors import UserError, run_stage
from stages.common.params import load_params
from stages.common.schema import Prepare
from stages.common.workers import cores
from stages.prepare.stage import prepare_store


def prepare(folder: Path, params: Prepare) -> None:
    """Run the stage's own function."""
    with tempfile.TemporaryDirectory() as store:
        prepare_store(folder, params, Path(store))


def bare_simplejpeg(paths: list[Path], size_px: int) -> None:
    """Decode on all cores, scaled down where that leaves enough, and fit."""
    with Pool(cores()) as pool:
        for _ in pool.imap_unordered(partial(fast, size_px=size_px), paths, chunksize=16):
            pass


def fast(path: Path, size_px: int) -> None:
    """Decode one photo, no larger than needed."""
    enough_px = 3 * size_px // 2
    pixels = simplejpeg.decode_jpeg(
        path.read_bytes(), min_width=enough_px, min_height=enough_px, min_factor=2
    )
    ImageOps.fit(Image.fromarray(pixels), (size_px, size_px), Image.Resampling.HAMMING)


def usual_loop(paths: list[Path], size_px: int) -> None:
    """Decode and scale as most scripts do: all pixels, turned upright, converted, fitted."""
    for path in paths:
        with Image.open(path) as image:
            ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (size_px, size_px))


def main() -> None:
    """Time all contenders in turn; print milliseconds per photo, and prepare's time over theirs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    rounds = parser.parse_args().rounds
    folder, params = Path(os.environ.get("FLOWERBED_PHOTOS", "")), load_params().prepare
    paths = sorted(folder.glob("*/*.jpg"))
    if "FLOWERBED_PHOTOS" not in os.environ or not paths:
        raise UserError("set FLOWERBED_PHOTOS to a folder with one folder of .jpg files per class")
    contenders = {
        "prepare": partial(prepare, folder, params),
        "bare simplejpeg": partial(bare_simplejpeg, paths, params.image_size_px),
        "usual loop, one process": partial(usual_loop, paths, params.image_size_px),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    print(f"{len(paths)} photos, {cores()} cores: per photo, prepare / this")
    for name, times in seconds.items():
        ratio = np.median(np.divide(seconds["prepare"], times))
        print(f"{name:25}{1000 * np.median(times) / len(paths):8.2f} ms{ratio:8.2f}")


if __name__ == "__main__":
    run_stage(main)
