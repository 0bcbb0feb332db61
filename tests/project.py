"""A small copy of the project in a Git repository of its own, for tests of the whole chain."""

import atexit
import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import PARAMS, ROOT, change_params

OUTPUTS = [
    "data/test_probabilities.csv",
    "dvc.lock",
    "metrics/calibration.csv",
    "metrics/coverage.csv",
    "metrics/evaluation.json",
    "metrics/loss.csv",
    "metrics/predictions.csv",
    "metrics/prepare.json",
    "models/README.md",
    "models/calibration.json",
    "models/model.json",
    "models/model.safetensors",
]
"""What the stages write, but for pictures and the photos themselves."""

KILL_POINTS = {"PYTHONPATH": str(ROOT / "tests/kill_points")}
"""Lets KILL_STAGE, KILL_AT and KILL_SIGNAL strike a stage; see kill_points/sitecustomize.py."""


@functools.cache
def warm_programs() -> list[str]:
    """Start warm/server.py; return the folder of a `python` and a `dvc` that it runs, in a list.

    The list is empty where it cannot be: macOS does not bear such forks, coverage does not see
    them, and what kills after some seconds counts them from a cold start.
    """
    names = set(os.environ)
    covered = any(name.startswith("COVERAGE_") for name in names)
    if sys.platform != "linux" or covered or "PYTEST_VERSION" not in names:
        return []
    folder, here = Path(tempfile.mkdtemp(prefix="warm-")), ROOT / "tests/warm"
    server = subprocess.Popen(
        [sys.executable, here / "server.py", folder / "socket"], stdin=subprocess.PIPE
    )
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.communicate)  # which ends its standard input, and so the server
    client = shlex.join(map(str, (sys.executable, "-SI", here / "client.py", folder / "socket")))
    for name, words in (("python", ""), ("dvc", "-m dvc ")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {client} {shlex.quote(sys.executable)} {words}"$@"\n')
        program.chmod(0o755)
    while not (folder / "socket").exists():
        assert server.poll() is None
        time.sleep(0.01)
    return [str(folder)]


class Project:
    """A copy of the project that runs commands as a user would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.extra: dict[str, str] = {}
        """Environment variables of every command."""

    def run(self, *command: str, code: int = 0, **extra: str) -> str:
        """Run a command, check its exit code, return what it printed.

        DVC, stages and tools are forks of a warm server, with its hash seed and time zone; what
        `start` starts, and what has `PATH=project.path()`, starts by itself.
        """
        if command[0] == sys.executable:
            command = ("python", *command[1:])
        path = os.pathsep.join([*warm_programs(), self.path()])
        process = self.start(*command, **{"PATH": path, **extra})
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == code, f"{' '.join(command)}: {process.returncode}\n{printed}"
        return printed

    def start(self, *command: str, **extra: str) -> "subprocess.Popen[str]":
        """Start a command, with environment variables beside the usual ones."""
        identity = {
            f"GIT_{who}_{what}": "tester@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **identity, "PATH": self.path(), **self.extra, **extra},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def path(self) -> str:
        """Return a PATH that starts with the programs of this environment."""
        return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def stages_run(self, *command: str) -> list[str]:
        """Run a command; return the stages whose commands DVC started."""
        printed = self.run(*command)
        return [line.split("'")[1] for line in printed.splitlines() if "Running stage" in line]

    def set(self, section: str, key: str, value: object) -> None:
        change_params(self.folder / "params.yaml", {section: {key: value}})

    def outputs(self) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for name in OUTPUTS}

    def everything(self) -> dict[str, bytes]:
        """Return every file that is not Git's, DVC's or the trainer's own, so leftovers too."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        names = {path.relative_to(self.folder).as_posix(): path for path in files}
        own = (".git/", ".dvc/cache/", ".dvc/tmp/", ".train_state/")
        return {
            name: path.read_bytes()
            for name, path in names.items()
            if not name.startswith(own) and "__pycache__" not in name
        }

    def forget_from(self, stage: str) -> None:
        """Make DVC forget its runs of a stage and of those after it, and the trainer its own."""
        shutil.rmtree(self.folder / ".dvc/cache/runs")
        shutil.rmtree(self.folder / ".train_state", ignore_errors=True)
        lock = self.folder / "dvc.lock"
        content = yaml.safe_load(lock.read_text())
        stages = ["prepare", "train", "evaluate"]
        for name in stages[stages.index(stage) :]:
            del content["stages"][name]
        lock.write_text(yaml.safe_dump(content, sort_keys=False))

    def forget(self) -> None:
        """Remove all that stages and DVC have made."""
        for name in ("data/demo", "data/prepared", "models", "metrics", ".train_state"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("dvc.lock", "data/.demo.json", "data/test_probabilities.csv"):
            (self.folder / name).unlink(missing_ok=True)

    def copy(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)


def make_project(folder: Path, changes: dict[str, dict[str, Any]]) -> Project:
    """Copy the project without its results, with some parameters changed; not run yet."""
    project = Project(folder)
    (folder / "data").mkdir(parents=True)
    for name in ("stages", "tools", "garden"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitattributes", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(PARAMS, folder)
    shutil.copy(ROOT / "data/.gitignore", folder / "data")
    (folder / "data/weights").mkdir()
    for name in ("none", "DEFAULT"):
        shutil.copy(ROOT / "data/weights" / name, folder / "data/weights")
    change_params(folder / "params.yaml", changes)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    return project
