"""Decode mutated photos: each must end as pixels or with a reason, never with a crash or a hang.

Run it with ``python -m tests.prepare.fuzz_photos 20000``. The process limits itself to 2 GiB of
memory, and its alarm kills it when one photo takes 10 s. A mutant depends only on its number.
libtiff prints its own complaints on stderr.
"""

import faulthandler
import resource
import signal
import sys
import time
from collections import Counter

import numpy as np

from stages.common.errors import PhotoError
from stages.photos.photo import Limits, decode_photo
from tests.hazards import encoded, exif, gray_ramp, jpeg, photo, png_16_bit, with_alpha

MEMORY_BYTES = 2 << 30
SECONDS_PER_PHOTO = 10
SIZE_PX = 64
LIMITS = Limits(min_side_px=8, max_megapixels=16, max_aspect_ratio=50)

PARENTS = [
    jpeg(1),
    jpeg(2, progressive=True),
    jpeg(3, exif=exif(6)),
    encoded(photo(4).convert("CMYK")),
    encoded(photo(5).convert("L")),
    encoded(photo(6), "PNG"),
    encoded(photo(7).quantize(64), "PNG", transparency=3),
    encoded(with_alpha(8), "PNG"),
    png_16_bit(gray_ramp(9)),
    encoded(photo(10), "WEBP"),
    encoded(with_alpha(11), "WEBP", lossless=True),
    encoded(photo(12), "GIF", save_all=True, append_images=[photo(13)]),
    encoded(photo(14), "TIFF"),
    encoded(photo(15), "TIFF", compression="tiff_lzw"),
    encoded(photo(16), "TIFF", compression="jpeg"),
    encoded(photo(17), "TIFF", compression="tiff_deflate"),
    encoded(photo(18), "BMP"),
    encoded(photo(19).quantize(16), "BMP"),
]


def mutant(number: int) -> bytes:
    """Return a photo with flipped bits, a cut, or a part of another in it."""
    random = np.random.default_rng(number)
    parent = bytearray(PARENTS[random.integers(len(PARENTS))])
    # Headers are short and decide most: half of all changes go there.
    reach = len(parent) if random.random() < 0.5 else min(len(parent), 200)
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(min(reach, len(parent)) or 1))
        kind = random.integers(4)
        if kind == 0:
            for flip in random.integers(reach, size=random.integers(1, 20)):
                parent[min(flip, len(parent) - 1)] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del parent[max(place, 1) :]
        elif kind == 2:
            other = PARENTS[random.integers(len(PARENTS))]
            start = int(random.integers(len(other)))
            length = int(random.integers(1, 400))
            parent[place : place + length] = other[start : start + length]
        else:
            parent[place : place + 4] = random.bytes(4)
    return bytes(parent)


def outcome(content: bytes) -> str:
    """Decode one photo and say how it ended."""
    try:
        pixels = decode_photo(content, SIZE_PX, "crop", LIMITS).pixels
    except PhotoError as error:
        return error.reason
    assert pixels.shape == (SIZE_PX, SIZE_PX, 3)
    return "accepted"


def main() -> None:
    """Decode the mutants and print how many ended how."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    ends: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        signal.alarm(SECONDS_PER_PHOTO)
        start = time.perf_counter()
        ends[outcome(mutant(number))] += 1
        slowest = max(slowest, time.perf_counter() - start)
    signal.alarm(0)
    for end, total in ends.most_common():
        print(f"{total:7d} {end}")
    print(f"{sum(ends.values()):7d} mutants, the slowest took {slowest:.2f} s")


if __name__ == "__main__":
    main()
