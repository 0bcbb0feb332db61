"""Training photos as the network saw them, metrics/augmented.png.

Training itself draws nothing, or restyling this picture would train again. What happened to each
photo in each epoch follows from the seed, so it can be had at any time.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from stages.common.errors import UserError
from stages.common.schema import Train
from stages.common.store import Store
from stages.drawing import PER_ROW, Section, Tile, draw
from stages.model.classifier import ModelMeta
from stages.train.augment import Augmentation
from stages.train.schedule import image_sizes

LOSS_CSV = Path("metrics/loss.csv")
PHOTOS = 5
TITLE = "Training photos as the network saw them"

Pixels = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


def draw_augmented(store: Store, meta: ModelMeta, params: Train, epochs: int) -> Image.Image:
    """Draw a row per photo: as it is in the store, then in epochs from the first to the last.

    `epochs` is how many were trained: fewer than ``train.epochs`` if the training ended early.
    """
    split = store.indices("train")
    chosen = choose(store.labels[split])
    sizes = image_sizes(params.first_image_size_px, meta.input_size_px, params.epochs)
    columns: dict[tuple[str, ...], list[Pixels]] = {
        ("as stored",): list(store.images[split[chosen]])
    }
    for epoch in spread(epochs, PER_ROW - 1):
        size = sizes[epoch - 1]
        augment = Augmentation(params, meta, len(split), epoch, size)
        seen = augment(torch.from_numpy(store.images[split[chosen]]), torch.from_numpy(chosen))
        columns[f"epoch {epoch}", f"{size} px"] = list(to_bytes(seen, meta))
    pictures = [column[row] for row in range(len(chosen)) for column in columns.values()]
    names = store.manifest["class"].iloc[split[chosen]]
    rows = [
        Section(name, [Tile(row * len(columns) + i, lines) for i, lines in enumerate(columns)])
        for row, name in enumerate(names)
    ]
    return draw([Section(TITLE, []), *rows], pictures.__getitem__)


def count_epochs(most: int, path: Path = LOSS_CSV) -> int:
    """Return how many epochs were trained, at most so many, by train's record of them."""
    try:
        epochs = pd.read_csv(path)["epoch"].tolist()
        if epochs not in ([0], [*range(1, len(epochs) + 1)]) or len(epochs) > max(most, 1):
            raise ValueError
    except (OSError, ValueError, KeyError) as error:
        reason = (
            "not found" if isinstance(error, FileNotFoundError) else "is not a record of epochs"
        )
        raise UserError(f"{path}: {reason}; train again with `dvc repro --force train`") from error
    return 0 if epochs == [0] else len(epochs)  # a linear probe is row 0


def choose(labels: npt.NDArray[np.int64]) -> Positions:
    """Return the positions of a few photos: the first of each class, then the second ones, ..."""
    order = np.argsort(labels, kind="stable")
    turn = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return order[np.argsort(turn, kind="stable")][:PHOTOS]


def spread(epochs: int, count: int) -> list[int]:
    """Return at most `count` epochs, evenly spread from the first to the last."""
    return sorted(
        {round(epoch) for epoch in np.linspace(1, epochs, count)} & {*range(1, epochs + 1)}
    )


def to_bytes(photos: Tensor, meta: ModelMeta) -> Pixels:
    """Turn what a network sees, (B, 3, H, W), back into colors, uint8 of shape (B, H, W, 3)."""
    values = photos.permute(0, 2, 3, 1) * torch.tensor(meta.std) + torch.tensor(meta.mean)
    return (values * 255).round().clamp(0, 255).to(torch.uint8).numpy()
