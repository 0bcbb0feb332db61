"""Classify the flowers in photos with a trained model.

Reads only the model's folder and the photos: neither DVC nor Git nor params.yaml. A photo that is
rejected gets a line on standard error; the others are predicted, and the exit code is 1. Run it
with ``python -m tools.predict PHOTO|FOLDER ...``.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

from stages.common.errors import UserError, run_stage
from stages.common.names import printable_name
from stages.model.device import choose_device, set_up_torch
from stages.model.folder import MODELS, load_classifier
from tools.options import named
from tools.predict.photos import Prediction, Rejections, find_photos, predict_photos


def main() -> None:
    """Load the model, predict the photos, print as they are done."""
    options = parse_options()
    set_up_torch(torch.get_num_threads())
    if not options.model.is_dir():
        raise UserError(
            f"--model: {options.model} is not a folder; give the one that holds model.json and "
            "model.safetensors (`dvc repro` makes it, or `dvc pull` where a remote has it)"
        )
    classifier = load_classifier(options.model, choose_device("auto", "device"))
    rejections = Rejections()
    photos = find_photos(options.photos, rejections)
    predictions = predict_photos(classifier, photos, options.top, rejections, options.explain)
    if options.json:
        print_json(predictions)
    elif options.csv:
        print_csv(predictions)
    else:
        print_table(predictions, photos, classifier.meta.classes)
    print(end="", flush=True)
    if rejections.count:
        sys.exit(1)


def parse_options() -> argparse.Namespace:
    """Read the command line; a wrong option ends the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.predict", description="Classify the flowers in photos."
    )
    parser.add_argument("photos", type=named, nargs="+", metavar="PHOTO|FOLDER")
    parser.add_argument(
        "--model", type=named, default=MODELS, metavar="FOLDER", help=f"the model ({MODELS})"
    )
    parser.add_argument(
        "--top", type=positive, default=3, metavar="N", help="classes to print for each photo (3)"
    )
    parser.add_argument(
        "--explain",
        type=named,
        metavar="FOLDER",
        help="write a picture for each photo: where the network found the flower",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON array")
    form.add_argument(
        "--csv", action="store_true", help="print path, rank, class, probability, unsure"
    )
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got {text!r}")
    return int(text)


WIDEST_PATH = 60
"""A longer path moves only the rest of its own line."""


def print_table(
    predictions: Iterable[Prediction], photos: Iterable[Path], classes: Iterable[str]
) -> None:
    """Print a line per photo: path, then class and probability, the most probable first; unsure."""
    path_width = max((len(printable_name(str(path))) for path in photos), default=0)
    path_width = min(path_width, WIDEST_PATH)
    class_width = max(len(printable_name(name)) for name in classes)
    for prediction in predictions:
        columns = [
            f"{printable_name(name):{class_width}} {share:7.2%}"
            for name, share in prediction.classes
        ]
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


if __name__ == "__main__":
    run_stage(main)
