"""How prepare's time and memory grow with the number of photos.

Run it with ``python -m benchmarks.prepare_scale 1000 10000 100000``. The photos are drawn once into
a temporary folder, small and all different, and go when it ends; 100,000 of them and their store
take 6 GB.
"""

import io
import resource
import subprocess
import sys
import tempfile
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import SETTINGS, spent
from stages.common.workers import cores
from stages.prepare.stage import prepare_store

CLASSES = 5


def draw(job: tuple[Path, int]) -> None:
    """Draw a photo of 160 x 120 px that no other number draws."""
    folder, number = job
    blobs = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(blobs).resize((160, 120), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    path = folder / f"class-{number % CLASSES}" / f"{number:06d}.jpg"
    path.write_bytes(stream.getvalue())


def measure(photos: Path, store: Path) -> None:
    """Prepare, and print the time and the memory of this process and of its largest worker."""
    store.mkdir()
    start = spent()
    outcome = prepare_store(photos, SETTINGS, store)
    clock, cpu = spent() - start
    own, worker = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    count = len(outcome.accepted)
    print(
        f"{count:8d} photos {clock:8.1f} s {1000 * clock / count:7.2f} ms a photo, "
        f"{1000 * cpu / count:5.2f} of all cores; memory {own:.0f} MiB, worker {worker:.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Draw ever more photos, and prepare them in a fresh process each time."""
    if sys.argv[1] == "measure":
        measure(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        photos = Path(temporary, "photos")
        for number in range(CLASSES):
            (photos / f"class-{number}").mkdir(parents=True)
        drawn = 0
        for count in sorted(map(int, sys.argv[1:])):
            with Pool(cores()) as pool:
                pool.map(draw, [(photos, number) for number in range(drawn, count)], chunksize=100)
            drawn = count
            store = Path(temporary, f"store {count}")
            arguments = ["measure", str(photos), str(store)]
            subprocess.run(
                [sys.executable, "-m", "benchmarks.prepare_scale", *arguments], check=True
            )
            for file in store.iterdir():
                file.unlink()


if __name__ == "__main__":
    main()
