"""The tutorial's CNN and loop, as they are usually written, against flowerbed's.

Run it with ``python -m benchmarks.tutorial [seconds]`` after ``dvc repro``; docs/measurements.md
has the figures. Both train on the photos that data/prepared was made from, with the same split, and
print their accuracy on the test split after every epoch, with the seconds of training until then.
The tutorial's loop begins no epoch after so many seconds (240); flowerbed's ends where it is as
accurate. With 0 seconds only flowerbed trains, to its last epoch.
"""

import argparse
import math
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from tqdm import tqdm

from benchmarks.common import (
    describe_machine,
    epoch_augmentation,
    new_training,
    photos_folder,
    seconds,
    test_accuracy,
    train_on,
)
from stages.common.errors import run_stage
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import Split, Store, open_store
from stages.model.classifier import Classifier
from stages.model.device import choose_device, set_up_torch
from stages.train.training import Training

BATCH_SIZE = 32
LEARNING_RATE = 0.001


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


def open_split(params: Params, store: Store, split: Split, *steps: object) -> ImageFolder:
    """Open the photos of a split, scaled, then transformed by some steps, then normalized."""
    photos, manifest = photos_folder(params), store.manifest
    wanted = {photos / path for path in manifest.loc[manifest["split"] == split, "path"]}
    normalize = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    transform = transforms.Compose([transforms.Resize((128, 128)), *steps, *normalize])
    return ImageFolder(str(photos), transform, is_valid_file=lambda path: Path(path) in wanted)


def train_tutorial(params: Params, store: Store) -> Iterator[tuple[float, float]]:
    """Train as the tutorial does, without an end.

    After every epoch, yield the accuracy on the test split and the seconds of training so far.
    """
    torch.manual_seed(0)
    augment = transforms.RandomHorizontalFlip(), transforms.RandomRotation(10)
    train_set = open_split(params, store, "train", *augment)
    test_set = open_split(params, store, "test")
    train_loader = DataLoader(train_set, BATCH_SIZE, shuffle=True)
    test_loader = DataLoader(test_set, BATCH_SIZE)
    model = TutorialCNN(len(store.meta.classes))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    spent = 0.0
    while True:
        start = time.perf_counter()
        model.train()
        for images, labels in tqdm(train_loader, disable=None, leave=False, ncols=80):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        spent += time.perf_counter() - start
        model.eval()
        with torch.inference_mode():
            correct = sum(
                int((model(images).argmax(1) == labels).sum()) for images, labels in test_loader
            )
        yield correct / len(test_set), spent


def train_flowerbed(training: Training, store: Store) -> Iterator[tuple[float, float]]:
    """Train to the last epoch, and yield the same; here the seconds include the validation."""
    classifier = Classifier(training.state.ema.module, training.meta)
    spent = 0.0
    for epoch in range(1, training.params.epochs + 1):
        spent += seconds(partial(train_epoch, training, epoch), training.world.device)
        yield test_accuracy(classifier, store), spent


def train_epoch(training: Training, epoch: int) -> None:
    """Train for an epoch, from 1, and validate."""
    augment = epoch_augmentation(training, epoch, training.sizes_px[epoch - 1])
    train_on(training, training.epoch_batches(epoch), augment, epoch)
    training.validate()


def follow(
    epochs: Iterable[tuple[float, float]], budget: float, target: float
) -> tuple[float, float]:
    """Print every epoch, until the seconds are over or the accuracy is reached.

    Return the best accuracy, and the seconds of training until then.
    """
    best, seconds_to_best = 0.0, 0.0
    for epoch, (accuracy, spent) in enumerate(epochs, start=1):
        print(f"epoch {epoch:2d}  accuracy {accuracy:6.1%}  {spent:5.0f} s", flush=True)
        if accuracy > best:
            best, seconds_to_best = accuracy, spent
        if spent > budget or best >= target:
            break
    return best, seconds_to_best


def main() -> None:
    """Train both, and print how long each took to the same accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=240, help="for the tutorial: 240")
    budget = parser.parse_args().seconds
    params, store = load_params(), open_store()
    set_up_torch(params.train.threads)
    print(describe_machine(choose_device(params.train.device, "train.device")))
    training = new_training(params, store)
    target = math.inf
    if budget:
        print("the tutorial's loop:")
        target, tutorial_seconds = follow(train_tutorial(params, store), budget, target=1)
    print("flowerbed:")
    best, spent = follow(train_flowerbed(training, store), math.inf, target)
    if best >= target > 0:
        print(
            f"to {target:.1%}: the tutorial {tutorial_seconds:.0f} s, flowerbed {spent:.0f} s "
            f"({tutorial_seconds / spent:.1f} times as fast)"
        )
    elif budget:
        print(f"to {target:.1%}: the tutorial {tutorial_seconds:.0f} s, flowerbed never")


if __name__ == "__main__":
    run_stage(main)
