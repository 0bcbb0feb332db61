"""Which experiments tested which fold with the parameters, code, photos and weights that are here.

An experiment's dvc.lock tells its parameters, photos and weights; its commit holds the code. Code
that Git does not track is in no experiment, so it is not compared. Results in the working tree that
are no experiment's do not count, but to make one of them takes seconds: DVC's run cache has them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from stages.common.errors import UserError
from stages.evaluate.predicting import PROBABILITIES
from tools.report.git import changed_files, experiments, file_at
from tools.report.snapshot import WEIGHTS, ContentError, file_here, read_file, read_lock

STAGES = ("prepare", "train", "evaluate")
FOLD = "prepare.fold"
CODE = ("stages", "dvc.yaml")


@dataclass(frozen=True)
class FoldRun:
    """An experiment in which all stages ran.

    Attributes
    ----------
    name, commit : str
    fold : int
    params : dict
        Its other parameters, by dotted names.
    digests : dict
        Of photos and weights, by path.
    probabilities_md5 : str
        Of the test photos' probabilities.
    """

    name: str
    commit: str
    fold: int
    params: dict[str, Any]
    digests: dict[str, str]
    probabilities_md5: str

    def differences(self, params: dict[str, Any], digests: dict[str, str]) -> list[str]:
        """Name what differs from given parameters and digests, else from the code that is here."""
        sections = {name.partition(".")[0] for name in self.params}
        used = {
            name: value
            for name, value in params.items()
            if name.partition(".")[0] in sections and name != FOLD
        }
        names = [
            name for name in {**used, **self.params} if used.get(name) != self.params.get(name)
        ]
        names += [path for path, md5 in self.digests.items() if digests.get(path, md5) != md5]
        return names or [f"code in {path}" for path in changed_files(self.commit, *CODE)]


def find_runs() -> list[FoldRun]:
    """Return the experiments of this clone in which all stages ran, the newest first."""
    runs = [read_run(name, commit) for name, commit in reversed(experiments())]
    return [run for run in runs if run is not None]


def read_run(name: str, commit: str) -> FoldRun | None:
    """Return what an experiment ran with, None if its dvc.lock does not tell."""
    try:
        lock = read_file("dvc.lock", read_lock, partial(file_at, commit), name) or {}
    except ContentError:
        return None
    if any(stage not in lock for stage in STAGES):
        return None
    stages = [lock[stage] for stage in STAGES]
    params = {
        key: value for stage in stages for of in stage.params.values() for key, value in of.items()
    }
    made = {item.path: item.md5 for stage in stages for item in stage.outs}
    digests = {
        item.path: item.md5
        for stage in stages
        for item in stage.deps
        if item.path not in made and not item.path.startswith("stages/")
    }
    fold = params.pop(FOLD, 0)
    probabilities = made.get(str(PROBABILITIES), "")
    is_run = isinstance(fold, int)
    return FoldRun(name, commit, fold, params, digests, probabilities) if is_run else None


def digests_here(params: dict[str, Any]) -> dict[str, str]:
    """Return the digests of the photos and weights that are here, as far as known, by path.

    Photos are those of the last ``dvc repro prepare``: DVC would look at each of them again.
    """
    try:
        lock = read_file("dvc.lock", read_lock, file_here) or {}
    except ContentError:
        lock = {}
    photos = {item.path: item.md5 for item in lock["prepare"].deps} if "prepare" in lock else {}
    return {**photos, **_digest_of_weights(str(params["model.weights"]))}


def _digest_of_weights(name: str) -> dict[str, str]:
    """Ask DVC for the digest of a file or folder of weights; none and DEFAULT have no content."""
    if name in ("none", "DEFAULT"):
        return {}
    # Imported here, because it takes seconds.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    path = str(WEIGHTS / name)
    try:
        with Repo() as repo:
            deps = [dep for stage in repo.stage.collect("train") for dep in stage.deps]
            return {d.def_path: d.get_hash().value for d in deps if d.def_path == path and d.exists}
    except DvcException as error:
        raise UserError(f"{path}: DVC cannot read it: {error}; see `dvc status train`") from error


def choose_runs(
    runs: list[FoldRun], params: dict[str, Any], digests: dict[str, str]
) -> dict[int, FoldRun]:
    """Return the newest run of each fold that has the given inputs and the code that is here.

    Of photos and weights without a digest, all have those of the first.
    """
    chosen: dict[int, FoldRun] = {}
    for run in runs:
        if not run.differences(params, digests):
            chosen.setdefault(run.fold, run)
            digests = {**run.digests, **digests}
    return chosen


def explain(runs: list[FoldRun], params: dict[str, Any], digests: dict[str, str]) -> list[str]:
    """Say what differs in the runs that do not count: of each fold in that which differs least."""
    nearest: dict[int, tuple[int, str]] = {}
    for run in runs:
        names = run.differences(params, digests)
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            text = f"fold {run.fold} of {run.name} has other inputs: {shown}"
            nearest[run.fold] = min((len(names), text), nearest.get(run.fold, (len(names), text)))
    return [text for _, text in sorted(nearest.values())][:5]
