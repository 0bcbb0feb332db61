"""The per-epoch record of a training, metrics/loss.csv."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

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
