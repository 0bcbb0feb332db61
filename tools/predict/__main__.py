"""Classify the flowers in photos with a trained model.

Reads only the model's folder and the photos: neither DVC nor Git nor params.yaml. A photo that is
rejected gets a line on standard error; the others are predicted, and the exit code is 1. Run it
with ``python -m tools.predict PHOTO|FOLDER ...``.
"""

import argparse
import sys
from pathlib import Path

import torch

from stages.model.device import choose_device, set_up_torch
from stages.common.errors import UserError, run_stage
from stages.model.folder import MODELS, load_classifier
from tools.predict.output import print_csv, print_json, print_table
from tools.predict.photos import Rejected, find_photos
from tools.predict.predicting import predict_photos


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
    rejected = Rejected()
    photos = find_photos(options.photos, rejected)
    predictions = predict_photos(classifier, photos, options.top, rejected, options.explain)
    if options.json:
        print_json(predictions)
    elif options.csv:
        print_csv(predictions)
    else:
        print_table(predictions, photos, classifier.meta.classes)
    print(end="", flush=True)
    if rejected.count:
        sys.exit(1)


def parse_options() -> argparse.Namespace:
    """Read the command line; a wrong option ends the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.predict", description="Classify the flowers in photos."
    )
    parser.add_argument("photos", type=named, nargs="+", metavar="PHOTO|FOLDER")
    parser.add_argument(
        "--model", type=Path, default=MODELS, metavar="FOLDER", help=f"the model ({MODELS})"
    )
    parser.add_argument(
        "--top", type=positive, default=3, metavar="N", help="classes to print for each photo (3)"
    )
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="FOLDER",
        help="write a picture for each photo: where the network found the flower",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON array")
    form.add_argument(
        "--csv", action="store_true", help="print path, rank, class, probability, unsure"
    )
    return parser.parse_args()


def named(text: str) -> Path:
    """Read a path; an empty one, as of an unset variable, would mean this folder."""
    if not text:
        raise argparse.ArgumentTypeError("must name a photo or a folder, got nothing")
    return Path(text)


def positive(text: str) -> int:
    """Read a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got {text!r}")
    return int(text)


if __name__ == "__main__":
    run_stage(main)
