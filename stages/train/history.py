"""The epochs of a training: metrics/loss.csv, a bar in a terminal, a plain line for each."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Never

import pandas as pd
from tqdm import tqdm

from stages.common.files import write_csv

LOSS_CSV = Path("metrics/loss.csv")


@dataclass(frozen=True)
class Epoch:
    """A row of loss.csv; losses are means per photo."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    """At the epoch's end."""


def best_epoch(history: list[Epoch]) -> Epoch:
    """Return the first epoch of the lowest validation loss.

    Not of the highest accuracy: among a few hundred photos a handful of lucky guesses decides that.
    """
    return min(history, key=lambda epoch: epoch.val_loss)


def write_history(history: list[Epoch], path: Path = LOSS_CSV) -> None:
    """Write all epochs so far, so that the file can be watched while the training runs."""
    table = pd.DataFrame([asdict(epoch) for epoch in history])
    rates = table["learning_rate"].map("{:.6g}".format)
    write_csv(path, table.round(6).assign(learning_rate=rates))


def is_out_of_patience(history: list[Epoch], patience: int) -> bool:
    """Tell whether `patience` epochs have brought no lower validation loss; 0 never runs out."""
    waited = len(history) - best_epoch(history).epoch if history else 0
    return 0 < patience <= waited


def progress_bar(name: str, done: int, n_photos: int) -> "tqdm[Never]":
    """Return a bar that counts photos; without a terminal it shows nothing."""
    return tqdm(
        total=n_photos,
        initial=done,
        desc=name,
        unit=" images",
        ncols=80,
        leave=False,
        disable=not sys.stderr.isatty(),
        bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}, {rate_fmt}, {remaining} left",
    )


EPOCH_HEADER = "   epoch  train_loss  val_loss   val_accuracy  learning_rate  images/s  left"
"""The columns of `show_epoch`: those of loss.csv, the speed of training, and the time left."""


def show_epoch(history: list[Epoch], epochs: int, rate: float, seconds_left: float) -> str:
    """Write the last epoch's row, in 80 columns; the lowest val_loss so far has a star."""
    row = history[-1]
    star = "*" if row is best_epoch(history) else " "
    return (
        f"{f'{row.epoch}/{epochs}':>8}  {row.train_loss:10.3f}  {row.val_loss:8.3f}{star}  "
        f"{row.val_accuracy:12.1%}  {row.learning_rate:13.2g}  {rate:8.0f}  "
        f"{show_duration(seconds_left)}"
    )


def show_duration(seconds: float) -> str:
    """Write a duration for people: ``42 s``, ``7 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
