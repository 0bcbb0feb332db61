"""The Makefile's promises to somebody whose machine lacks something."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "GIT_"))}
    environment["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def pretend_ready(folder: Path) -> None:
    (folder / ".venv").mkdir()
    (folder / ".venv/.ready").touch()


def test_help_lists_every_target(folder: Path) -> None:
    printed = make(folder).stdout
    for target in ("setup", "repro", "test", "check"):
        assert f"make {target} " in printed


def test_a_missing_python_is_one_clear_line(folder: Path) -> None:
    result = make(folder, "setup", "PYTHON=python-that-is-not-there")
    assert result.returncode != 0
    line = result.stderr.splitlines()[0]
    assert line.startswith("python-that-is-not-there not found: install Python 3.11 or newer")
    assert not (folder / ".venv").exists()


def test_a_too_old_python_is_one_clear_line(folder: Path) -> None:
    old = script(folder / "old", '[ "$1" = --version ] && echo Python 3.8.10\nexit 1')
    result = make(folder, "setup", f"PYTHON={old}")
    assert result.returncode != 0
    line = result.stderr.splitlines()[0]
    assert line == (
        f"{old} is Python 3.8.10, but Python 3.11 or newer is needed: "
        "make PYTHON=/path/to/python3 ..."
    )
    assert not (folder / ".venv").exists()


def test_a_folder_outside_git_is_one_clear_line(folder: Path) -> None:
    pretend_ready(folder)
    result = make(folder, "repro")
    assert result.returncode != 0
    assert result.stderr.splitlines()[0].startswith(f"{folder} is not in a Git repository")


def test_a_ready_environment_is_not_made_again(folder: Path) -> None:
    pretend_ready(folder)
    result = make(folder, "setup", "PYTHON=python-that-is-not-there")
    assert result.returncode == 0


def test_a_changed_lock_makes_the_environment_anew(folder: Path) -> None:
    pretend_ready(folder)
    os.utime(folder / ".venv/.ready", (0, 0))
    log = folder / "log"
    python = script(folder / "python", f'echo "$@" >> {log}\n[ "$1" = -m ] && exit 3\nexit 0')
    assert make(folder, "setup", f"PYTHON={python}").returncode != 0
    assert "-m venv .venv" in log.read_text()
    assert not (folder / ".venv/.ready").exists()


def test_a_lock_of_the_same_content_makes_no_new_environment(folder: Path) -> None:
    pretend_ready(folder)
    shutil.copy(folder / "requirements.lock", folder / ".venv/requirements.lock")
    (folder / ".venv/kept").touch()
    os.utime(folder / "requirements.lock")  # as a checkout does
    os.utime(folder / ".venv/.ready", (1, 1))
    assert make(folder, "setup", "PYTHON=python-that-is-not-there").returncode == 0
    assert (folder / ".venv/kept").exists()
    (folder / "requirements.lock").write_text("other")
    assert make(folder, "setup", "PYTHON=python-that-is-not-there").returncode != 0


def wheel(folder: Path, name: str, version: str, *metadata: str) -> str:
    """Write a wheel without files, and return its line in a lock."""
    about = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
        archive.writestr(f"{about}/METADATA", "\n".join((*head, *metadata)) + "\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}=={version} --hash=sha256:{digest}\n"


def test_a_lock_holds_when_a_newer_release_appears(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    needed = wheel(folder, "measured", "1.0", "Provides-Extra: plain")
    user = wheel(folder, "measuring", "1.0", "Requires-Dist: measured[plain]>=1")
    wheel(folder, "measured", "2.0", "Provides-Extra: plain")
    (folder / "requirements.lock").write_text(needed + user)
    result = make(folder, "setup")
    assert result.returncode == 0, result.stderr
    installed = (folder / ".venv").glob("lib/*/site-packages/meas*.dist-info")
    assert sorted(path.stem for path in installed) == ["measured-1.0", "measuring-1.0"]

    (folder / "requirements.lock").write_text(user)
    incomplete = make(folder, "setup")
    assert incomplete.returncode != 0
    assert "measuring 1.0 requires measured, which is not installed" in incomplete.stdout
    assert not (folder / ".venv/.ready").exists()
