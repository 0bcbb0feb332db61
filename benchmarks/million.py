"""What a million photos cost: time, memory, and how the time grows, for all that sees every photo.

``python -m benchmarks.million [1000000] [task ...]`` simulates a tenth, a third and all of so many
photos, on tables alone. Their looks are mixed from those of the photos in data/prepared, and one in
a hundred is a copy of another with up to eight other bits. `prepare_a_tenth` alone has files: a
tenth as many drawn photos, 6 GB for 100,000. Each figure is of a process of its own, less what the
simulation takes. docs/measurements.md has the figures.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from stages.common.errors import run_stage
from stages.common.files import write_csv
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import open_store
from stages.prepare.array import ArrayFile
from stages.prepare.duplicates import group_near_duplicates, list_alike
from stages.prepare.labels import read_labels
from stages.prepare.perceptual_hash import perceptual_hash
from stages.prepare.split import assign_splits
from stages.prepare.stage import DIGITS, prepare_store
from stages.prepare.writing import write_store
from stages.train.augment import draw_augmentation
from stages.train.schedule import draw_order
from tools.crossval.pool import Pool
from tools.crossval.suspects import find_suspects
from tools.report.data import compare_photos

CLASSES = np.array([f"class {number:03}" for number in range(100)])
SIDE = 4
COPIED = 100
"""One photo in so many is a copy."""

Work = Callable[[], object]


def hash_store() -> npt.NDArray[np.uint64]:
    """Return the hashes of the photos in data/prepared."""
    return np.array(
        [perceptual_hash(Image.fromarray(image)) for image in open_store().images], np.uint64
    )


def mix(real: npt.NDArray[np.uint64], photos: int) -> npt.NDArray[np.uint64]:
    """Put each photo's hash together from four parts of real ones, and plant the copies."""
    random = np.random.default_rng(0)
    parts = [np.uint64(0xFFFF << shift) for shift in (0, 16, 32, 48)]
    mixed: npt.NDArray[np.uint64] = np.bitwise_or.reduce(
        [random.choice(real, photos) & part for part in parts]
    )
    copies = photos // COPIED
    flips = np.uint64(1) << random.integers(0, 64, (copies, 8), dtype=np.uint64)
    mixed[:copies] = mixed[copies : 2 * copies] ^ np.bitwise_or.reduce(flips, axis=1)
    return mixed


def simulate(photos: int, hashes: npt.NDArray[np.uint64]) -> pd.DataFrame:
    """Return what prepare knows of photos once they are decoded."""
    random = np.random.default_rng(1)
    keys = [f"{number:064x}" for number in random.permutation(photos)]
    table = pd.DataFrame({"class": CLASSES[np.arange(photos) % len(CLASSES)], "sha256": keys})
    copies = photos // COPIED
    table.loc[: copies - 1, "class"] = table["class"][copies : 2 * copies].array
    table["path"] = table["class"] + "/" + table["sha256"].str[-12:] + ".jpg"
    means = random.integers(60, 200, (photos, 3))
    means[:copies] = means[copies : 2 * copies]
    return table.assign(
        number=np.arange(photos),
        perceptual_hash=mix(hashes, photos),
        content_key=keys,
        group=keys,
        split=np.array(["test", "validation", *["train"] * 8])[np.arange(photos) // 200 % 10],
        sums=pd.Series((means * SIDE**2).tolist()),
        squares=pd.Series(((means**2 + 1600) * SIDE**2).tolist()),
        **dict.fromkeys(("given", "source", "reason"), ""),
        **{"width": 320, "height": 240},
    )


def duplicates(photos: pd.DataFrame, params: Params) -> Work:
    """Find the look-alikes, the planted ones among them, and list them."""
    prepare = params.prepare.model_copy(update={"image_size_px": SIDE})
    copies = len(photos) // COPIED

    def find() -> None:
        found = group_near_duplicates(photos, prepare)
        groups = found["group"].to_numpy()
        assert (groups[:copies] == groups[copies : 2 * copies]).all()
        list_alike(found)

    return find


def prepare_a_tenth(photos: pd.DataFrame, params: Params) -> Work:
    """Prepare drawn photos of 160 x 120 px, a tenth as many; the memory is the main process's."""
    for number, path in enumerate(photos["path"].iloc[::10]):
        blobs = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        file = Path("photos", path)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blobs).resize((160, 120), Image.Resampling.BICUBIC).save(file)
    Path("store").mkdir()
    return lambda: prepare_store(Path("photos"), params.prepare, Path("store"))


