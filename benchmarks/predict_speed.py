"""How fast predict is, against decoding alone and the network alone.

Run it with ``FLOWERBED_PHOTOS=folder python -m benchmarks.predict_speed models``. Every round runs
every contender once, so that a busy machine slows all of them alike; the ratio is a median over
rounds. It is (predict - decoding) / network, so what predict costs beyond decoding. Start-up, which
a call pays once, is given apart.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.timing import spent
from stages.common.classifier import MODELS, PREDICT_BATCH, Classifier, load_classifier, to_input
from stages.common.device import set_deterministic
from tools.predict.output import as_table
from tools.predict.photos import Complaints, read_photo
from tools.predict.predicting import predict_photos

PHOTOS = 1000


def through_predict(classifier: Classifier, paths: list[Path]) -> None:
    """Do what the command does, from files to lines of text."""
    predictions = predict_photos(classifier, paths, 3, Complaints())
    for _ in as_table(predictions, paths, classifier.card.classes):
        pass


@torch.inference_mode()
def bare_network(classifier: Classifier, pixels: npt.NDArray[np.uint8]) -> None:
    """Predict photos that are in memory, each and its mirror image, as a plain loop would."""
    for start in range(0, len(pixels), PREDICT_BATCH):
        images = torch.from_numpy(pixels[start : start + PREDICT_BATCH]).to(classifier.device)
        photos = to_input(images, classifier.card)
        logits = classifier.network(photos), classifier.network(photos.flip(3))
        torch.stack(logits).softmax(dim=2).mean(dim=0).cpu()


def choose(folder: Path) -> list[Path]:
    """Return photos from the whole folder, evenly."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return [paths[i] for i in np.linspace(0, len(paths) - 1, PHOTOS).astype(int)]


def measure(contenders: dict[str, Callable[[], object]], rounds: int) -> npt.NDArray[np.float64]:
    """Return seconds on the clock and of all cores, of shape (rounds, contenders, 2)."""
    found = []
    for _ in range(rounds):
        row = []
        for run in contenders.values():
            start = spent()
            run()
            row.append(spent() - start)
        found.append(row)
    return np.array(found)


def main() -> None:
    """Time all contenders in turn, and print photos a second and the ratio."""
    if "FLOWERBED_PHOTOS" not in os.environ:
        sys.exit("set FLOWERBED_PHOTOS to a folder of JPEGs")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    set_deterministic(torch.get_num_threads())
    start = time.perf_counter()
    classifier = load_classifier(folder, torch.device("cpu"))
    loading = time.perf_counter() - start
    paths = choose(Path(os.environ["FLOWERBED_PHOTOS"]))
    size = classifier.card.image_size_px
    pixels = np.stack([read_photo(path, size) for path in paths])
    contenders: dict[str, Callable[[], object]] = {
        "predict": lambda: through_predict(classifier, paths),
        "decoding": lambda: [read_photo(path, size) for path in paths],
        "network": lambda: bare_network(classifier, pixels),
    }
    times = measure(contenders, rounds)
    print(f"{PHOTOS} photos, {torch.get_num_threads()} threads; the model loads in {loading:.2f} s")
    print(f"{'':10s}{'photos a second':>16s}{'ms a photo':>12s}{'ms of all cores':>17s}")
    for name, (clock, cores) in zip(contenders, np.median(times, axis=0), strict=True):
        per_photo = 1000 / PHOTOS
        print(f"{name:10s}{PHOTOS / clock:16.0f}{per_photo * clock:12.2f}{per_photo * cores:17.2f}")
    ratios = np.median((times[:, 0] - times[:, 1]) / times[:, 2], axis=0)
    print(f"(predict - decoding) / network: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} by cores")


if __name__ == "__main__":
    main()
