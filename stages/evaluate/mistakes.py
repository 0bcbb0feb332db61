"""The most confident mistakes, metrics/mistakes.png: where the network, or a label, is wrong."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from stages.common.store import Store
from stages.drawing import Section, Tile, draw
from stages.evaluate.explain import activation_maps, spotlight
from stages.model.classifier import Classifier

PER_ROW = 8
MOST = 16
"""Photos, each beside a copy that shows where the network looked."""


def draw_mistakes(predictions: pd.DataFrame, store: Store, classifier: Classifier) -> Image.Image:
    """Draw the wrongly classified photos, the most confident mistakes first, with captions.

    Parameters
    ----------
    predictions : DataFrame
        ``path, actual, predicted, confidence`` by place in the store.
    """
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    shown = wrong.sort_values(["confidence", "path"], ascending=[False, True]).head(MOST)
    photos = store.images[shown.index.to_numpy(np.int64)]
    classes = pd.Index(store.meta.classes).get_indexer(pd.Index(shown["predicted"]))
    maps = activation_maps(classifier, photos, classes.astype(np.int64))
    pictures: list[npt.NDArray[np.uint8]] = []
    tiles = []
    for row, photo, activation in zip(shown.itertuples(), photos, maps, strict=True):
        captions = _describe(row), ("where it found", f"the {row.predicted}")
        for picture, caption in zip((photo, spotlight(photo, activation)), captions, strict=True):
            tiles.append(Tile(len(pictures), caption))
            pictures.append(picture)
    title = _title(len(shown), len(wrong), len(predictions))
    return draw([Section(title, tiles, PER_ROW)], pictures.__getitem__)


def _describe(row: Any) -> tuple[str, ...]:
    return (
        f"is {row.actual}",
        f"predicted {row.predicted}",
        f"confidence {row.confidence:.1%}",
        row.path.rpartition("/")[2],
    )


def _title(shown: int, wrong: int, photos: int) -> str:
    if not wrong:
        return f"No mistakes: all {photos} test photos are classified correctly"
    which = (
        f"the {shown} most confident of {wrong}"
        if shown < wrong
        else f"all {wrong}, most confident first"
    )
    return f"Mistakes on {photos} test photos: {which}"
