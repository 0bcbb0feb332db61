"""How long prepare takes, against bare loops that only decode and scale: docs/measurements.md.

Run it with ``FLOWERBED_PHOTOS=folder python -m benchmarks.prepare_speed [rounds]``; the folder has
one folder of JPEGs per class. Every round runs every contender once, so that a busy machine slows
all of them alike; figures are medians over rounds. The larger photos are made from the folder's
own, enlarged and with fresh noise.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from stages.common.params import load_params
from stages.common.workers import cores
from stages.prepare.stage import prepare_store

PREPARE = load_params().prepare
SIZE_PX = PREPARE.image_size_px
ENOUGH_PX = 3 * SIZE_PX // 2
"""Decoders that can scale down while they decode keep this much."""

SETS = {
    "as they are": (None, 3400),
    "640 x 480": ((640, 480), 1500),
    "1600 x 1200": ((1600, 1200), 900),
}
"""The photos' size, None for their own, and how many."""


def usual(path: Path) -> None:
    """Decode and scale as most scripts do: all pixels, turned upright, converted, fitted."""
    with Image.open(path) as image:
        ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (SIZE_PX, SIZE_PX))


def with_pillow(path: Path) -> None:
    """Decode with Pillow, scaled down by draft where that leaves enough."""
    with Image.open(path) as image:
        image.draft("RGB", (ENOUGH_PX, ENOUGH_PX))
        ImageOps.fit(image, (SIZE_PX, SIZE_PX), Image.Resampling.HAMMING)


def with_simplejpeg(path: Path) -> None:
    """Decode with simplejpeg, scaled down where that leaves enough."""
    pixels = simplejpeg.decode_jpeg(
        path.read_bytes(), min_width=ENOUGH_PX, min_height=ENOUGH_PX, min_factor=2
    )
    ImageOps.fit(Image.fromarray(pixels), (SIZE_PX, SIZE_PX), Image.Resampling.HAMMING)


def with_torchvision(path: Path) -> None:
    """Decode and scale with torchvision, on one thread per process."""
    # Not at the top: prepare's workers import this file, and would be charged for PyTorch.
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2 import functional

    torch.set_num_threads(1)
    photo = decode_jpeg(read_file(str(path)), ImageReadMode.RGB)
    square = functional.center_crop(photo, [min(photo.shape[1:])] * 2)
    functional.resize(square, [SIZE_PX, SIZE_PX], antialias=True)


def on_all_cores(decode: Callable[[Path], None], paths: list[Path]) -> None:
    """Decode every photo in some process, and forget it."""
    with Pool(cores()) as pool:
        for _ in pool.imap_unordered(decode, paths, chunksize=16):
            pass


def on_one_core(decode: Callable[[Path], None], paths: list[Path]) -> None:
    """Decode every photo in this process, and forget it."""
    for path in paths:
        decode(path)


def prepare(folder: Path, store: Path) -> None:
    """Run the stage's own function."""
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    prepare_store(folder, PREPARE, store)


def enlarge(source: Path, folder: Path, size: tuple[int, int] | None, count: int) -> None:
    """Copy `count` photos, the same number of each class; enlarge them, with fresh noise."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    for class_folder in classes:
        (folder / class_folder.name).mkdir(parents=True)
        paths = sorted(class_folder.iterdir())[: count // len(classes)]
        for number, path in enumerate(paths):
            target = folder / class_folder.name / f"{number:04d}.jpg"
            if size is None:
                shutil.copy(path, target)
                continue
            with Image.open(path) as image:
                large = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
            noise = np.random.default_rng(number).normal(0, 4, large.shape)
            noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(target, quality=88)


def compare(folder: Path, store: Path, rounds: int) -> None:
    """Time all contenders in turn; print milliseconds per photo, and prepare's time over theirs."""
    paths = sorted(folder.rglob("*.jpg"))
    contenders = {
        "prepare": partial(prepare, folder, store),
        "bare simplejpeg": partial(on_all_cores, with_simplejpeg, paths),
        "bare Pillow, draft": partial(on_all_cores, with_pillow, paths),
        "bare torchvision": partial(on_all_cores, with_torchvision, paths),
        "usual loop, one process": partial(on_one_core, usual, paths),
    }
    with_torchvision(paths[0])  # imports PyTorch before the clock starts
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items():
        ratio = np.median(np.divide(seconds["prepare"], found))
        print(f"{name:25}{1000 * np.median(found) / len(paths):8.2f} ms{ratio:8.2f}")


def main() -> None:
    """Compare on the photos as they are and on larger ones."""
    if "FLOWERBED_PHOTOS" not in os.environ:
        sys.exit("set FLOWERBED_PHOTOS to a folder with one folder of JPEGs per class")
    source = Path(os.environ["FLOWERBED_PHOTOS"])
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for title, (size, count) in SETS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "photos")
            enlarge(source, folder, size, count)
            print(f"\n{title}, {count} photos, {cores()} cores: per photo, prepare / this")
            compare(folder, Path(temporary, "store"), rounds)


if __name__ == "__main__":
    main()
