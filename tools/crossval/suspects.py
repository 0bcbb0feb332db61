"""Photos whose label is doubtful: a network that never saw them says something else.

Where it is as sure of another class as it usually is of photos of that class, the doubt is
confident, in the sense of confident learning.

References
----------
Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from stages.drawing import Section, Tile, draw
from tools.crossval.pool import Pool

PER_ROW = 8
MOST = 5 * PER_ROW
"""Photos on the contact sheet."""


def find_suspects(pool: Pool) -> pd.DataFrame:
    """Return the photos whose label the network contradicts, most doubtful first.

    Returns
    -------
    DataFrame
        ``path, label, better_label``, the probabilities of the two as ``label_probability`` and
        ``better_probability``, whether the doubt is ``confident``, and the ``fold`` that tested the
        photo. Its order is that of the difference between the two probabilities.
    """
    probabilities, labels = pool.probabilities, pool.labels
    classes, rows = range(len(pool.classes)), np.arange(len(labels))
    # How sure it usually is: the mean over the photos of a class; a class without any has none.
    usual = np.array(
        [
            probabilities[labels == label, label].mean() if (labels == label).any() else np.inf
            for label in classes
        ]
    )
    better = probabilities.argmax(axis=1)
    highest = probabilities[rows, better]
    names = np.array(pool.classes)
    table = pd.DataFrame(
        {
            "path": pool.photos["path"],
            "label": names[labels],
            "better_label": names[better],
            "label_probability": probabilities[rows, labels],
            "better_probability": highest,
            "confident": highest >= usual[better],
            "fold": pool.photos["fold"],
        }
    )
    doubtful = table[better != labels]
    margin = doubtful["better_probability"] - doubtful["label_probability"]
    order = doubtful.assign(margin=margin).sort_values(["margin", "path"], ascending=[False, True])
    suspects: pd.DataFrame = order.drop(columns="margin").reset_index(drop=True)
    return suspects


def draw_suspects(
    suspects: pd.DataFrame, read: Callable[[int], npt.NDArray[np.uint8]]
) -> Image.Image:
    """Draw the most doubtful photos; `read` gives the photo of a row of the table."""
    shown = suspects.head(MOST)
    tiles = [
        Tile(
            number,
            (
                f"labeled {row.label}",
                f"predicted {row.better_label} {row.better_probability:.0%}",
                str(row.path).rpartition("/")[2],
            ),
        )
        for number, row in enumerate(shown.itertuples())
    ]
    title = (
        f"Doubtful labels, most doubtful first: {len(shown)} of {len(suspects)}, "
        f"{suspects['confident'].sum()} of them confidently doubted"
        if tiles
        else "No label is doubtful"
    )
    return draw([Section(title, tiles, PER_ROW)], read)
