import os
import signal
import subprocess
import sys

import pytest

from stages.train.stopping import Stopped, StopRequest

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


def test_a_stop_has_the_exit_code_of_its_signal(capsys: pytest.CaptureFixture[str]) -> None:
    StopRequest().leave_if_asked("epoch 1, batch 2")
    stop = StopRequest()
    stop.signal_number = signal.SIGTERM
    with pytest.raises(Stopped) as stopped:
        stop.leave_if_asked("epoch 1, batch 2")
    assert stopped.value.code == 143
    assert capsys.readouterr().err == (
        "stopped by SIGTERM at epoch 1, batch 2; saved: the same command resumes from here\n"
    )


TRAINER = """
import time
from stages.train.stopping import StopRequest
stop = StopRequest()
print("ready", flush=True)
for _ in range(60):
    if stop.is_asked:
        print(stop.signal_number, flush=True)
        break
    time.sleep(0.05)
else:
    print("never told", flush=True)
"""


@pytest.mark.parametrize(("stage", "expected"), [("train", "15\n"), (None, "never told\n")])
def test_the_end_of_dvc_alone_is_noticed(
    stage: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that ends, on the other hand, may have left the training running on purpose."""
    monkeypatch.delenv("DVC_STAGE", raising=False)
    if stage:
        monkeypatch.setenv("DVC_STAGE", stage)
    reading, writing = os.pipe()
    child = f"{sys.executable} -c '{TRAINER}' & read line"
    parent = subprocess.Popen(["sh", "-c", child], stdin=subprocess.PIPE, stdout=writing)
    os.close(writing)
    with os.fdopen(reading) as printed:
        assert printed.readline() == "ready\n"
        parent.kill()
        parent.wait()
        assert printed.readline() == expected
