"""Name the flowers in photos with a trained model.

Reads the model's folder and the photos, nothing else: neither DVC nor Git nor params.yaml. A photo
that cannot be used gets a line on standard error; the exit code is then 1, after the others are
done. Run it with ``python -m tools.predict PHOTO|FOLDER ...``.
"""

import argparse
import sys
from pathlib import Path

import torch

from stages.common.classifier import MODELS, load_classifier
from stages.common.device import choose_device, set_deterministic
from stages.common.errors import UserError, run_stage
from tools.predict.output import as_csv, as_json, as_table
from tools.predict.photos import Complaints, find_photos
from tools.predict.predicting import predict_photos


def main() -> None:
    """Load the model, predict photo by photo, print as we go."""
    options = parse_options()
    set_deterministic(torch.get_num_threads())
    if not options.model.is_dir():
        raise UserError(
            f"--model: {options.model} is no folder; name the one that holds model.json and "
            "model.safetensors (`dvc repro` makes it, or `dvc pull` where a remote has it)"
        )
    classifier = load_classifier(options.model, choose_device("auto", "device"))
    complaints = Complaints()
    photos = find_photos(options.photos, complaints)
    predictions = predict_photos(classifier, photos, options.top, complaints)
    if options.json:
        lines = as_json(predictions)
    elif options.csv:
        lines = as_csv(predictions)
    else:
        lines = as_table(predictions, photos, classifier.card.classes)
    for line in lines:
        print(line)
    sys.stdout.flush()
    if complaints.count:
        sys.exit(1)


def parse_options() -> argparse.Namespace:
    """Read the command line; a wrong option ends the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.predict", description="Name the flowers in photos."
    )
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO|FOLDER")
    parser.add_argument(
        "--model", type=Path, default=MODELS, metavar="FOLDER", help=f"the model ({MODELS})"
    )
    parser.add_argument(
        "--top", type=positive, default=3, metavar="N", help="classes to name for each photo (3)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON array")
    form.add_argument("--csv", action="store_true", help="print path, rank, class, probability")
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got {text!r}")
    return int(text)


if __name__ == "__main__":
    run_stage(main)
