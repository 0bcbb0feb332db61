"""How long prepare takes, against bare loops that only decode and scale.

Run it with ``FLOWERBED_PHOTOS=folder python -m benchmarks.prepare_speed``. Every round runs every
contender once, so that a busy machine slows all of them alike; the ratios are medians over rounds.
Beside the clock it gives the seconds that all cores spent, which others on the machine change less.
The larger photos are made from the folder's own, enlarged and with fresh noise. simplejpeg and
Pillow are the project's; torchvision too; pyvips and OpenCV take part where they are installed.
"""

import importlib
import importlib.util
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageOps
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional

from benchmarks.timing import SETTINGS, SIZE_PX, spent
from stages.common.workers import cores
from stages.prepare.stage import prepare_store

SETS = {
    "as they are": (None, 3400),
    "640 x 480": ((640, 480), 1500),
    "1600 x 1200": ((1600, 1200), 900),
}


def usual(path: Path) -> np.ndarray:
    """Decode and scale as most scripts do: whole, turned, converted, fitted."""
    with Image.open(path) as image:
        return np.asarray(
            ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (SIZE_PX,) * 2)
        )


def with_pillow(path: Path) -> np.ndarray:
    """Decode with Pillow, scaled down by draft where that leaves enough."""
    with Image.open(path) as image:
        image.draft("RGB", (3 * SIZE_PX // 2, 3 * SIZE_PX // 2))
        return _middle(image)


def with_simplejpeg(path: Path) -> np.ndarray:
    """Decode with simplejpeg, scaled down where that leaves enough."""
    enough = 3 * SIZE_PX // 2
    pixels = simplejpeg.decode_jpeg(
        path.read_bytes(), min_width=enough, min_height=enough, min_factor=2
    )
    return _middle(Image.fromarray(pixels))


def with_torchvision(path: Path) -> np.ndarray:
    """Decode and scale with torchvision, on one thread per process."""
    torch.set_num_threads(1)
    photo = decode_jpeg(read_file(str(path)), ImageReadMode.RGB)
    square = functional.center_crop(photo, [min(photo.shape[1:])] * 2)
    scaled = functional.resize(square, [SIZE_PX, SIZE_PX], antialias=True)
    return np.ascontiguousarray(scaled.permute(1, 2, 0).numpy())


def with_pyvips(path: Path) -> np.ndarray:
    """Decode and scale with libvips' thumbnail."""
    pyvips = importlib.import_module("pyvips")
    return np.asarray(
        pyvips.Image.thumbnail(str(path), SIZE_PX, height=SIZE_PX, crop="centre").numpy()
    )


def _middle(image: Image.Image) -> np.ndarray:
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIZE_PX,) * 2, Image.Resampling.HAMMING, box=box))


BARE = {"Pillow": with_pillow, "simplejpeg": with_simplejpeg, "torchvision": with_torchvision}
if importlib.util.find_spec("pyvips"):
    BARE["pyvips"] = with_pyvips


def discard(job: tuple[Callable[[Path], np.ndarray], Path]) -> None:
    """Decode in a worker, and send nothing back."""
    decode, path = job
    decode(path)


def contenders(folder: Path, store: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed: prepare, the usual loop, and each decoder on all cores."""
    paths = sorted(folder.rglob("*.jpg"))

    def bare(decode: Callable[[Path], np.ndarray]) -> None:
        with Pool(cores()) as pool:
            for _ in pool.imap_unordered(discard, [(decode, path) for path in paths], chunksize=16):
                pass

    def prepare() -> None:
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        prepare_store(folder, SETTINGS, store)

    timed: dict[str, Callable[[], object]] = {"prepare": prepare}
    timed["usual loop, one process"] = lambda: [usual(path) for path in paths]
    for name, decode in BARE.items():
        timed[f"bare {name}, {cores()} processes"] = partial(bare, decode)
    return timed


def enlarge(source: Path, folder: Path, size: tuple[int, int] | None, count: int) -> None:
    """Copy `count` photos, as many of each class, enlarged to `size` and with fresh noise."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    for name in classes:
        (folder / name.name).mkdir(parents=True)
        for number, path in enumerate(sorted(name.iterdir())[: count // len(classes)]):
            target = folder / name.name / f"{number:04d}.jpg"
            if size is None:
                shutil.copy(path, target)
                continue
            large = np.asarray(
                Image.open(path).convert("RGB").resize(size, Image.Resampling.BICUBIC)
            )
            noise = np.random.default_rng(number).normal(0, 4, large.shape)
            noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
            stream = io.BytesIO()
            Image.fromarray(noisy).save(stream, "JPEG", quality=88)
            target.write_bytes(stream.getvalue())


def compare(folder: Path, store: Path, rounds: int) -> None:
    """Time all contenders in turn, and print milliseconds a photo and ratios."""
    timed = contenders(folder, store)
    times: dict[str, list[np.ndarray]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, run in timed.items():
            start = spent()
            run()
            times[name].append(spent() - start)
    count = sum(1 for _ in folder.rglob("*.jpg"))
    prepare = np.array(times["prepare"])
    print(f"{'ms a photo':32s}{'clock':>8s}{'cores':>8s}{'prepare / this: clock, cores':>32s}")
    for name, found in times.items():
        clock, cpu = 1000 * np.median(found, axis=0) / count
        clock_ratio, cpu_ratio = np.median(prepare / np.array(found), axis=0)
        print(f"{name:32s}{clock:8.2f}{cpu:8.2f}{clock_ratio:24.2f}{cpu_ratio:8.2f}")


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
            print(f"\n{title}, {count} photos, {cores()} cores")
            compare(folder, Path(temporary, "store"), rounds)


if __name__ == "__main__":
    main()
