"""Which experiments tested which fold, and whether they belong together.

dvc.lock of a revision tells all that its results come from: parameters, photos, code, weights. Runs
that differ in nothing but ``prepare.fold`` are the folds of one cross-validation.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.common.errors import UserError
from stages.model.classifier import Probabilities
from tools.report.git import experiments, file_at
from tools.report.snapshot import WEIGHTS, ContentError, file_here, read_file, read_lock

STAGES = ("prepare", "train", "evaluate")
PROBABILITIES = "data/test_probabilities.csv"
FOLD = "prepare.fold"
CODE = "stages/"


@dataclass(frozen=True)
class FoldRun:
    """A finished run of the pipeline.

    Attributes
    ----------
    name : str
        As a reader knows it: of an experiment, or "the working tree".
    commit : str
        Empty for the working tree.
    fold : int
    params : dict
        Its parameters by dotted names, but for the fold.
    digests : dict
        Of photos, weights and code, by path.
    """

    name: str
    commit: str
    fold: int
    params: dict[str, Any]
    digests: dict[str, str]

    def differences(self, params: dict[str, Any], digests: dict[str, str]) -> list[str]:
        """Return the names of its inputs that are not the given ones, and of those it lacks."""
        sections = {name.partition(".")[0] for name in self.params}
        wanted = {
            name: value
            for name, value in params.items()
            if name.partition(".")[0] in sections and name != FOLD
        }
        ours, theirs = {**self.params, **self.digests}, {**wanted, **digests}
        return [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]


def find_runs() -> list[FoldRun]:
    """Return the finished runs of this clone: the working tree's, HEAD's, and all experiments'."""
    places = [("the working tree", ""), ("HEAD", "HEAD"), *reversed(experiments())]
    runs = [_read_run(name, commit) for name, commit in places]
    return [run for run in runs if run is not None]


def _read_run(name: str, commit: str) -> FoldRun | None:
    read = partial(file_at, commit) if commit else file_here
    try:
        lock = read_file("dvc.lock", read_lock, read, name) or {}
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
        item.path: item.md5 for stage in stages for item in stage.deps if item.path not in made
    }
    if not commit and not _is_as_locked(made):  # as after a `git checkout` without `dvc checkout`
        return None
    fold = params.pop(FOLD, 0)
    return FoldRun(name, commit, fold, params, digests) if isinstance(fold, int) else None


def _is_as_locked(made: dict[str, str]) -> bool:
    """Tell whether the probabilities in the working tree are those that dvc.lock knows."""
    path = Path(PROBABILITIES)
    return path.is_file() and digest(path) == made.get(PROBABILITIES)


def digests_here(run: FoldRun) -> dict[str, str]:
    """Return the digests of a run's inputs as they are now.

    Of photos, those of the last ``dvc repro prepare``: DVC would look at each of them again.
    """
    try:
        lock = read_file("dvc.lock", read_lock, file_here) or {}
    except ContentError:
        lock = {}
    known = {item.path: item.md5 for item in lock["prepare"].deps} if "prepare" in lock else {}
    now = {
        name: digest(Path(name))
        for name in run.digests
        if name.startswith((CODE, f"{WEIGHTS}/")) and Path(name).exists()
    }
    return {name: now.get(name, known.get(name, then)) for name, then in run.digests.items()}


def digest(path: Path) -> str:
    """Return the MD5 that DVC has of a file, or of a folder of modules."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    entries = [
        {
            "md5": hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest(),
            "relpath": file.relative_to(path).as_posix(),
        }
        for file in path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    text = json.dumps(sorted(entries, key=lambda entry: entry["relpath"].split("/")))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def choose_runs(runs: list[FoldRun], params: dict[str, Any]) -> dict[int, FoldRun]:
    """Return the newest run of each fold that has the working tree's parameters and code.

    All of them have the same photos and weights as the first.
    """
    chosen: dict[int, FoldRun] = {}
    digests: dict[str, str] = {}
    for run in runs:
        if not chosen:  # the first one's stay
            digests = digests_here(run)
        if not run.differences(params, digests):
            chosen.setdefault(run.fold, run)
    return chosen


def read_probabilities(run: FoldRun) -> tuple[pd.DataFrame, list[str], Probabilities]:
    """Return a run's test photos, the classes, and the probabilities.

    Returns
    -------
    DataFrame
        ``path, actual``, a row per photo.
    list of str
    float64 array of shape (photos, classes)
    """
    # Imported here, because it takes a second.
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        if run.commit:
            text = dvc.api.read(PROBABILITIES, rev=run.commit)
        else:
            text = Path(PROBABILITIES).read_text(encoding="utf-8")
    except (OSError, DvcException) as error:
        raise UserError(
            f"{run.name}: {PROBABILITIES} cannot be read: {error}; `dvc exp pull` or `dvc pull` "
            "it, or run that fold again"
        ) from error
    table = pd.read_csv(io.StringIO(text), header=None, dtype=str, keep_default_na=False)
    names = table.iloc[0].tolist()
    photos = table.iloc[1:, :2].set_axis(["path", "actual"], axis=1)
    rounded = table.iloc[1:, 2:].to_numpy(dtype=np.float64)
    return photos, names[2:], rounded / rounded.sum(axis=1, keepdims=True)
