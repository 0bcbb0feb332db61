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
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "GIT_", "TORCH"))
    }
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


def offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip and uv find the folder's wheels, and nothing else."""
    for name, value in (("PIP_NO_INDEX", "1"), ("UV_OFFLINE", "1")):
        monkeypatch.setenv(name, value)
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(name, str(folder))


def stand_in_for_uv(folder: Path, monkeypatch: pytest.MonkeyPatch, locks: str) -> Path:
    """Put a uv first that notes how it is called, and for a lock does what `locks` says."""
    (folder / "bin").mkdir()
    body = f'echo "$@" >> {folder}/asked\ncase "$*" in *--requirement*) {locks};; esac'
    script(folder / "bin/uv", body)
    monkeypatch.setenv("PATH", f"{folder}/bin{os.pathsep}{os.environ['PATH']}")
    return folder / "asked"


def test_uv_installs_where_there_is_one(extras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in_for_uv(extras, monkeypatch, "exit 0")
    assert make(extras, "setup", "EXTRAS=s3").returncode == 0
    how = "pip install --python .venv --compile-bytecode --quiet --no-deps --require-hashes"
    assert asked.read_text() == "".join(
        f"{how} --requirement requirements{lock}.lock\n" for lock in ("", "/s3")
    )
    assert installed(extras) == []


def test_pip_installs_what_uv_does_not_find(extras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_uv(extras, monkeypatch, "echo no such index >&2; exit 2")
    result = make(extras, "setup")
    assert result.returncode == 0
    assert "no such index\nuv failed; pip tries\n" in result.stderr
    assert installed(extras) == ["base-1.0"]


@pytest.mark.parametrize("by", ["uv", "pip"])
def test_a_wrong_hash_is_refused(extras: Path, by: str) -> None:
    if by == "uv" and not shutil.which("uv"):
        pytest.skip("needs uv")
    (extras / "requirements.lock").write_text(f"base==1.0 --hash=sha256:{'0' * 64}\n")
    assert make(extras, "setup", *(["BY_UV="] if by == "pip" else [])).returncode != 0
    assert installed(extras) == []


def test_a_lock_holds_when_a_newer_release_appears(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(folder, monkeypatch)
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


@pytest.fixture
def extras(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of empty wheels: a base, and an extra each for s3 and ssh."""
    offline(folder, monkeypatch)
    (folder / "requirements.lock").write_text(wheel(folder, "base", "1.0"))
    for name in ("s3", "ssh"):
        lock = folder / "requirements" / f"{name}.lock"
        lock.write_text(wheel(folder, f"dvc_{name}", "1.0", "Requires-Dist: base"))
    return folder


def installed(folder: Path) -> list[str]:
    paths = (folder / ".venv").glob("lib/*/site-packages/*.dist-info")
    return sorted(path.stem for path in paths if path.stem.startswith(("base", "dvc", "torch")))


def test_extras_are_added_and_stay(extras: Path) -> None:
    assert make(extras, "setup").returncode == 0
    assert installed(extras) == ["base-1.0"]
    (extras / ".venv/kept").touch()
    assert make(extras, "setup", "EXTRAS=s3").returncode == 0
    assert make(extras, "setup", "EXTRAS=ssh").returncode == 0
    assert installed(extras) == ["base-1.0", "dvc_s3-1.0", "dvc_ssh-1.0"]
    assert (extras / ".venv/kept").exists()
    assert "Nothing to be done" in make(extras, "setup").stdout

    (extras / "requirements.lock").write_text("nowhere==1.0 --hash=sha256:00\n")
    assert make(extras, "setup").returncode != 0  # in the middle of making it anew
    (extras / "requirements.lock").write_text(wheel(extras, "base", "2.0"))
    result = make(extras, "setup")
    assert result.returncode == 0, result.stderr
    assert installed(extras) == ["base-2.0", "dvc_s3-1.0", "dvc_ssh-1.0"]
    assert not (extras / ".venv/kept").exists()


def test_an_unknown_extra_is_one_clear_line(extras: Path) -> None:
    result = make(extras, "setup", "EXTRAS=s3,ssh")
    assert result.returncode != 0
    assert "EXTRAS has s3,ssh, but only these are known, with spaces between: " in result.stderr
    assert not (extras / ".venv").exists()


def test_without_cuda_all_but_pytorch_is_checked_against_its_hash(
    extras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = "".join(
        f"{name}==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
        for name in ("cuda-toolkit", "nvidia-nvtx", "torch", "torchvision", "triton")
    )
    lock = extras / "requirements.lock"
    lock.write_text(gpu + lock.read_text())
    asked = stand_in_for_uv(extras, monkeypatch, "exit 1")
    result = make(extras, "setup", "TORCH=cpu")
    assert result.returncode == 0, result.stderr
    installs = "--compile-bytecode --python .venv --torch-backend cpu --no-deps torch==1.0 torch"
    assert installs in asked.read_text()
    assert installed(extras) == ["base-1.0"]


def test_without_uv_the_environment_stays(extras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_ready(extras)
    (extras / ".venv/kept").touch()
    os.utime(extras / ".venv/.ready", (0, 0))
    (extras / "bin").mkdir()
    for name in ("sh", "make", "cmp", "python3", "sed", "basename"):
        (extras / "bin" / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(extras / "bin"))
    result = make(extras, "setup", "TORCH=cpu")
    assert result.returncode != 0
    assert "TORCH=cpu needs uv, which is not found" in result.stderr
    assert (extras / ".venv/kept").exists()


def test_the_extras_locks_agree_with_each_other_and_with_the_base() -> None:
    pins: dict[str, str] = {}
    for lock in (ROOT / "requirements.lock", *(ROOT / "requirements").glob("*.lock")):
        for line in lock.read_text().splitlines():
            if "==" in line and line[0].isalnum():
                name, version = line.split(" ")[0].split("==")
                assert pins.setdefault(name, version) == version or lock.parent == ROOT, lock
