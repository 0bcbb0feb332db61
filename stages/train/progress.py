"""What a person sees of the training: a bar in a terminal, a plain line per epoch everywhere."""

import sys
from typing import Never

from tqdm import tqdm

from stages.train.history import Epoch, best_epoch


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
