"""Whether dvc.lock is up to date: what `dvc repro` would run.

`dvc status` tells what changed in the working tree. What DVC's cache holds is taken to be as
dvc.lock describes it, and dvc.lock itself tells whether each stage ran with what the stage before
it wrote. So the answer is the same in a clone that has neither the cache nor the photos, and after
a `git checkout` that no `dvc checkout` followed.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from os.path import normpath
from pathlib import Path
from typing import Any

from stages.common.errors import UserError
from stages.common.params import PARAMS_FILE
from tools.report.git import tracks
from tools.report.markdown import code, plain
from tools.report.schema import Entry, Item, read_lock, read_yaml
from tools.report.snapshot import file_here, parse_bounded

STATES = {"modified": "changed", "deleted": "is missing", "new": "is new"}
COMMANDS = {"changed command": "its command changed", "always changed": "it always runs"}
"""DVC's words for what happened to a file and to a stage, and ours."""


@dataclass(frozen=True)
class Staleness:
    """What makes dvc.lock stale."""

    stale: dict[str, list[str]] = field(default_factory=dict)
    """Stage to the reasons for which `dvc repro` would run it; the stages after it run too."""
    unchecked: list[str] = field(default_factory=list)
    """Dependencies that are neither here nor made by a stage, such as photos outside the clone."""

    @property
    def up_to_date(self) -> bool:
        """Whether nothing would run, as far as can be told."""
        return not self.stale


class _LockError(Exception):
    """A dvc.lock that can't be read; the message is its path."""


def check_staleness(params: dict[str, Any] | None) -> Staleness:
    """Compare dvc.lock with the code, the parameters and the results in the working tree.

    Parameters
    ----------
    params : dict
        What params.yaml holds, by dotted names; None if that can't be read.

    Raises
    ------
    UserError
        If this is not the project's folder, or DVC can't read dvc.yaml.
    """
    if not Path("dvc.yaml").is_file():
        raise UserError("dvc.yaml: not found; run from the project's folder")
    try:
        status = _dvc_status()
        read = cache(_read_lock)
        ran = [stage for stage in read("dvc.lock") if stage in status]  # each after what it needs
        others = [stage for stage in status if stage not in ran]
        status = {stage: status[stage] for stage in [*others, *ran]}
        runs = {stage: _last_run(stage, read) for stage in status}
    except _LockError as error:
        return Staleness(
            {"all stages": [f"{code(error)} can't be read, as after a merge conflict: remove it"]}
        )
    made = {path: "" for changes in status.values() for path, _ in _items(changes, "outs")}
    made |= {path: md5 for run in runs.values() if run for path, md5 in run.outs.items()}
    stale: dict[str, list[str]] = {}
    unchecked: dict[str, None] = {}
    for stage, changes in status.items():
        reasons = list(_why(runs[stage], changes, made, params or {}))
        if reasons and not stage.endswith(".dvc"):
            stale[stage] = reasons
        absent = [path for path, state in _items(changes, "deps") if state == "deleted"]
        unchecked |= {path: None for path in absent if path not in made and not tracks(path)}
    return Staleness(stale, list(unchecked))


@dataclass(frozen=True)
class _Run:
    """What dvc.lock or a .dvc file tells of a stage's last run: paths from here to hashes."""

    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, dict[str, Any]]


def _why(
    run: _Run | None, changes: list[Any], made: dict[str, str], params: dict[str, Any]
) -> Iterator[str]:
    """Give the reasons for which a stage would run, apart from the stages before it."""
    if run is None:
        yield "it has not run yet"
        return
    yield from (COMMANDS.get(each, each) for each in changes if isinstance(each, str))
    for path, md5 in run.deps.items():
        if made.get(path, md5) != md5:
            yield f"{code(path)} is not the one that it ran with"
    for path, state in _items(changes, "deps"):
        if isinstance(state, dict):
            yield from _why_params(path, state, run.params.get(path, {}), params)
        elif path not in run.deps or (path not in made and (state != "deleted" or tracks(path))):
            yield _say(path, state if path in run.deps else "new")
    for path, state in _items(changes, "outs"):
        if path not in run.outs or tracks(path):  # Git ignores what is in DVC's cache
            yield _say(path, state if path in run.outs else "new")


def _why_params(
    file: str, changes: dict[str, str], ran_with: dict[str, Any], params: dict[str, Any]
) -> Iterator[str]:
    """Name the parameters that are not those that a stage ran with."""
    here = params if file == PARAMS_FILE.name else {}
    for key, state in changes.items():
        names = [name for name in {**here, **ran_with} if f"{name}.".startswith(f"{key}.")]
        moved = [name for name in names if here and here.get(name) != ran_with.get(name)]
        for name in moved:
            was, now = (
                code(side[name]) if name in side else "nothing" for side in (ran_with, here)
            )
            yield f"{code(name)} is {now}, it ran with {was}"
        if not moved:
            yield _say(key, state)


def _say(name: str, state: str) -> str:
    return f"{code(name)} {STATES.get(state, 'changed')}"


def _items(changes: list[Any], kind: str) -> list[tuple[str, Any]]:
    """Return a stage's changed deps or outs: paths and what happened to them."""
    found = [each.get(f"changed {kind}", {}) for each in changes if isinstance(each, dict)]
    return [item for items in found for item in items.items()]


def _last_run(stage: str, read: Callable[[str], dict[str, Entry]]) -> _Run | None:
    """Return how a stage ran, None if it has not run.

    Paths in dvc.lock start from the stage's working folder: from this one, or from the one of its
    dvc.yaml. Which one it is stands in dvc.yaml only, so both count.
    """
    file, _, name = stage.rpartition(":")
    path = Path(name if name.endswith(".dvc") else file or "dvc.yaml")
    entry = read(str(path if path.suffix == ".dvc" else path.with_suffix(".lock"))).get(name)

    def hashes(items: list[Item]) -> dict[str, str]:
        starts = (Path(), path.parent)
        return {normpath(start / item.path): item.md5 for item in items for start in starts}

    return None if entry is None else _Run(hashes(entry.deps), hashes(entry.outs), entry.params)


def _read_lock(path: str) -> dict[str, Entry]:
    def parse(content: bytes) -> dict[str, Entry]:
        if path.endswith(".dvc"):
            return {path: Entry.model_validate(read_yaml(content))}
        return read_lock(content)

    try:
        return parse_bounded(path, file_here(path), parse) or {}
    except (ValueError, RecursionError) as error:
        raise _LockError(path) from error


def _dvc_status() -> dict[str, list[Any]]:
    """Return what `dvc status` says of the stages in dvc.yaml and of those before them."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", "dvc.yaml"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode == 0:
        status: dict[str, list[Any]] = json.loads(result.stdout)
        return status
    lines = [line for line in result.stderr.splitlines() if line and "WARNING" not in line]
    said = [*lines, "no reason given"][0]
    lock = re.search(r"'(?:\./)?([^']*dvc\.lock)'", said)
    if lock:
        raise _LockError(lock[1])
    problem = plain(said.removeprefix("ERROR: "), 200)
    raise UserError(f"DVC can't read the pipeline: {problem}; try `dvc status`")
