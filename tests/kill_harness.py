"""Kill the stages again and again, and compare what comes out with an uninterrupted run.

Run it with ``make kill-test KILLS=200``. It works on a copy of the project with a tiny garden. A
round starts from nothing and runs plain ``dvc repro`` until it ends well; every time but the last,
a stage is killed on the way, by turns at one of its writes, fsyncs and renames or at some moment.
Then stages are run by hand, over the outputs that are there and that DVC would have removed, and
killed at a rename or an unlink: no folder may be half of itself. After each round all outputs are
compared, byte by byte, with those of the undisturbed run.
Once a round and stage DVC is killed instead, between the stage's end and what dvc.lock says of it.
SIGTERM and SIGINT are sent to the trainer alone, for the other stages end at once on them.
"""

import argparse
import itertools
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from garden.__main__ import RECORD
from tests.conftest import TINY
from tests.project import KILL_POINTS, make_project

STAGES = ["prepare", "train", "evaluate"]
MODULES = {"garden": "garden"} | {name: f"stages.{name}" for name in STAGES}
FOLDERS = {"garden": "data/demo/", "prepare": "data/prepared/", "train": "models/model."}
"""Beginning of the names of what a program replaces as a whole; prepare has the garden drawn."""

PER_ROUND = {"prepare": 3, "train": 4, "evaluate": 2}
"""Kills of each stage in a round."""

BY_HAND_PER_ROUND = 4

SETTINGS = {
    **TINY,
    "train": {**TINY["train"], "epochs": 12},
    "runtime": {"save_every_seconds": 0.1},
}
"""Long enough for several kills, with a save every few batches."""


@dataclass(frozen=True)
class Kill:
    """How a stage ends: at the point of this number, or after so many seconds; by which signal.

    It is run by DVC, or by hand. With `of_dvc` the stage ends well, and DVC is killed so many
    seconds later.
    """

    stage: str
    point: int = 0
    seconds: float = 0.0
    signal_number: signal.Signals = signal.SIGKILL
    by_hand: bool = False
    of_dvc: bool = False


