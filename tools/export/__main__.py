"""Write the trained model as one ONNX file: models, data/prepared -> flowers.onnx.

The file takes photos as bytes and gives probabilities; its metadata says how to prepare the former
and read the latter. It is written only after ONNX Runtime and PyTorch have classified every photo
of the test split alike. Beside it lies flowers.py, a small program that uses it. Run it with
``python -m tools.export models --onnx flowers.onnx``.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import torch

from stages.common.errors import UserError, run_stage
from stages.common.files import write_bytes
from stages.common.store import STORE, open_store
from stages.evaluate.predicting import check_fit
from stages.model.device import set_up_torch
from stages.model.folder import load_classifier
from tools.options import named

REFERENCE = Path(__file__).with_name("reference.py")
"""A program of its own, which is copied: it imports nothing of the project."""

EXTRA = ("onnx", "onnxruntime", "onnxscript")


def main() -> None:
    """Load the model, convert it, compare both on the test split, write the file."""
    options = parse_options()
    program = options.onnx.with_suffix(".py")
    check_program(program)
    check_extra()
    # Not at the top: the packages of the extra may be missing.
    from tools.export.convert import check_agreement, convert

    set_up_torch(torch.get_num_threads())
    classifier = load_classifier(options.model, torch.device("cpu"))
    store = open_store(options.store)
    check_fit(store, classifier, options.store, options.model)
    content = convert(classifier)
    difference = check_agreement(content, classifier, store)
    write_bytes(options.onnx, content)
    write_bytes(program, REFERENCE.read_bytes())
    photos = len(store.indices("test"))
    print(
        f"{options.onnx}: {len(content) / 1e6:.1f} MB; all {photos} test photos get the class "
        f"that PyTorch gives them; probabilities differ by at most {difference:.1g}; {program} "
        "shows how to use it"
    )


def parse_options() -> argparse.Namespace:
    """Read the command line; a wrong option ends the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.export", description="Write the trained model as one ONNX file."
    )
    parser.add_argument("model", type=named, metavar="MODEL", help="the model's folder: models")
    parser.add_argument(
        "--onnx", type=file_to_write, required=True, metavar="FILE", help="what to write"
    )
    parser.add_argument(
        "--store",
        type=named,
        default=STORE,
        metavar="FOLDER",
        help=f"where the store is that the model was trained on ({STORE})",
    )
    return parser.parse_args()


def file_to_write(text: str) -> Path:
    """Read the name of a file that may be there already, and no folder or device."""
    path = Path(text)
    if path.suffix != ".onnx" or (path.exists() and not path.is_file()):
        raise argparse.ArgumentTypeError(f"must name a file, such as flowers.onnx, got {text!r}")
    return path


def check_program(path: Path) -> None:
    """Refuse to overwrite what is not an earlier export's program, which its first line tells."""
    first_line = REFERENCE.read_bytes().partition(b"\n")[0]
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(first_line)):
        raise UserError(
            f"--onnx: {path} is a file of yours, and the program that uses the model would "
            "overwrite it; give --onnx another name, or move that file"
        )


def check_extra() -> None:
    """Refuse to start without the packages of the extra ``export``."""
    missing = [name for name in EXTRA if not find_spec(name)]
    if missing:
        raise UserError(
            f"export needs {', '.join(missing)}, not installed here; run `make setup`, or "
            f"`pip install {' '.join(missing)}`"
        )


if __name__ == "__main__":
    run_stage(main)
