from pathlib import Path

import pandas as pd

from stages.train.history import Epoch, best_epoch, write_history


def test_history_is_rewritten_whole(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    rows = [Epoch(1, 1.23456789, 1.5, 0.25, 0.001), Epoch(2, 1.0, 1.25, 0.5, 1.23456789e-05)]
    write_history(rows[:1], path)
    write_history(rows, path)
    assert path.read_text() == (
        "epoch,train_loss,val_loss,val_accuracy,learning_rate\n"
        "1,1.234568,1.5,0.25,0.001\n"
        "2,1.0,1.25,0.5,1.23457e-05\n"
    )
    assert pd.read_csv(path)["learning_rate"].dtype == float


def test_the_best_epoch_is_the_first_of_the_lowest_validation_loss() -> None:
    luckier, best, equal = (
        Epoch(1, 1.0, 0.5, 0.9, 0.1),
        Epoch(2, 1.0, 0.4, 0.8, 0.1),
        Epoch(3, 0.9, 0.4, 0.8, 0.1),
    )
    assert best_epoch([luckier, best, equal]) is best
