"""The folds' test photos together: every photo once, predicted by a network that never saw it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.common.errors import UserError
from stages.model.classifier import Probabilities
from tools.crossval.runs import FoldRun, read_probabilities


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


def pool_folds(runs: dict[int, FoldRun]) -> Pool:
    """Read what each fold predicted, and put it together, by path.

    Raises
    ------
    UserError
        If the folds have other classes, or a photo was tested twice.
    """
    tables, probabilities = [], []
    known: list[str] = []
    for fold, run in sorted(runs.items()):
        photos, classes, found = read_probabilities(run)
        if known and classes != known:
            raise UserError(
                f"{run.name} has the classes {', '.join(classes)}, other folds {', '.join(known)}; "
                "run all folds on the same photos"
            )
        known = classes
        tables.append(photos.assign(fold=fold))
        probabilities.append(found)
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
    names = np.array(known)
    photos["predicted"] = names[pooled.argmax(axis=1)]
    photos["confidence"] = pooled.max(axis=1)
    labels = pd.Index(known).get_indexer(pd.Index(photos["actual"]))
    columns = ["path", "actual", "predicted", "confidence", "fold"]
    return Pool(photos[columns], known, labels.astype(np.int64), pooled)
