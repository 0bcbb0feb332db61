import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def run(body: str) -> subprocess.CompletedProcess[str]:
    code = f"from stages.common.errors import UserError, run_stage\ndef main():\n    {body}\n"
    return subprocess.run(
        [sys.executable, "-c", code + "run_stage(main)"], capture_output=True, text=True
    )


def test_a_users_mistake_is_its_message_alone() -> None:
    result = run("raise UserError('params.yaml: train.lr is wrong')")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "params.yaml: train.lr is wrong\n"


def test_a_bug_keeps_its_traceback() -> None:
    result = run("raise KeyError('oops')")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_an_interrupt_is_no_success() -> None:
    result = run("raise KeyboardInterrupt")
    assert (result.returncode, result.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("module", ["stages.train", "tools.predict"])
def test_ctrl_c_while_pytorch_is_imported_shows_no_traceback(module: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", module]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # In the background of a script, the tests themselves may ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith("torch._utils_internal"):
                process.send_signal(signal.SIGINT)
                break
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == -signal.SIGINT


def test_a_stage_that_returns_is_a_success_and_ends_at_once() -> None:
    code = (
        "import atexit, threading, time\n"
        "from stages.common.errors import run_stage\n"
        "atexit.register(print, 'farewell')\n"
        "threading.Thread(target=time.sleep, args=[60]).start()  # Python would wait for it\n"
        "run_stage(lambda: print('done'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout.split() == ["done", "farewell"]


def test_a_log_that_holds_only_ascii_gets_escapes() -> None:
    code = "from stages.common.errors import run_stage\nrun_stage(lambda: print('gänseblümchen'))"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "g\\xe4nsebl\\xfcmchen\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    code = "from stages.common.errors import run_stage\nrun_stage(lambda: print('much'))"
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 1
    assert result.stderr == "the output cannot be written: No space left on device\n"
