"""Whether dvc.lock is up to date: what `dvc repro` would run.

The question is asked of what is in Git alone: what DVC keeps in its cache is taken to be as
dvc.lock describes it. So the answer is the same in a clone that has neither the cache nor the
photos, and after a `git checkout` that no `dvc checkout` followed.
Hashes are taken and compared by DVC itself.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.strictyaml import YAMLSyntaxError

from stages.common.errors import UserError
from tools.report import git
from tools.report.markdown import code
from tools.report.snapshot import flatten


@dataclass(frozen=True)
class StaleStage:
    """A stage that would run."""

    name: str
    reasons: tuple[str, ...]
    """Empty if it runs only because a stage before it does."""


@dataclass(frozen=True)
class Freshness:
    """What `dvc repro` would run, in its order."""

    stale: tuple[StaleStage, ...] = ()
    unchecked: tuple[str, ...] = ()
    """Dependencies that are neither here nor made by a stage, such as photos outside the clone."""

    @property
    def up_to_date(self) -> bool:
        """Whether nothing would run, as far as can be told."""
        return not self.stale


def check_freshness() -> Freshness:
    """Compare dvc.lock with the code, the parameters and the results in the working tree.

    Raises
    ------
    UserError
        If this is not the project's folder, or DVC can't read dvc.yaml.
    """
    if not Path("dvc.yaml").is_file():
        raise UserError("dvc.yaml: not found; run from the project's folder")
    try:
        with Repo() as repo:
            return _check(repo)
    except YAMLSyntaxError as error:
        name = os.path.relpath(error.path)
        if not name.endswith(".lock"):
            raise UserError(f"{name}: is not valid YAML; mend it first") from error
        reason = f"{code(name)} is not valid YAML, as after a merge conflict: remove it"
        return Freshness(stale=(StaleStage("all stages", (reason,)),))
    except DvcException as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"DVC can't read the pipeline: {lines[0]}; try `dvc status`") from error


def _check(repo: Any) -> Freshness:
    graph = repo.index.graph  # its edges lead from a stage to those before it
    makers = {out.fs_path: out for stage in graph for out in stage.outs}
    stale: dict[Any, StaleStage] = {}
    unchecked: dict[str, None] = {}
    for stage in _in_order(graph):
        reasons = tuple(_why(stage, makers))
        if reasons or any(earlier in stale for earlier in graph.successors(stage)):
            stale[stage] = StaleStage(stage.addressing, reasons)
        unchecked |= {str(dep): None for dep in stage.deps if _is_out_of_reach(dep, makers)}
    return Freshness(tuple(stale.values()), tuple(unchecked))


def _in_order(graph: Any) -> list[Any]:
    """Return the stages of the root dvc.yaml and those before them, each after what it needs."""
    ordered: dict[Any, None] = {}

    def visit(stage: Any) -> None:
        for earlier in graph.successors(stage):
            visit(earlier)
        ordered[stage] = None

    for stage in graph:
        if stage.path_in_repo == "dvc.yaml":
            visit(stage)
    return list(ordered)


def _why(stage: Any, makers: dict[str, Any]) -> Iterator[str]:
    """Give the reasons for which a stage would run, apart from the stages before it."""
    if stage.cmd and not any(entry.hash_info for entry in [*stage.deps, *stage.outs]):
        yield "it has not run yet"
        return
    if stage.cmd and stage.changed_stage():
        yield "its command changed"
    for dep in [] if stage.is_import else stage.deps:
        yield from _why_dep(dep, makers)
    for out in stage.outs:
        yield from _why_out(out)


def _why_dep(dep: Any, makers: dict[str, Any]) -> Iterator[str]:
    maker = makers.get(dep.fs_path)
    if not dep.hash_info:
        yield f"{code(dep)} is a new dependency"
    elif hasattr(dep, "params"):
        yield from _why_params(dep)
    elif maker:
        if dep.hash_info != maker.hash_info:
            yield f"{code(dep)} is not the one that it ran with"
    elif dep.exists:
        if dep.changed_checksum():
            yield f"{code(dep)} changed"
    elif not _is_out_of_reach(dep, makers):
        yield f"{code(dep)} is missing"


def _why_params(dep: Any) -> Iterator[str]:
    """Name the parameters that are not those that the stage ran with."""
    if not dep.status():
        return
    ran, here = flatten(dep.hash_info.value), flatten(dep.read_params())
    names = [name for name in {**here, **ran} if here.get(name) != ran.get(name)]
    for name in names or [str(dep)]:
        yield f"{code(name)} is {_shown(here, name)}, it ran with {_shown(ran, name)}"


def _shown(values: dict[str, Any], name: str) -> str:
    return code(values[name]) if name in values else "nothing"


def _why_out(out: Any) -> Iterator[str]:
    """Give the reasons of an output; one in DVC's cache is no part of a commit."""
    if not out.hash_info:
        yield f"{code(out)} is a new output"
    elif not out.use_cache and not out.exists:
        yield f"{code(out)} is missing"
    elif not out.use_cache and out.changed_checksum():
        yield f"{code(out)} is not what it wrote"


def _is_out_of_reach(dep: Any, makers: dict[str, Any]) -> bool:
    """Tell whether a dependency is absent, and neither a stage nor Git could have brought it."""
    if dep.exists or dep.fs_path in makers:
        return False
    return not dep.is_in_repo or git.is_ignored(str(dep))