class Harness:
    """A project to kill, and what it should end in."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.project = make_project(folder / "flowerbed", SETTINGS)
        self.random = random.Random(seed)
        log = folder / "points.csv"
        self.ended = folder / "ended.csv"
        self.project.extra = KILL_POINTS
        start = time.monotonic()
        self.project.run("dvc", "repro", KILL_LOG=str(log))
        self.seconds = time.monotonic() - start
        self.expected = self.project.everything()
        noted = read_log(log)
        self.points = noted[noted["point"] > 0]
        self.durations = noted[noted["point"] == 0].set_index("stage")["file"].astype(float)
        log = folder / "points_by_hand.csv"
        for stage in FOLDERS:
            self.forget_garden(stage)
            self.run_by_hand(stage, str(log))
        self.compare("run by hand")
        noted = read_log(log)
        self.points_by_hand = noted[noted["what"].isin(["rename", "unlink"])]
        self.fired: Counter[str] = Counter()

    def plan(self, stage: str) -> Iterator[Kill]:
        """Yield kills of a stage without end: points and moments in turn, every kind of point."""
        points = self.points[self.points["stage"] == stage]
        for kind in itertools.cycle(self.kinds(points)):
            yield self.random.choice(kind)
            yield Kill(stage, seconds=self.moment(stage))

    def plan_by_hand(self) -> Iterator[Kill]:
        """Yield kills of stages that are run by hand, without end: every kind of point."""
        for kind in itertools.cycle(self.kinds(self.points_by_hand)):
            yield replace(self.random.choice(kind), by_hand=True)

    def kinds(self, points: pd.DataFrame) -> list[list[Kill]]:
        """Return a list of kills for each kind of point, in a random order of kinds."""
        files = points["file"].str.replace(r"\d+", "", regex=True)  # one kind for all photos
        groups = [group for _, group in points.groupby(["stage", "what", files])]
        self.random.shuffle(groups)
        return [list(map(Kill, group["stage"], group["point"].astype(int))) for group in groups]

    def moment(self, stage: str) -> float:
        """Choose a moment: seconds after the stage's start, early enough for one that resumes."""
        return self.durations[stage] * self.random.uniform(0.1, 0.7)

    def after_stage(self, stage: str) -> Kill:
        """Kill DVC after a stage's end, early enough that its dvc.lock is not yet complete."""
        return Kill(stage, seconds=self.random.uniform(0, 0.3), of_dvc=True)

    def attempt(self, kill: Kill) -> bool:
        """Run ``dvc repro``, or the stage, with a kill on its way; tell whether the kill came."""
        when = {"KILL_AT": str(kill.point)} if kill.point else {"KILL_AFTER": str(kill.seconds)}
        who = {"KILL_STAGE": kill.stage, "KILL_SIGNAL": kill.signal_number.name}
        if kill.of_dvc:
            self.ended.unlink(missing_ok=True)
            when = {"KILL_LOG": str(self.ended)}
        by_hand = (sys.executable, "-m", MODULES[kill.stage])
        process = self.project.start(*by_hand if kill.by_hand else ("dvc", "repro"), **who, **when)
        if kill.of_dvc:
            self.await_end(kill.stage, process)
            time.sleep(kill.seconds)
            process.kill()
        printed, _ = process.communicate()
        if "Traceback" in printed and kill.signal_number != signal.SIGINT:  # that may hit an import
            sys.exit(f"{kill}: a traceback\n{printed}")
        return process.returncode != 0

    def await_end(self, stage: str, process: "subprocess.Popen[str]") -> None:
        """Wait until a stage has noted its end, or DVC ends without running it."""
        while process.poll() is None:
            if self.ended.is_file() and f"\n{stage},0," in self.ended.read_text():
                return
            time.sleep(0.01)

    def describe(self, kill: Kill) -> str:
        """Say in a word or two when a kill comes."""
        if kill.of_dvc:
            return "DVC, after it"
        if not kill.point:
            return "some moment"
        points = self.points_by_hand if kill.by_hand else self.points
        points = points[points["stage"] == kill.stage].set_index("point")
        return str(points.loc[kill.point, "what"]) + (", by hand" if kill.by_hand else "")

    def round(self, kills: list[Kill]) -> None:
        """Start from nothing, be killed at every one of these, finish, compare."""
        self.project.forget()
        for kill in kills:
            if not self.attempt(kill):
                break  # it came too late: all is done
            self.fired[f"{kill.stage}, {self.describe(kill)}"] += 1
        self.project.run("dvc", "repro")
        self.compare(f"after {kills}")

    def kill_by_hand(self, kill: Kill) -> None:
        """Kill a stage that replaces its folder; the folder is whole or gone, and whole again."""
        self.forget_garden(kill.stage)
        if self.attempt(kill):  # else it came too late: a training saves more often at one time
            self.fired[f"{kill.stage}, {self.describe(kill)}"] += 1
        if any(name.startswith(FOLDERS[kill.stage]) for name in self.project.everything()):
            self.compare(f"after {kill}", FOLDERS[kill.stage])
        self.run_by_hand(kill.stage)
        self.compare(f"after {kill} and a rerun")

    def forget_garden(self, stage: str) -> None:
        """Make the garden draw its photos again: those that are there would stay."""
        if stage == "garden":
            (self.project.folder / RECORD).unlink()

    def run_by_hand(self, stage: str, log: str = "") -> None:
        """Run a stage; after train evaluate too, whose files on the old weights it removes."""
        self.project.run(sys.executable, "-m", MODULES[stage], KILL_LOG=log)
        if stage == "train":
            self.project.run(sys.executable, "-m", MODULES["evaluate"])

    def compare(self, when: str, below: str = "") -> None:
        """End with a message where files below a folder are not those of the undisturbed run."""
        found, expected = (
            {name: content for name, content in files.items() if name.startswith(below)}
            for files in (self.project.everything(), self.expected)
        )
        different = [name for name in expected if found.get(name) != expected[name]]
        different += sorted(set(found) - set(expected))
        if different:
            sys.exit(f"{when}: not the same bytes: {', '.join(different)}")


def read_log(path: Path) -> pd.DataFrame:
    """Return the points that a watched run has noted."""
    return pd.read_csv(path, names=["stage", "point", "what", "file"], dtype={"file": str})


def main() -> None:
    """Kill as often as asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--signal", choices=["KILL", "TERM", "INT"], default="KILL")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    number = signal.Signals[f"SIG{options.signal}"]
    with tempfile.TemporaryDirectory() as temporary:
        harness = Harness(Path(temporary), options.seed)
        print(f"{len(harness.points)} points; uninterrupted in {harness.seconds:.0f} s", flush=True)
        if number == signal.SIGKILL:
            plans = {stage: harness.plan(stage) for stage in STAGES}
            by_hand = harness.plan_by_hand()
        rounds = 0
        while sum(harness.fired.values()) < options.kills:
            if number == signal.SIGKILL:
                kills = [
                    kill
                    for stage in STAGES
                    for kill in (
                        *itertools.islice(plans[stage], PER_ROUND[stage]),
                        harness.after_stage(stage),
                    )
                ]
            else:
                kills = [
                    Kill("train", seconds=harness.moment("train"), signal_number=number)
                    for _ in range(4)
                ]
            left = options.kills - sum(harness.fired.values())
            harness.round(kills[:left])
            if number == signal.SIGKILL:
                for kill in itertools.islice(by_hand, BY_HAND_PER_ROUND):
                    harness.kill_by_hand(kill)
            rounds += 1
            print(f"{sum(harness.fired.values())} kills in {rounds} rounds: same bytes", flush=True)
        for name, count in sorted(harness.fired.items()):
            print(f"{name:28} {count:4}")


if __name__ == "__main__":
    main()
