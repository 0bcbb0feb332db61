"""Mutated photos end as pixels or with a reason."""

import subprocess
import sys

from tests.conftest import ROOT


def test_mutated_photos_neither_crash_nor_hang():
    command = [sys.executable, "-m", "tests.prepare.fuzz_photos", "400"]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "400 mutants" in run.stdout
    assert " accepted" in run.stdout
