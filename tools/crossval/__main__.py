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
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.errors import UserError, run_stage
from stages.common.files import write_bytes, write_csv, write_json
from stages.common.params import PARAMS_FILE, load_params
from stages.common.schema import FOLDS_SLACK, Prepare
from stages.common.store import STORE, open_store
from stages.drawing import png
from stages.evaluate.metrics import DECIMALS
from tools.crossval.page import compare, describe_missing, measure_pool, summarize, write_page
from tools.crossval.pool import Pool, pool_folds
from tools.crossval.runs import FOLD, FoldRun, choose_runs, digests_here, find_runs
from tools.crossval.suspects import draw_suspects, find_suspects
from tools.report.comparison import Paired, compare_predictions
from tools.report.git import file_at, find_commit, tracks
from tools.report.markdown import plain
from tools.report.snapshot import (
    WEIGHTS,
    ContentError,
    flatten,
    read_file,
    read_predictions,
    read_yaml,
)

FOLDER = Path("metrics/crossval")


def main() -> None:
    """Find the folds, run those that are missing if asked to, pool them, write the files."""
    options = parse_options()
    prepare = load_params().prepare
    folds = options.folds or prepare.folds
    wanted = {
        name: value
        for name, value in flatten(read_yaml(PARAMS_FILE.read_bytes())).items()
        if not name.startswith(("prepare.folds", "prepare.test_fraction"))  # may be pairs of values
    }
    wanted |= {"prepare.folds": folds, "prepare.test_fraction": fraction(folds, prepare)}
    found = find_runs()
    runs = choose_runs(found, wanted)
    if options.run:
        run_folds([fold for fold in range(folds) if fold not in runs], folds, wanted)
        found = find_runs()
        runs = choose_runs(found, wanted)
    if missing := [fold for fold in range(folds) if fold not in runs]:
        reasons = why_not(found, wanted)
        raise UserError(describe_missing(missing, folds, reasons, command(missing, folds, wanted)))
    write(pool_folds({fold: runs[fold] for fold in range(folds)}), options.base)


def parse_options() -> argparse.Namespace:
    """Read the command line; a wrong option ends the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.crossval",
        description="Judge a recipe by all photos: pool the folds of a cross-validation.",
    )
    parser.add_argument("--run", action="store_true", help="run the folds that are missing")
    parser.add_argument(
        "--folds", type=int, metavar="N", help="how many there are; else prepare.folds says"
    )
    parser.add_argument(
        "--base", metavar="REVISION", help="compare with the metrics/crossval/ of this revision"
    )
    options = parser.parse_args()
    if options.folds is not None and options.folds < 2:
        parser.error(f"--folds: must be at least 2, got {options.folds}")
    return options


def fraction(folds: int, prepare: Prepare) -> float:
    """Return the share of the photos that a fold tests: that of params.yaml where it fits."""
    ours = prepare.test_fraction
    fits = prepare.folds == folds and abs(ours * folds - 1) < FOLDS_SLACK
    return ours if fits else round(1 / folds, 6)


def overrides(folds: int, params: dict[str, Any]) -> list[str]:
    """Return the options of `dvc exp run` that are the same for all folds."""
    return [
        "-S",
        f"prepare.folds={folds}",
        "-S",
        f"prepare.test_fraction={params['prepare.test_fraction']!r}",
    ]


def command(missing: list[int], folds: int, params: dict[str, Any]) -> str:
    """Return what a person types to run some folds."""
    which = ",".join(map(str, missing))
    words = ["dvc exp run --queue", *overrides(folds, params), f"-S 'prepare.fold={which}'"]
    return f"{' '.join(words)} && dvc exp run --run-all"


def run_folds(missing: list[int], folds: int, params: dict[str, Any]) -> None:
    """Run folds as experiments in folders of their own, one after another."""
    begin = time.monotonic()
    weights = Path(WEIGHTS) / str(params["model.weights"])
    copied = ["--copy-paths", str(weights)] if weights.exists() and not tracks(str(weights)) else []
    for number, fold in enumerate(missing):
        left = ""
        if number:
            seconds = (time.monotonic() - begin) / number * (len(missing) - number)
            left = f", about {seconds / 60:.0f} min left"
        print(f"fold {fold} of {folds}, {number + 1} of {len(missing)} to run{left}", flush=True)
        words = [
            *("-m", "dvc", "exp", "run", "--temp", "--force"),
            *("--name", f"crossval-{fold}-of-{folds}"),
            *copied,
            *overrides(folds, params),
            *("-S", f"{FOLD}={fold}"),
        ]
        code = subprocess.run([sys.executable, *words], check=False).returncode
        if code:
            raise UserError(
                f"fold {fold} ended with exit code {code}; finished folds are kept: run the same "
                "command again to resume"
            )


def why_not(runs: list[FoldRun], params: dict[str, Any]) -> list[str]:
    """Say what differs in the runs that do not count, the nearest of each fold."""
    nearest: dict[int, tuple[int, str]] = {}
    for run in runs:
        names = run.differences(params, digests_here(run))
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            text = f"fold {run.fold} of {run.name} has other inputs: {shown}"
            nearest[run.fold] = min((len(names), text), nearest.get(run.fold, (len(names), text)))
    return [text for _, text in sorted(nearest.values())][:5]


def write(pool: Pool, base: str | None) -> None:
    """Write the files, and print the summary."""
    store = open_store()
    places = pd.Index(store.manifest["path"]).get_indexer(pd.Index(pool.photos["path"]))
    if (places < 0).any() or len(places) != len(store.manifest):
        raise UserError(
            f"{STORE} holds {len(store.manifest):,} photos, and the folds tested {len(places):,}, "
            "not all the same; run `dvc repro prepare`, then `make crossval`"
        )
    figures, suspects = measure_pool(pool), find_suspects(pool)
    paired = compare_with(base, pool.photos) if base else None
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
        print(compare(base or "", paired))
    print(f"the complete page: {FOLDER}/crossval.md")


def compare_with(base: str, photos: pd.DataFrame) -> Paired:
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
