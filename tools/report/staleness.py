"""Whether dvc.lock is up to date: what `dvc repro` would run.

`dvc status` tells what changed in the working tree. What DVC's cache holds is taken to be as
dvc.lock describes it, and dvc.lock itself tells whether each stage ran with what the stage before
it wrote. So the answer is the same in a clone that has neither the cache nor the photos, and after
a `git checkout` that no `dvc checkout` followed.

Paths in a lock start from the project's folder, in which every stage runs; those in a .dvc file
start from its own folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.common.errors import UserError, first_line
from stages.common.params import PARAMS_FILE
from stages.evaluate.markdown import code, plain
from tools.report.git import tracks
from tools.report.snapshot import ContentError, Item, Run, read_file, read_lock, read_yaml


@dataclass(frozen=True)
class Staleness:
    """What makes dvc.lock stale."""

    stale: dict[str, list[str]] = field(default_factory=dict)
    """Stage to the reasons for which `dvc repro` would run it; the stages after it run too."""
    unchecked: list[str] = field(default_factory=list)
    """Dependencies that are neither here nor made by a stage, such as photos outside the clone."""
    frozen: dict[str, list[str]] = field(default_factory=dict)
    """Stage that `dvc repro` passes over to the parameters that are not those it ran with."""


def check_staleness(params: dict[str, Any] | None) -> Staleness:
    """Compare dvc.lock with the code, the parameters and the results in the working tree.

    Parameters
    ----------
    params : dict
        What params.yaml holds, by dotted names; None if that can't be read.
    """
    if not Path("dvc.yaml").is_file():
        raise UserError("dvc.yaml: not found; run from the project's folder")
    try:
        status = _status_of_all()
        runs = {stage: _last_run(stage) for stage in status}
    except ContentError as error:
        return Staleness({"all stages": [f"{error}; remove that file"]})
    made = {path: "" for changes in status.values() for path in _changed(changes, "outs")}
    made |= {out.path: out.md5 for run in runs.values() if run for out in run.outs}
    stale = {
        stage: list(_why(runs[stage], changes, made, params or {}))
        for stage, changes in status.items()
        if not stage.endswith(".dvc")
    }
    unchecked = {
        path: None
        for changes in status.values()
        for path, state in _changed(changes, "deps").items()
        if state == "deleted" and path not in made and not tracks(path)
    }
    frozen = {
        stage: [
            name
            for name, value in (runs.get(stage) or Run()).params.get(PARAMS_FILE.name, {}).items()
            if params and params.get(name) != value
        ]
        for stage in _frozen_stages()
    }
    return Staleness(
        {stage: why for stage, why in stale.items() if why},
        list(unchecked),
        {stage: names for stage, names in frozen.items() if names},
    )


def _why(
    run: Run | None, changes: list[Any], made: dict[str, str], params: dict[str, Any]
) -> Iterator[str]:
    """Give the reasons for which a stage would run, apart from the stages before it."""
    if run is None:
        yield "it has not run yet"
        return
    yield from (each for each in changes if isinstance(each, str))  # such as "changed command"
    for dep in run.deps:
        if made.get(dep.path, dep.md5) != dep.md5:
            yield f"{code(dep.path)} is not what it ran with"
    known = {item.path for item in [*run.deps, *run.outs]}
    for path, state in {**_changed(changes, "deps"), **_changed(changes, "outs")}.items():
        if isinstance(state, dict):
            here = params if path == PARAMS_FILE.name else {}
            yield from _why_params(state, here, run.params.get(path, {}))
        elif path not in known:
            yield f"{code(path)} new"
        # What Git ignores and a stage made is in DVC's cache.
        elif tracks(path) or (path not in made and state != "deleted"):
            yield f"{code(path)} {state}"


def _why_params(
    changes: dict[str, str], here: dict[str, Any], ran_with: dict[str, Any]
) -> Iterator[str]:
    """Name the parameters that differ from those that a stage ran with."""
    for section, state in changes.items():
        names = [name for name in {**here, **ran_with} if f"{name}.".startswith(f"{section}.")]
        changed = [name for name in names if here and here.get(name) != ran_with.get(name)]
        yield from (f"{code(name)} {state}" for name in changed or [section])


def _changed(changes: list[Any], what: str) -> dict[str, Any]:
    """Return a stage's changed deps or outs: paths, and what happened to each."""
    key = f"changed {what}"
    return next((each[key] for each in changes if key in each), {})


def _last_run(stage: str) -> Run | None:
    """Return how a stage ran, None if it has not run; paths start from the project's folder."""
    if stage.endswith(".dvc"):
        folder = Path(stage).parent
        data = read_file(stage, lambda content: Run.model_validate(read_yaml(content))) or Run()
        return Run(outs=[Item(path=str(folder / out.path), md5=out.md5) for out in data.outs])
    file, _, name = stage.rpartition(":")
    lock = Path(file or "dvc.yaml").with_suffix(".lock")
    return (read_file(str(lock), read_lock) or {}).get(name)


def dvc_status(target: str, with_deps: bool = False) -> dict[str, list[Any]]:
    """Return what `dvc status` says of a stage or of a file's stages; of a fresh one, nothing."""
    # Imported here, because it takes seconds.
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            status: dict[str, list[Any]] = repo.status(targets=[target], with_deps=with_deps)
    except Exception as error:  # on odd content, DVC fails in all kinds of ways
        problem = first_line(error) or type(error).__name__
        problem += getattr(error, "hint", "")  # (possible merge conflicts)
        if "dvc.lock'" in problem:
            raise ContentError(code(problem, 200)) from error
        raise UserError(
            f"DVC can't read the pipeline: {plain(problem, 200)}; try `dvc status`"
        ) from error
    return status


def _status_of_all() -> dict[str, list[Any]]:
    """Return the status of the stages in dvc.yaml, and of those before them."""
    status = dvc_status("dvc.yaml", with_deps=True)
    if _stages() == {}:  # of none, `dvc status` says that all is up to date
        raise UserError("dvc.yaml: holds no stages; `git checkout dvc.yaml` brings them back")
    ran = list(read_file("dvc.lock", read_lock) or {})  # each after what it needs
    order = sorted(status, key=lambda stage: ran.index(stage) if stage in ran else -1)
    return {stage: status[stage] for stage in order}


def _frozen_stages() -> list[str]:
    return [
        name
        for name, stage in (_stages() or {}).items()
        if isinstance(stage, dict) and stage.get("frozen") is True
    ]


def _stages() -> dict[str, Any] | None:
    """Return the stages of dvc.yaml; None if it holds what DVC reads and we do not, as anchors."""
    try:
        stages = (read_file("dvc.yaml", read_yaml) or {}).get("stages")
    except ContentError:
        return None
    return stages if isinstance(stages, dict) else {}
