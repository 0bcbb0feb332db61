"""Judge a recipe by all photos: pool the folds of a cross-validation.

Finds the experiments that tested the folds with the parameters and the code that are here, and
writes into metrics/crossval/

    crossval.json       figures of all photos together, of each fold and each class
    crossval.md         the same for people
    predictions.csv     a row per photo
    suspects.csv        photos with a doubtful label, most doubtful first
    suspects.png        the first of them

Where folds are missing it says which, and the command that runs them; with ``--run`` it runs them.
With ``--base`` it compares with the pool that another revision has in Git. Run it with
``python -m tools.crossval``, or ``make crossval``, which runs the folds first.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.errors import UserError, run_stage
from stages.common.files import write_bytes, write_csv, write_json
from stages.common.params import PARAMS_FILE, load_params
from stages.common.schema import GARDEN, hold_each_photo_once
from stages.common.store import STORE, Store, open_store
from stages.drawing import png
from stages.evaluate.markdown import listed, plain, plural
from stages.evaluate.predicting import DECIMALS
from tools.crossval.pool import (
    Pool,
    describe_difference,
    measure_pool,
    pool_folds,
    summarize,
    write_page,
)
from tools.crossval.runs import (
    FOLD,
    FoldRun,
    choose_runs,
    digests_here,
    explain,
    find_runs,
    read_run,
)
from tools.crossval.suspects import draw_suspects, find_suspects
from tools.report.comparison import Paired, compare_predictions
from tools.report.git import experiments, file_at, find_commit, lists, tracks
from tools.report.snapshot import (
    WEIGHTS,
    ContentError,
    flatten,
    read_file,
    read_predictions,
    read_yaml,
)
from tools.report.staleness import dvc_status

FOLDER = Path("metrics/crossval")
FRACTION = "prepare.test_fraction"
MOST_FOLDS = 1000


@dataclass(frozen=True)
class Recipe:
    """What the folds have in common."""

    folds: int
    params: dict[str, Any]
    """By dotted names."""
    changes: list[str]
    """Options of `dvc exp run` that make params.yaml so; none if its test_fraction fits."""


def main() -> None:
    """Find the folds, run those that are missing if asked to, pool them, write the files."""
    options = parse_options()
    recipe = read_recipe(options.folds)
    digests, runs = digests_here(recipe.params), find_runs()
    chosen = choose_runs(runs, recipe.params, digests)
    missing = [fold for fold in range(recipe.folds) if fold not in chosen]
    if missing and not options.run:
        raise UserError(describe_missing(missing, recipe, explain(runs, recipe.params, digests)))
    for run in chosen.values():
        digests = {**run.digests, **digests}
    chosen |= run_folds(missing, recipe, digests)
    store = open_store()
    runs_by_fold = {fold: chosen[fold] for fold in range(recipe.folds)}
    write(pool_folds(runs_by_fold, store.meta.classes), store, options.base)


def parse_options() -> argparse.Namespace:
    """Read the command line; a wrong option ends the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.crossval",
        description="Judge a recipe by all photos: pool the folds of a cross-validation.",
    )
    parser.add_argument("--run", action="store_true", help="run the folds that are missing")
    parser.add_argument(
        "--folds", type=int, metavar="N", help=f"how many there are (1 / {FRACTION})"
    )
    parser.add_argument(
        "--base", metavar="REVISION", help="compare with the metrics/crossval/ of this revision"
    )
    options = parser.parse_args()
    if options.folds is not None and not 2 <= options.folds <= MOST_FOLDS:
        parser.error(f"--folds: must be from 2 to {MOST_FOLDS}, got {options.folds}")
    return options


def read_recipe(folds: int | None) -> Recipe:
    """Read params.yaml, and change its test_fraction where it makes another number of folds."""
    prepare = load_params().prepare
    params = flatten(read_yaml(PARAMS_FILE.read_bytes()))
    folds = folds or prepare.folds
    if not 2 <= folds <= MOST_FOLDS:
        raise UserError(
            f"{PARAMS_FILE}: {FRACTION} is {prepare.test_fraction:g}, which makes {folds:,} folds; "
            f"set it to 1 / folds, from 2 to {MOST_FOLDS} of them, or give --folds"
        )
    if folds == prepare.folds and hold_each_photo_once(folds, prepare.test_fraction):
        return Recipe(folds, params, [])
    fraction = round(1 / folds, 6)
    others = {name: value for name, value in params.items() if not name.startswith(FRACTION)}
    return Recipe(folds, {**others, FRACTION: fraction}, ["-S", f"{FRACTION}={fraction}"])


