import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pandas as pd
import pytest

from stages.train.history import Epoch, best_epoch, show_duration, write_history


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


BAR = """
import time
from stages.train.history import progress_bar
with progress_bar("epoch 12/24", done=32, n_photos=384) as bar:
    for _ in range(11):
        time.sleep(0.15)
        bar.update(32)
        bar.set_postfix_str("loss 1.250", refresh=False)
"""


def test_a_terminal_shows_loss_rate_and_time_left_in_80_columns() -> None:
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    process = subprocess.Popen([sys.executable, "-c", BAR], stderr=its)
    os.close(its)
    shown = b""
    with contextlib.suppress(OSError):  # raised when the other side is closed
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert process.wait() == 0
    lines = shown.decode().split("\r")
    assert all(len(line) <= 80 for line in lines)
    assert re.search(r"epoch 12/24 .*loss 1\.250, .* images/s, \d\d:\d\d left", shown.decode())


def test_a_log_file_gets_no_bar() -> None:
    result = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (61, "1 min 01 s"),
        (3599.9, "1 h 00 min"),
        (7860, "2 h 11 min"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text
