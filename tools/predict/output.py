"""Print predictions: for people, for spreadsheets, for programs."""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from stages.common.names import printable_name
from tools.predict.predicting import Prediction

WIDEST_PATH = 60
"""A longer path moves only the rest of its own line."""


def print_table(
    predictions: Iterable[Prediction], photos: Iterable[Path], classes: Iterable[str]
) -> None:
    """Print a line per photo: path, then class and probability, the most probable first; unsure."""
    path_width = max((len(printable_name(str(path))) for path in photos), default=0)
    path_width = min(path_width, WIDEST_PATH)
    class_width = max(map(len, classes))
    for prediction in predictions:
        columns = [f"{name:{class_width}} {share:7.2%}" for name, share in prediction.classes]
        mark = ["unsure"] if prediction.is_unsure else []
        print(f"{prediction.path:{path_width}}", *columns, *mark, sep="   ")


def print_csv(predictions: Iterable[Prediction]) -> None:
    """Print a header and rows of path, rank from 1, class, probability, true if it is unsure."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "rank", "class", "probability", "unsure"])
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes, start=1):
            unsure = str(prediction.is_unsure).lower()
            writer.writerow([prediction.path, rank, name, probability, unsure])


def print_json(predictions: Iterable[Prediction]) -> None:
    """Print one array with a line per photo, when all are done."""
    lines = []
    for prediction in predictions:
        classes = [{"class": name, "probability": share} for name, share in prediction.classes]
        row = {"path": prediction.path, "classes": classes, "unsure": prediction.is_unsure}
        lines.append(json.dumps(row))
    print("[" + ",\n ".join(lines) + "]")