def describe_missing(missing: list[int], recipe: Recipe, reasons: list[str]) -> str:
    """Say which folds are missing, what a person types to run them, and why others don't count."""
    names = listed(str(fold) for fold in missing)
    words = [*recipe.changes, f"-S '{FOLD}={','.join(map(str, missing))}'"]
    lines = [
        f"{plural(len(missing), 'fold')} of {recipe.folds} missing: {names}; run them with",
        f"  dvc exp run --queue {' '.join(words)} && dvc exp run --run-all",
    ]
    return "\n".join([*lines, *(f"  ({reason})" for reason in reasons)])


def run_folds(missing: list[int], recipe: Recipe, digests: dict[str, str]) -> dict[int, FoldRun]:
    """Run folds one after another; one that does not count is an error at once."""
    if missing:
        check_experiments_see(str(recipe.params["data.photos"]))
    begin, runs = time.monotonic(), {}
    for number, fold in enumerate(missing):
        left = ""
        if number:
            seconds = (time.monotonic() - begin) / number * (len(missing) - number)
            left = f", about {seconds / 60:.0f} min left"
        print(
            f"fold {fold} of {recipe.folds}, {number + 1} of {len(missing)} to run{left}",
            flush=True,
        )
        runs[fold] = run = run_fold(fold, recipe)
        for reason in explain([run], recipe.params, digests):
            raise UserError(f"{reason}; `dvc repro prepare`, then run the same command again")
        digests = {**run.digests, **digests}
    return runs


def check_experiments_see(photos: str) -> None:
    """Refuse photos that an experiment would miss, and a store that is behind its photos."""
    if photos != GARDEN and not Path(photos).is_absolute() and not lists(photos, f"{photos}.dvc"):
        raise UserError(
            f"{PARAMS_FILE}: data.photos: experiments see only what Git or DVC tracks, and not "
            f"{plain(photos)}; `dvc add` it and `git add` its .dvc file, or name an absolute path"
        )
    if dvc_status("prepare"):
        raise UserError(
            f"{STORE} is behind the photos or the parameters; `dvc repro prepare`, then run the "
            "same command again"
        )


def run_fold(fold: int, recipe: Recipe) -> FoldRun:
    """Run a fold as an experiment in a folder of its own, under a name that is free."""
    names = {name for name, _ in experiments()}
    name = first = f"crossval-{fold}-of-{recipe.folds}"
    number = 1
    while name in names:
        number += 1
        name = f"{first}-{number}"
    weights = WEIGHTS / str(recipe.params["model.weights"])
    copied = Path(weights).exists() and not tracks(str(weights))
    words = [
        *("-m", "dvc", "exp", "run", "--temp", "--name", name),
        *(["--copy-paths", str(weights)] if copied else []),
        *recipe.changes,
        *("-S", f"{FOLD}={fold}"),
    ]
    code = subprocess.run([sys.executable, *words], check=False).returncode
    commit = dict(experiments()).get(name)
    run = read_run(name, commit) if commit else None
    if code or run is None:
        raise UserError(
            f"fold {fold} ended with exit code {code}; finished folds are kept: run the same "
            "command again to resume"
        )
    return run


def write(pool: Pool, store: Store, base: str | None) -> None:
    """Write the files, and print the summary."""
    places = pd.Index(store.manifest["path"]).get_indexer(pd.Index(pool.photos["path"]))
    if (places < 0).any() or len(places) != len(store.manifest):
        raise UserError(
            f"{STORE} holds {len(store.manifest):,} photos, and the folds tested {len(places):,}, "
            "not all the same; run `dvc repro prepare`, then `make crossval`"
        )
    figures, suspects = measure_pool(pool), find_suspects(pool)
    paired = pair_with(base, pool.photos) if base else None
    of_path = pd.Series(places, pool.photos["path"])
    picture = draw_suspects(suspects, lambda row: store.images[of_path[suspects["path"][row]]])
    doubted = int(suspects["confident"].sum())
    page = write_page(figures, doubted, base or "", paired)
    write_json(FOLDER / "crossval.json", figures)
    write_csv(FOLDER / "predictions.csv", pool.photos.round(DECIMALS))
    write_csv(FOLDER / "suspects.csv", suspects.round(DECIMALS))
    write_bytes(FOLDER / "suspects.png", png(picture))
    write_bytes(FOLDER / "crossval.md", page.encode())
    print(summarize(figures).replace("**", ""))
    if paired:
        print(describe_difference(base or "", paired))
    print(f"the complete page: {FOLDER}/crossval.md")


def pair_with(base: str, photos: pd.DataFrame) -> Paired:
    """Pair the pool with the one that a revision has in Git."""
    name, commit = find_commit(base)
    path = f"{FOLDER}/predictions.csv"
    try:
        before = read_file(path, read_predictions, partial(file_at, commit), f"{name}:")
    except ContentError as error:
        raise UserError(f"--base: {plain(error)}; cross-validate there again") from error
    if before is None:
        raise UserError(f"--base {name} has no {path}: cross-validate there, and commit {FOLDER}")
    return compare_predictions(before, photos)


if __name__ == "__main__":
    run_stage(main)
