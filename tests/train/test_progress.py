import contextlib
import os
import pty
import re
import subprocess
import sys
import termios

import pytest

from stages.train.progress import show_duration

BAR = """
import time
from stages.train.progress import progress_bar
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
