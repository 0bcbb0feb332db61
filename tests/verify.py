"""Run the pipeline three times in fresh clones, once with kills, and compare every output.

Run it with ``make verify``. It takes what is committed, not the working tree. The clones stand at
different paths and share nothing; in the third the trainer is killed three times on its way.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.project import KILL_POINTS, OUTPUTS, Project

KILLS = 3


def clone(folder: Path) -> Project:
    """Clone what is committed here, and remove the results that came with it."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    project = Project(folder)
    project.forget()
    return project


def digests(project: Project) -> dict[str, str]:
    """Return the sha256 of every output."""
    contents = project.outputs().items()
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents}


def main() -> None:
    """Run, compare, print the table; exit with 1 when a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=45, help="from a trainer's start to a kill"
    )
    seconds = parser.parse_args().seconds
    kill = {"KILL_STAGE": "train", "KILL_AFTER": str(seconds)}
    with tempfile.TemporaryDirectory() as temporary:
        runs: list[dict[str, str]] = []
        for number, name in enumerate(["once", "again, at another path", "with kills"], start=1):
            project = clone(Path(temporary, *["deeper"] * number, "flowerbed"))
            kills = 0
            while name == "with kills" and kills < KILLS:
                process = project.start("dvc", "repro", **KILL_POINTS, **kill)
                process.communicate()
                kills += process.returncode != 0
                if process.returncode == 0:
                    sys.exit(f"the training took less than {seconds} s: choose --seconds lower")
            resumed = "resuming at" in project.run("dvc", "repro")
            print(
                f"run {number}, {name}: {'resumed' if resumed else 'not interrupted'}", flush=True
            )
            runs.append(digests(project))
            shutil.rmtree(project.folder)
    for name in OUTPUTS:
        same = len({run[name] for run in runs}) == 1
        print(f"{name:28} {runs[0][name][:16]}  {'the same 3 times' if same else 'DIFFERENT'}")
    if any(run != runs[0] for run in runs):
        sys.exit("the runs differ")


if __name__ == "__main__":
    main()
