"""The tutorial's CNN and loop, kept as it is usually written, to compare ours with.

Run it with ``python -m benchmarks.tutorial [epochs]`` after ``dvc repro``: it trains on the photos
that data/prepared was made from, split as they are there, and prints the accuracy on the test split
after every epoch.
"""

import sys
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

from stages.common.params import load_params
from stages.common.store import open_store

BATCH_SIZE = 32
LEARNING_RATE = 0.001


class TutorialCNN(nn.Module):
    """Three convolutions, each halved by a pooling, and two linear layers; for 128 px."""

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
    normalise = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
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

    return subset("train", [*size, *augment, *normalise]), subset("test", [*size, *normalise])


def train_tutorial(photos: Path, splits: pd.DataFrame, epochs: int) -> Iterator[float]:
    """Train as the tutorial does; yield the accuracy on the test split after every epoch."""
    torch.manual_seed(0)
    train_set, test_set = folders(photos, splits)
    train_loader = DataLoader(train_set, BATCH_SIZE, shuffle=True)
    test_loader = DataLoader(test_set, BATCH_SIZE)
    model = TutorialCNN(splits["class"].nunique())
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        model.train()
        for images, labels in tqdm(train_loader, disable=None, leave=False, ncols=80):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            correct = sum(
                int((model(images).argmax(1) == labels).sum()) for images, labels in test_loader
            )
        yield correct / len(test_set)


def main() -> None:
    """Train on the photos that the store was made from."""
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    params = load_params()
    torch.set_num_threads(params.train.threads)
    store = open_store()
    start = time.perf_counter()
    accuracies = train_tutorial(Path(params.data.photos), store.manifest, epochs)
    for epoch, accuracy in enumerate(accuracies, start=1):
        print(f"epoch {epoch:2d}  accuracy {accuracy:6.1%}  {time.perf_counter() - start:5.0f} s")


if __name__ == "__main__":
    main()
