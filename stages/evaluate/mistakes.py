"""The most confident mistakes, metrics/mistakes.png: where the network, or a label, is wrong."""

import pandas as pd
from PIL import Image

from stages.common.drawing import Section, Tile, draw
from stages.common.store import Store

PER_ROW = 7
MOST = 2 * PER_ROW


def draw_mistakes(predictions: pd.DataFrame, store: Store) -> Image.Image:
    """Draw the wrongly classified photos, the most confident mistakes first, with captions.

    Parameters
    ----------
    predictions : DataFrame
        ``path, actual, predicted, confidence`` by place in the store.
    store : Store
    """
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    shown = wrong.sort_values(["confidence", "path"], ascending=[False, True]).head(MOST)
    tiles = [
        Tile(number, (*_describe(actual, predicted, confidence), path.rpartition("/")[2]))
        for number, path, actual, predicted, confidence in shown.itertuples(name=None)
    ]
    title = _title(len(tiles), len(wrong), len(predictions))
    return draw([Section(title, tiles, PER_ROW)], lambda number: store.images[number])


def _describe(actual: str, predicted: str, confidence: float) -> tuple[str, str, str]:
    return f"is {actual}", f"predicted {predicted}", f"confidence {confidence:.1%}"


def _title(shown: int, wrong: int, photos: int) -> str:
    if not wrong:
        return f"No mistakes: all {photos} test photos are classified correctly"
    which = (
        f"the {shown} most confident of {wrong}"
        if shown < wrong
        else f"all {wrong}, most confident first"
    )
    return f"Mistakes on {photos} test photos: {which}"
