"""Kill the stages again and again, and compare what comes out with an uninterrupted run.

Run it with ``make kill-test KILLS=200``. It works on a copy of the project with a tiny garden. A
round starts from nothing and runs plain ``dvc repro`` until it ends well; every time but the last,
a stage is killed on the way, by turns at one of its writes, fsyncs and renames or at some moment.
After each round all outputs are compared, byte by byte, with those of the undisturbed run.
SIGTERM and SIGINT are sent to the trainer alone, for the other stages end at once on them.
"""

import argparse
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tests.conftest import TINY
from tests.project import KILL_POINTS, make_project

STAGES = ["garden", "prepare", "train", "evaluate"]
PER_ROUND = {"garden": 2, "prepare": 2, "train": 4, "evaluate": 2}
"""Kills of each stage in a round."""

SETTINGS = {**TINY, "train": {**TINY["train"], "epochs": 12, "save_every_seconds": 0.1}}
"""Long enough for several kills, with a save every few batches."""


@dataclass(frozen=True)
class Kill:
    """How a stage ends: at the point of this number, or after so many seconds; by which signal."""

    stage: str
    point: int = 0
    seconds: float = 0.0
    signal_number: signal.Signals = signal.SIGKILL


class Harness:
    """A project to kill, and what it should end in."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.project = make_project(folder / "flowerbed", SETTINGS)
        self.random = random.Random(seed)
        log = folder / "points.csv"
        self.project.extra = KILL_POINTS
        start = time.monotonic()
        self.project.run("dvc", "repro", KILL_LOG=str(log))
        self.seconds = time.monotonic() - start
        self.expected = self.project.everything()
        names = ["stage", "point", "what", "file"]
        noted = pd.read_csv(log, names=names)
        self.points = noted[noted["point"] > 0]
        self.durations = noted[noted["point"] == 0].set_index("stage")["file"].astype(float)
        self.fired: Counter[str] = Counter()

    def plan(self, stage: str) -> Iterator[Kill]:
        """Yield kills of a stage without end: points and moments in turn, every kind of point."""
        points = self.points[self.points["stage"] == stage]
        files = points["file"].str.replace(r"\d+", "", regex=True)  # one kind for all photos
        kinds = [group["point"].tolist() for _, group in points.groupby(["what", files])]
        self.random.shuffle(kinds)
        for kind in itertools.cycle(kinds):
            yield Kill(stage, point=self.random.choice(kind))
            yield Kill(stage, seconds=self.moment(stage))

    def moment(self, stage: str) -> float:
        """Choose a moment: seconds after the stage's start, early enough for one that resumes."""
        return self.durations[stage] * self.random.uniform(0.1, 0.7)

    def attempt(self, kill: Kill) -> bool:
        """Run ``dvc repro`` with a kill on its way; tell whether the kill came."""
        when = {"KILL_AT": str(kill.point)} if kill.point else {"KILL_AFTER": str(kill.seconds)}
        who = {"KILL_STAGE": kill.stage, "KILL_SIGNAL": kill.signal_number.name}
        process = self.project.start("dvc", "repro", **who, **when)
        printed, _ = process.communicate()
        if "Traceback" in printed and kill.signal_number != signal.SIGINT:  # that may hit an import
            sys.exit(f"{kill}: a traceback\n{printed}")
        return process.returncode != 0

    def describe(self, kill: Kill) -> str:
        """Say in a word or two when a kill comes."""
        if not kill.point:
            return "some moment"
        points = self.points[self.points["stage"] == kill.stage].set_index("point")
        return str(points.loc[kill.point, "what"])

    def round(self, kills: list[Kill]) -> None:
        """Start from nothing, be killed at every one of these, finish, compare."""
        self.project.forget()
        for kill in kills:
            if not self.attempt(kill):
                break  # it came too late: all is done
            self.fired[f"{kill.stage}, {self.describe(kill)}"] += 1
        self.project.run("dvc", "repro")
        found = self.project.everything()
        different = [name for name in self.expected if found.get(name) != self.expected[name]]
        different += sorted(set(found) - set(self.expected))
        if different:
            sys.exit(f"after {kills}: not the same bytes: {', '.join(different)}")


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
            schedule = [stage for stage in STAGES for _ in range(PER_ROUND[stage])]
        rounds = 0
        while sum(harness.fired.values()) < options.kills:
            if number == signal.SIGKILL:
                kills = [next(plans[stage]) for stage in schedule]
            else:
                kills = [
                    Kill("train", seconds=harness.moment("train"), signal_number=number)
                    for _ in range(4)
                ]
            left = options.kills - sum(harness.fired.values())
            harness.round(kills[:left])
            rounds += 1
            print(f"{sum(harness.fired.values())} kills in {rounds} rounds: same bytes", flush=True)
        for name, count in sorted(harness.fired.items()):
            print(f"{name:24} {count:4}")


if __name__ == "__main__":
    main()
