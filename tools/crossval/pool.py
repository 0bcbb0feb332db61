"""The folds' test photos together: every photo once, predicted by a network that never saw it.

What people read of them is Markdown, what programs read is JSON.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.common.errors import UserError, about
from stages.common.store import STORE
from stages.evaluate.markdown import code, listed, plain, plural, table
from stages.evaluate.metrics import accuracy_interval, measure
from stages.evaluate.model_card import class_table
from stages.evaluate.predicting import DECIMALS, PROBABILITIES
from stages.model.classifier import Probabilities
from tools.crossval.runs import FoldRun
from tools.report.comparison import GAINED, LOST, Paired, mcnemar_exact, show_p_value

SLACK = 0.01
"""How far rounded probabilities may be from adding up to 1."""


@dataclass(frozen=True)
class Pool:
    """All photos of a cross-validation.

    Attributes
    ----------
    photos : DataFrame
        ``path, actual, predicted, confidence, fold``, a row per photo.
    classes : list of str
    labels : int64 array of shape (photos,)
        Places in `classes`.
    probabilities : float64 array of shape (photos, classes)
    """

    photos: pd.DataFrame
    classes: list[str]
    labels: npt.NDArray[np.int64]
    probabilities: Probabilities


def pool_folds(runs: dict[int, FoldRun], classes: list[str]) -> Pool:
    """Read what each fold predicted of the store's classes, and put it together, by path."""
    tables, probabilities = [], []
    for fold, run in sorted(runs.items()):
        photos, of_fold = read_probabilities(run, classes)
        tables.append(photos.assign(fold=fold))
        probabilities.append(of_fold)
    photos = pd.concat(tables, ignore_index=True)
    order = photos["path"].argsort(kind="stable").to_numpy()
    photos = photos.iloc[order].reset_index(drop=True)
    twice = photos["path"][photos["path"].duplicated()]
    if not twice.empty:
        raise UserError(
            f"{twice.iloc[0]} was tested in two folds ({len(twice)} such photos); run all folds on "
            "the same photos"
        )
    pooled = np.concatenate(probabilities)[order]
    names = np.array(classes)
    photos["predicted"] = names[pooled.argmax(axis=1)]
    photos["confidence"] = pooled.max(axis=1)
    labels = pd.Index(classes).get_indexer(pd.Index(photos["actual"]))
    columns = ["path", "actual", "predicted", "confidence", "fold"]
    return Pool(photos[columns], classes, labels.astype(np.int64), pooled)


def read_probabilities(run: FoldRun, classes: list[str]) -> tuple[pd.DataFrame, Probabilities]:
    """Return a run's photos (``path, actual``), and their probabilities of the store's classes."""
    # Imported here, because it takes seconds.
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        content = dvc.api.read(str(PROBABILITIES), rev=run.commit, mode="rb")
    except (OSError, DvcException) as error:
        raise UserError(
            f"{run.name}: {PROBABILITIES} cannot be read: {error}; `dvc exp pull` or `dvc pull` "
            "it, or run that fold again"
        ) from error
    with about(f"{run.name}: {PROBABILITIES}"):
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != run.probabilities_md5:
            raise UserError("is not what dvc.lock names: it is damaged; run that fold again")
        try:
            rows = pd.read_csv(io.BytesIO(content), header=None, dtype=str, keep_default_na=False)
            photos = rows.iloc[1:, :2].set_axis(["path", "actual"], axis=1)
            rounded = rows.iloc[1:, 2:].to_numpy(dtype=np.float64)
            sums = rounded.sum(axis=1, keepdims=True)
            if not (photos["actual"].isin(classes).all() and (np.abs(sums - 1) < SLACK).all()):
                raise ValueError
        except ValueError as error:
            raise UserError("has no table of probabilities; run that fold again") from error
        if rows.iloc[0, 2:].tolist() != classes:
            raise UserError(
                f"has the classes {listed(map(plain, rows.iloc[0, 2:]))}, {STORE} has "
                f"{listed(map(plain, classes))}; run all folds on the same photos"
            )
    return photos, rounded / sums


def measure_pool(pool: Pool) -> dict[str, Any]:
    """Return the figures of all photos together, as in metrics/evaluation.json, and of each fold.

    The baseline is the most common class of all photos.
    """
    figures = measure(pool.labels, pool.probabilities, pool.classes, pool.labels)
    return {**figures, "folds": measure_folds(pool)}


def measure_folds(pool: Pool) -> dict[str, dict[str, float | int]]:
    """Return each fold's accuracy with its interval, and its number of photos."""
    right = pool.photos["actual"] == pool.photos["predicted"]
    folds = {}
    for fold, of_fold in right.groupby(pool.photos["fold"]):
        low, high = accuracy_interval(int(of_fold.sum()), len(of_fold))
        accuracy = {"accuracy": of_fold.mean(), "accuracy_low": low, "accuracy_high": high}
        rounded = {name: round(float(value), DECIMALS) for name, value in accuracy.items()}
        folds[str(fold)] = {**rounded, "images": len(of_fold)}
    return folds


def write_page(figures: dict[str, Any], suspects: int, base: str, paired: Paired | None) -> str:
    """Return the Markdown page; `base` names what `paired` compares with."""
    numbers = [[code(k), f"{v:,}"] for k, v in figures.items() if not isinstance(v, dict)]
    folds = [
        [
            fold,
            f"{row['accuracy']:.1%}",
            f"{row['accuracy_low']:.1%} to {row['accuracy_high']:.1%}",
            f"{row['images']:,}",
        ]
        for fold, row in figures["folds"].items()
    ]
    lines = [
        "# Cross-validation",
        summarize(figures),
        *([describe_difference(base, paired)] if paired else []),
        f"The network confidently doubts {plural(suspects, 'label')}: suspects.csv and "
        "suspects.png, most doubtful first.",
        "## Figures of all photos",
        table(["figure", "value"], numbers, "figure"),
        "## Folds",
        table(["fold", "accuracy", "95 % interval", "photos"], folds, "fold"),
        "## Classes",
        class_table(figures),
    ]
    return "\n\n".join(lines) + "\n"


def summarize(figures: dict[str, Any]) -> str:
    """Return the sentence with the accuracy and its interval."""
    accuracies = [fold["accuracy"] for fold in figures["folds"].values()]
    spread = np.std(accuracies, ddof=1) if len(accuracies) > 1 else 0
    return (
        f"**Accuracy {figures['accuracy']:.1%}** of {figures['images']:,} photos, each tested by a "
        f"network that never saw it (95 % interval {figures['accuracy_low']:.1%} to "
        f"{figures['accuracy_high']:.1%}); {plural(len(accuracies), 'fold')} from "
        f"{min(accuracies):.1%} to {max(accuracies):.1%}, standard deviation {100 * spread:.1f} "
        "points."
    )


def describe_difference(base: str, paired: Paired) -> str:
    """Return the sentence on another revision's pool: McNemar's test on the photos of both."""
    lost, gained = paired.count(LOST), paired.count(GAINED)
    shown = show_p_value(mcnemar_exact(lost, gained))
    return (
        f"Against {code(base)}, on {plural(paired.shared, 'photo')} of both: {gained:,} became "
        f"right, {lost:,} became wrong. Two equally good recipes would differ by at least this "
        f"much with probability {shown} (McNemar's exact test)."
    )
