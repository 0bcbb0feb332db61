import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stages.train.saving import Saver
from stages.train.stopping import Stopped, StopRequest
from stages.train.vault import Vault

WAITING = """
import time
from stages.train.stopping import StopRequest
StopRequest().listen()
print("listening", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_leaves_at_once(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(number)
        assert process.wait(10) == code


def test_a_stop_saves_first_and_leaves_with_the_code_of_the_signal(tmp_path: Path) -> None:
    vault, stop = Vault(tmp_path, {}), StopRequest()
    saver = Saver(vault, every_seconds=1000, stop=stop)
    assert not saver.is_due()
    stop.signal_number = signal.SIGTERM
    assert saver.is_due()
    with pytest.raises(Stopped) as stopped:
        saver.save({"step": 7})
    assert stopped.value.exit_code == 143
    assert vault.load() == {"step": 7}


def test_a_save_is_due_when_its_time_has_come(tmp_path: Path) -> None:
    assert Saver(Vault(tmp_path, {}), every_seconds=0, stop=StopRequest()).is_due()
