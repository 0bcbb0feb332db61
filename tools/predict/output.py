"""Predictions as text: for people, for spreadsheets, for programs."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stages.common.names import printable_name
from tools.predict.predicting import Prediction

WIDEST_PATH = 60
"""A longer path moves the rest of its own line only."""


def as_table(
    predictions: Iterable[Prediction], photos: Iterable[Path], classes: Iterable[str]
) -> Iterator[str]:
    """Give a line per photo: its path, then class and probability, the most probable first."""
    path_width = max(
        (min(len(printable_name(str(path))), WIDEST_PATH) for path in photos), default=0
    )
    class_width = max(map(len, classes))
    for prediction in predictions:
        columns = [f"{name:{class_width}} {share:7.2%}" for name, share in prediction.classes]
        yield "   ".join([f"{prediction.path:{path_width}}", *columns])


def as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Give a header, then a row per photo and class: path, rank from 1, class, probability."""
    yield _row("path", "rank", "class", "probability")
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes, start=1):
            yield _row(prediction.path, rank, name, probability)


def as_json(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Give one array with a line per photo, when all are done."""
    yield "[" + ",\n ".join(json.dumps(_object(prediction)) for prediction in predictions) + "]"


def _object(prediction: Prediction) -> dict[str, Any]:
    classes = [{"class": name, "probability": share} for name, share in prediction.classes]
    return {"path": prediction.path, "classes": classes}


def _row(*values: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
