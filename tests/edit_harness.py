"""Edit what a stage reads while it runs, again and again: dvc.lock may never lie about it.

Run it with ``python -m tests.edit_harness --edits 200``. Each edit is first made before its stage
starts: what dvc.lock then says is true. Then stages run while an edit comes at some moment. The
stage must fail in one line and leave its part of dvc.lock alone; or end with what dvc.lock says
without the edit, or with the edit from the start: deps, parameters and outputs. An edit that comes
when the stage's Python has ended, and DVC has yet to hash, is past noticing, and counted as such.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import TINY, change_params, save_flowernet
from tests.hazards import jpeg, plant_clean
from tests.project import KILL_POINTS, Project, make_project

STAGES = ["prepare", "train", "evaluate"]
MODULES = [
    "common/names.py",
    "drawing.py",
    "evaluate/metrics.py",
    "prepare/split.py",
    "train/loss.py",
    "train/schedule.py",
]
CLASSES = ("daisy", "rose")
WEIGHTS = "data/weights/mine"
SETTINGS = {
    **TINY,
    "data": {"photos": "data/photos"},
    "model": {**TINY["model"], "weights": "mine"},
}

Entry = Any
"""A stage's part of dvc.lock."""

Edit = Callable[[Path], object]


def parameter(section: str, name: str, value: object) -> Edit:
    return lambda folder: change_params(folder / "params.yaml", {section: {name: value}})


def longer(name: str, more: bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + more)


def without(name: str) -> Edit:
    return lambda folder: (folder / name).unlink()


def flip_last_byte(name: str) -> Edit:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return flip


EDITS = {
    **{
        f"parameter {section}.{name}": parameter(section, name, value)
        for section, name, value in [
            ("prepare", "seed", 7),
            ("prepare", "test_fraction", 0.2),
            ("model", "name", "resnet18"),
            ("train", "lr", 0.001),
            ("train", "seed", 7),
            ("train", "epochs", 4),
            ("evaluate", "answered_fraction", 0.5),
        ]
    },
    **{f"module {name}": longer(f"stages/{name}", b"# read again\n") for name in MODULES},
    "photo added": lambda folder: (folder / "data/photos/rose/new.jpg").write_bytes(jpeg(7)),
    "photo removed": without("data/photos/rose/003.jpg"),
    "photo replaced": lambda folder: (folder / "data/photos/rose/003.jpg").write_bytes(jpeg(8)),
    "weights": flip_last_byte(f"{WEIGHTS}/model.safetensors"),
    "store": flip_last_byte("data/prepared/images.npy"),
    "store's table": longer("data/prepared/manifest.csv", b"\n"),
}


class Harness:
    """A finished project whose stages are run again, and what dvc.lock may say of each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.project = make_project(folder / "flowerbed", SETTINGS)
        plant_clean(self.project.folder / "data/photos", CLASSES, 30)
        save_flowernet(self.project.folder / WEIGHTS, classes=["aster", *CLASSES])
        self.random = random.Random(seed)
        self.seconds: dict[str, float] = {}
        self.project.run("dvc", "repro")
        self.original = Project(folder / "original")
        self.before = self.lock()
        for stage in STAGES:
            start = time.monotonic()
            self.project.run("dvc", "repro", "--single-item", "--force", stage)
            self.seconds[stage] = time.monotonic() - start
        if self.lock() != self.before:
            sys.exit("the stages do not repeat themselves")
        self.project.copy(self.original.folder)
        self.ends: Counter[str] = Counter()
        self.log = folder / "ended.csv"

    def lock(self) -> dict[str, Entry]:
        text = (self.project.folder / "dvc.lock").read_text()
        entries: dict[str, Entry] = yaml.safe_load(text)["stages"]
        return entries

    def restore(self) -> None:
        """Undo the edit and the run, but for what DVC and the trainer keep for themselves."""
        for kept in self.original.folder.iterdir():
            if kept.name not in (".git", ".dvc", ".train_state"):
                path = self.project.folder / kept.name
                if kept.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                    shutil.copytree(kept, path)
                else:
                    shutil.copy2(kept, path)

    def truth(self, edit: str, stage: str) -> Entry:
        """Return what dvc.lock says of a stage that an edit came before."""
        EDITS[edit](self.project.folder)
        self.run(stage, 0, lambda: None)
        entry = self.lock()[stage]
        self.restore()
        return entry

    def run(self, stage: str, delay: float, act: Callable[[], object]) -> tuple[int | None, str]:
        """Run a stage by DVC, do something on the way, return exit code and text."""
        self.log.unlink(missing_ok=True)
        command = ("dvc", "repro", "--single-item", "--force", stage)
        process = self.project.start(*command, **KILL_POINTS, KILL_LOG=str(self.log))
        time.sleep(delay)
        act()
        printed, _ = process.communicate()
        return process.returncode, printed

    def strike(self, edit: str, stage: str, allowed: list[Entry]) -> None:
        """Run a stage with an edit on its way, and judge dvc.lock."""
        if self.random.random() < 0.5:  # else a finished training may be taken over
            shutil.rmtree(self.project.folder / ".train_state", ignore_errors=True)
        delay = self.random.uniform(0, self.seconds[stage])
        is_late = False

        def act() -> None:
            nonlocal is_late
            is_late = self.log.exists() and f"{stage},0," in self.log.read_text()
            EDITS[edit](self.project.folder)

        code, printed = self.run(stage, delay, act)
        entry = self.lock()[stage]
        true = entry in (allowed if code == 0 else [self.before[stage]])
        if "Traceback" in printed or not (true or is_late):
            what = f"{edit} after {delay:.2f} s of {stage}"
            sys.exit(f"{what}: exit {code}, dvc.lock says\n{entry}\n{printed}")
        is_as_before = entry == self.before[stage]
        end = "refused" if code else "as without it" if is_as_before else "as if from the start"
        end = end if true else "after the stage"
        self.ends[f"{stage}, {edit.split()[0]}: {end}"] += 1
        self.restore()


def main() -> None:
    """Edit as often as asked for, and print how the runs ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        harness = Harness(Path(temporary), options.seed)
        # A store that is edited behind prepare is no input; train refuses it by its digest.
        pairs = [
            (edit, stage)
            for edit in EDITS
            for stage in STAGES
            if not (stage == "prepare" and edit.startswith("store"))
        ]
        harness.random.shuffle(pairs)
        truths: dict[tuple[str, str], Entry] = {}
        for number in range(options.edits):
            edit, stage = pair = pairs[number % len(pairs)]
            if pair not in truths:
                truths[pair] = harness.truth(edit, stage)
            harness.strike(edit, stage, [harness.before[stage], truths[pair]])
            if number % 10 == 9:
                print(f"{number + 1} edits, dvc.lock told the truth", flush=True)
    for name, count in sorted(harness.ends.items()):
        print(f"{name:50} {count:4}")


if __name__ == "__main__":
    main()