def split(photos: pd.DataFrame, params: Params) -> Work:
    """Assign the splits."""
    return lambda: assign_splits(photos, params.prepare)


def labels(photos: pd.DataFrame, params: Params) -> Work:
    """Read labels.csv."""
    content = photos[["path", "class"]].set_axis(["path", "label"], axis=1).to_csv(index=False)
    names = set(photos["path"])
    return lambda: read_labels(content.encode(), "", names)


def write(photos: pd.DataFrame, params: Params) -> Work:
    """Write the store's tables, metrics/photos.csv and images of 4 px."""
    array = ArrayFile(Path("images.npy"), SIDE)
    array.reserve(len(photos))
    rejected = pd.DataFrame(columns=["path", "reason", "detail"])

    def write_all() -> None:
        write_store(Path(), array, photos, rejected, rejected.assign(number=0), params.prepare)
        taken = photos[["path", "class", "split"]].assign(sha256=photos["sha256"].str[:DIGITS])
        write_csv(Path("photos.csv"), taken.sort_values(["sha256", "path"]))

    return write_all


def read(photos: pd.DataFrame, params: Params) -> Work:
    """Open the store, as train and evaluate do."""
    write(photos, params)()
    return lambda: open_store(Path())


def epoch(photos: pd.DataFrame, params: Params) -> Work:
    """Draw an epoch's order and augmentation."""

    def draw() -> None:
        draw_order(0, 1, len(photos))
        draw_augmentation(params.train, 1, len(photos))

    return draw


def report(photos: pd.DataFrame, params: Params) -> Work:
    """Compare two data sets, of which one in a hundred photos was relabeled."""
    after = photos[["path", "class", "split", "sha256"]].copy()
    after.loc[::COPIED, "class"] = CLASSES[0]
    return lambda: compare_photos(photos[after.columns], after)


def crossval(photos: pd.DataFrame, params: Params) -> Work:
    """Find the doubtful labels of pooled folds, of ten classes."""
    probabilities = np.random.default_rng(0).dirichlet(np.full(10, 0.1), len(photos))
    pool = Pool(
        photos[["path"]].assign(fold=0),
        CLASSES[:10].tolist(),
        np.arange(len(photos)) % 10,
        probabilities,
    )
    return lambda: find_suspects(pool)


TASKS = (prepare_a_tenth, duplicates, split, labels, write, read, epoch, report, crossval)


def measure(
    task: Callable[[pd.DataFrame, Params], Work], photos: int, hashes: npt.NDArray[np.uint64]
) -> tuple[float, float]:
    """Return the seconds of a task, and by how many MB it raised this process's memory."""
    params = load_params()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        work = task(simulate(photos, hashes), params)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew; Linux only
        before, start = peak_mb(), time.perf_counter()
        work()
        seconds = time.perf_counter() - start
    return seconds, peak_mb() - before


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def main() -> None:
    """Print a row for each task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    tasks = {task.__name__: task for task in TASKS}
    parser.add_argument("photos", nargs="?", type=int, default=1_000_000)
    parser.add_argument("tasks", nargs="*", help=f"of {', '.join(tasks)}; all of them if none")
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(tasks):
        parser.error(f"{', '.join(unknown)}: no such task; there are {', '.join(tasks)}")
    sizes = [options.photos // 10, options.photos // 3, options.photos]
    hashes = hash_store()
    print(f"{'photos':15}" + "".join(f"{size:>22,}" for size in sizes) + "   time grows as")
    for name in options.tasks or tasks:
        row = f"{name:15}"
        times = []
        for size in sizes:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                seconds, megabytes = process.submit(measure, tasks[name], size, hashes).result()
            times.append(seconds)
            row += f"{seconds:12.1f} s {megabytes:6.0f} MB"
        power = math.log(times[2] / times[1]) / math.log(sizes[2] / sizes[1])
        print(f"{row}   n^{power:.2f}", flush=True)


if __name__ == "__main__":
    run_stage(main)
