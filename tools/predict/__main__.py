"""Classify the flowers in photos with a trained model.

Reads only the model's folder and the photos: neither DVC nor Git nor params.yaml; --unlabeled also
the store's manifest, to leave out what has a label. A photo that is rejected gets a line on
standard error; the others are predicted, and the exit code is 1. Run it with
``python -m tools.predict PHOTO|FOLDER ...``.
"""

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TextIO

import torch
from tqdm import tqdm

from stages.common.errors import UserError, run_stage
from stages.common.files import readable_os_errors, write_bytes
from stages.common.names import printable_name
from stages.model.device import set_up_torch
from stages.model.folder import MODELS
from tools.options import named
from tools.predict import Predictor
from tools.predict.photos import Prediction, Rejections, find_photos, predict_photos
from tools.predict.unlabeled import choose_unlabeled, labeled_photos, print_unlabeled


def main() -> None:
    """Load the model, predict the photos, print as they are done."""
    options = parse_options()
    set_up_torch(torch.get_num_threads())
    if not options.model.is_dir():
        raise UserError(
            f"--model: {options.model} is not a folder; give the one that holds model.json and "
            "model.safetensors (`dvc repro` makes it, or `dvc pull` where a remote has it)"
        )
    if options.output:
        check_output(options.output)
    labeled = labeled_photos() if options.unlabeled else set()
    classifier = Predictor(options.model).classifier
    rejections = Rejections()
    photos = find_photos(options.photos, rejections)
    out = io.StringIO() if options.output else sys.stdout
    top = options.top or (1 if options.form == "csv" else 3)
    with closing(predict_photos(classifier, photos, top, options.explain)) as predictions:
        has_lines = not (options.output or options.unlabeled or options.form == "json")
        accepted = report(predictions, len(photos), rejections, has_lines)
        if options.unlabeled:
            meta = classifier.meta
            print_unlabeled(choose_unlabeled(accepted, labeled, options.unlabeled, meta), out)
        elif options.form == "json":
            print_json(accepted, out)
        elif options.form == "csv":
            print_csv(accepted, min(top, len(classifier.meta.classes)), out)
        else:
            print_table(accepted, photos, classifier.meta.classes)
    if isinstance(out, io.StringIO):
        write_bytes(options.output, out.getvalue().encode())
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
        "--top", type=positive, metavar="N", help="classes for each photo (3; with --csv 1)"
    )
    parser.add_argument(
        "--explain",
        type=named,
        metavar="FOLDER",
        help="write a picture for each photo: where the network found the flower",
    )
    parser.add_argument(
        "--output", type=table_file, metavar="FILE", help="write a .csv or .json file, or none"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON array")
    form.add_argument(
        "--csv", action="store_true", help="print a row per photo: path,class,probability,unsure"
    )
    form.add_argument(
        "--unlabeled",
        type=positive,
        nargs="?",
        const=100,
        metavar="N",
        help="print a CSV of the N (100) photos without a label that the model is least sure of",
    )
    options = parser.parse_args()
    options.form = "json" if options.json else "csv" if options.csv or options.unlabeled else ""
    if options.output:
        asked, options.form = options.form, options.output.suffix.removeprefix(".")
        if asked not in ("", options.form):
            parser.error(f"--output: must end in .{asked} here, got {options.output}")
    return options


def table_file(text: str) -> Path:
    """Read the name of a file whose suffix says its form."""
    if Path(text).suffix not in (".csv", ".json"):
        raise argparse.ArgumentTypeError(f"must end in .csv or .json, got {text!r}")
    return Path(text)


def check_output(path: Path) -> None:
    """Refuse, before the work, a place where no file can be written."""
    with readable_os_errors(path):  # of a folder that may not be entered
        is_other = path.exists() and not path.is_file()
    if is_other:
        raise UserError(f"--output: {path} is not a file; name one, such as predictions.csv")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)):
        raise UserError(f"--output: {path.parent} is not a folder to write in; name another one")


def report(
    predictions: Iterable[Prediction], total: int, rejections: Rejections, has_lines: bool
) -> Iterator[Prediction]:
    """Give the photos that are classified; show a bar, unless their lines appear in a terminal."""
    hidden = True if has_lines and sys.stdout.isatty() else None  # None asks standard error
    bar = partial(tqdm, unit=" photos", ncols=80, delay=1, disable=hidden)
    for prediction in bar(predictions, "predict", total):
        if prediction.rejected:
            rejections.add(prediction.path, prediction.rejected)
        else:
            yield prediction


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
        path = printable_name(str(prediction.path))
        print(f"{path:{path_width}}", *columns, *mark, sep="   ")


def print_csv(predictions: Iterable[Prediction], top: int, out: TextIO) -> None:
    """Write a row per photo; classes after the best, up to `top`, as class2, probability2 ..."""
    writer = csv.writer(out, lineterminator="\n")
    further = [f"{name}{rank}" for rank in range(2, top + 1) for name in ("class", "probability")]
    writer.writerow(["path", "class", "probability", "unsure", *further])
    for prediction in predictions:
        best, *others = prediction.classes
        path, unsure = printable_name(str(prediction.path)), str(prediction.is_unsure).lower()
        writer.writerow([path, *best, unsure, *(value for other in others for value in other)])


def print_json(predictions: Iterable[Prediction], out: TextIO) -> None:
    """Write one array with a line per photo, when all are done."""
    lines = []
    for prediction in predictions:
        classes = [{"class": name, "probability": share} for name, share in prediction.classes]
        path = printable_name(str(prediction.path))
        lines.append(json.dumps({"path": path, "classes": classes, "unsure": prediction.is_unsure}))
    print("[" + ",\n ".join(lines) + "]", file=out)


if __name__ == "__main__":
    run_stage(main)
