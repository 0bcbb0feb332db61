"""The tutorial's CNN and loop, as they are usually written, against ours: docs/measurements.md.

Run it with ``python -m benchmarks.tutorial [seconds]`` after ``dvc repro``: both train on the
photos that data/prepared was made from, with the same split. The tutorial's loop begins no epoch
after so many seconds (240), ours ends where it is as accurate. Both print their accuracy on the
test split after every epoch, and the seconds of training until then. With 0 seconds only ours
trains, to its end.
"""

import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from tqdm import tqdm

from benchmarks.common import describe_machine, new_training
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import Store, open_store
from stages.model.classifier import Classifier
from stages.model.device import choose_device, set_up_torch
from stages.train.checkpoints import Checkpoints, StateDict
from stages.train.stopping import StopRequest
from stages.train.training import Training

BATCH_SIZE = 32
LEARNING_RATE = 0.001

SECONDS = 240


class ReachedError(Exception):
    """The accuracy that was asked for is reached."""


class TutorialCNN(nn.Module):
    """Three convolutions, each followed by 2 x 2 max pooling, and two linear layers; for 128 px."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(128 * 16 * 16, 256)
        self.fc2 = nn.Linear(256, classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, 128, 128) to (B, classes)."""
        x = self.pool(torch.relu(self.conv1(images)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = self.pool(torch.relu(self.conv3(x)))
        x = self.dropout(torch.relu(self.fc1(x.flatten(1))))
        logits: torch.Tensor = self.fc2(x)
        return logits


def folders(photos: Path, splits: pd.DataFrame) -> tuple[Subset[object], Subset[object]]:
    """Return the photos of the train split, augmented, and those of the test split."""
    normalize = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    size = [transforms.Resize((128, 128))]
    augment = [transforms.RandomHorizontalFlip(), transforms.RandomRotation(10)]

    def subset(split: str, steps: list[object]) -> Subset[object]:
        wanted = set(splits.loc[splits["split"] == split, "path"])
        folder = ImageFolder(
            str(photos),
            transforms.Compose(steps),
            is_valid_file=lambda path: Path(path).relative_to(photos).as_posix() in wanted,
        )
        return Subset(folder, range(len(folder)))

    return subset("train", [*size, *augment, *normalize]), subset("test", [*size, *normalize])


def train_tutorial(photos: Path, splits: pd.DataFrame) -> Iterator[tuple[float, float]]:
    """Train as the tutorial does, without an end.

    After every epoch, yield the accuracy on the test split and the seconds of training.
    """
    torch.manual_seed(0)
    train_set, test_set = folders(photos, splits)
    train_loader = DataLoader(train_set, BATCH_SIZE, shuffle=True)
    test_loader = DataLoader(test_set, BATCH_SIZE)
    model = TutorialCNN(splits["class"].nunique())
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    seconds = 0.0
    while True:
        start = time.perf_counter()
        model.train()
        for images, labels in tqdm(train_loader, disable=None, leave=False, ncols=80):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        model.eval()
        with torch.inference_mode():
            correct = sum(
                int((model(images).argmax(1) == labels).sum()) for images, labels in test_loader
            )
        yield correct / len(test_set), seconds


class Watch(Checkpoints):
    """Measures the accuracy on the test split after every epoch, and saves nothing."""

    def __init__(self, training: Training, store: Store, target: float) -> None:
        super().__init__(Path("unused"), {})
        self.training, self.store, self.target = training, store, target
        self.epochs = 0
        self.seconds = 0.0
        """Of training, until the last accuracy was measured."""
        self.measuring_seconds = 0.0

    def save(self, state: StateDict) -> None:
        """Measure, if an epoch has just ended."""
        if len(state["history"]) == self.epochs:
            return
        self.epochs += 1
        self.seconds = state["clock"]["total"] - self.measuring_seconds
        start = time.perf_counter()
        test = self.store.indices("test")
        classifier = Classifier(self.training.state.ema.module, self.training.meta)
        predicted = classifier.probabilities(self.store.images[test]).argmax(axis=1)
        accuracy = float((predicted == self.store.labels[test]).mean())
        show(self.epochs, accuracy, self.seconds)
        if accuracy >= self.target:
            raise ReachedError
        self.measuring_seconds += time.perf_counter() - start


def seconds_until(target: float, params: Params, store: Store) -> float:
    """Train as params.yaml says; return the seconds until an accuracy is reached, or infinity."""
    training = new_training(params, store)
    watch = Watch(training, store, target)
    # In another folder, or it would write this one's metrics/loss.csv.
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        try:
            training.run(watch, StopRequest())
        except ReachedError:
            return watch.seconds
    return math.inf


def show(epoch: int, accuracy: float, seconds: float) -> None:
    """Print an epoch's line."""
    print(f"epoch {epoch:2d}  accuracy {accuracy:6.1%}  {seconds:5.0f} s", flush=True)


def main() -> None:
    """Train both, and print how long each took to the same accuracy."""
    budget = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    params = load_params()
    set_up_torch(params.train.threads)
    print(describe_machine(choose_device(params.train.device, "train.device")))
    store = open_store()
    best, seconds_to_best = 0.0, 0.0
    print("the tutorial's loop:")
    epochs = train_tutorial(Path(params.data.photos), store.manifest)
    for epoch, (accuracy, seconds) in enumerate(epochs if budget else (), start=1):
        show(epoch, accuracy, seconds)
        if accuracy > best:
            best, seconds_to_best = accuracy, seconds
        if seconds > budget:
            break
    print("flowerbed:")
    ours = seconds_until(best or math.inf, params, store)
    if best and math.isinf(ours):
        print(f"to {best:.1%}: {seconds_to_best:.0f} s, ours never reached it")
    elif best:
        ratio = seconds_to_best / ours
        print(
            f"to {best:.1%}: {seconds_to_best:.0f} s, ours {ours:.0f} s ({ratio:.1f} times as fast)"
        )


if __name__ == "__main__":
    main()
