"""How many planted copies near_duplicate_bits finds, and how many real photos it groups.

Run it with ``FLOWERBED_PHOTOS=folder python -m benchmarks.near_duplicates``. It prints the share of
copies within each number of bits of their photo, by what was done to them, and how many pairs of
the photos themselves are that near, which a person must then look at: data/prepared/alike.csv
names them.
"""

import io
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from stages.common.photo import Limits, decode_photo
from stages.prepare.fingerprint import fingerprint, mirrored
from stages.prepare.near import near_pairs

COPIES = 400
BITS = (2, 4, 6, 8, 10, 12, 14)
SIZE_PX = 128
LIMITS = Limits(min_side_px=1, max_megapixels=64, max_aspect_ratio=100)

Change = Callable[[Image.Image], Image.Image]


def cropped(share: float, corner: bool) -> Change:
    """Cut off a share of each side's length: all round, or from one corner."""

    def crop(image: Image.Image) -> Image.Image:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        left, top = (0, 0) if corner else ((image.width - width) // 2, (image.height - height) // 2)
        return image.crop((left, top, left + width, top + height))

    return crop


def scaled(factor: float) -> Change:
    """Change the size."""
    return lambda image: image.resize((round(image.width * factor), round(image.height * factor)))


CHANGES: dict[str, tuple[Change, int]] = {
    "half the size": (scaled(0.5), 85),
    "twice the size": (scaled(2), 85),
    "JPEG quality 30": (lambda image: image, 30),
    "JPEG quality 10": (lambda image: image, 10),
    "brighter by 30 %": (lambda image: ImageEnhance.Brightness(image).enhance(1.3), 85),
    "darker by 30 %": (lambda image: ImageEnhance.Brightness(image).enhance(0.7), 85),
    "more contrast, 30 %": (lambda image: ImageEnhance.Contrast(image).enhance(1.3), 85),
    "grey": (lambda image: image.convert("L").convert("RGB"), 85),
    "mirrored": (ImageOps.mirror, 85),
    "2 % cropped, all round": (cropped(0.02, corner=False), 85),
    "2 % cropped, a corner": (cropped(0.02, corner=True), 85),
    "5 % cropped, all round": (cropped(0.05, corner=False), 85),
    "5 % cropped, a corner": (cropped(0.05, corner=True), 85),
    "10 % cropped, all round": (cropped(0.1, corner=False), 85),
}


def print_of(content: bytes) -> int:
    """Return a photo's fingerprint."""
    return fingerprint(decode_photo(content, SIZE_PX, LIMITS).square)


def copy_of(path: Path, change: Change, quality: int) -> bytes:
    """Return a changed copy of a photo."""
    stream = io.BytesIO()
    change(Image.open(path).convert("RGB")).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def main() -> None:
    """Print the recall on planted copies and the pairs among the photos."""
    if "FLOWERBED_PHOTOS" not in os.environ:
        sys.exit("set FLOWERBED_PHOTOS to a folder with one folder of photos per class")
    paths = sorted(Path(os.environ["FLOWERBED_PHOTOS"]).glob("*/*.jpg"))
    prints = np.array([print_of(path.read_bytes()) for path in paths], np.uint64)
    chosen = random.Random(0).sample(range(len(paths)), min(COPIES, len(paths)))
    print(f"{'copies found within bits':26s}" + "".join(f"{bits:7d}" for bits in BITS))
    for name, (change, quality) in CHANGES.items():
        copies = np.array([print_of(copy_of(paths[i], change, quality)) for i in chosen], np.uint64)
        direct = np.bitwise_count(copies ^ prints[chosen])
        turned = np.bitwise_count(mirrored(copies) ^ prints[chosen])
        found = [(np.minimum(direct, turned) <= bits).mean() for bits in BITS]
        print(f"{name:26s}" + "".join(f"{share:7.3f}" for share in found))
    for name, other in (("pairs of the photos", prints), ("mirrored pairs", mirrored(prints))):
        pairs = [len(near_pairs(prints, other, bits)) for bits in BITS]
        print(f"{name:26s}" + "".join(f"{count:7d}" for count in pairs))


if __name__ == "__main__":
    main()
