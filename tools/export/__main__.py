"""Write the trained model as one ONNX file: models, data/prepared -> flowers.onnx.

The file takes photos as bytes and gives probabilities; its metadata says how to prepare the former
and read the latter. It is written only after ONNX Runtime and PyTorch have classified every photo
of the test split alike. Beside it lie flowers.json, the metadata for runtimes that cannot read
them in the file, and flowers.py, a small program that uses it. Run it with
``python -m tools.export models --onnx flowers.onnx``.
"""

import argparse
import json
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import torch

from stages.common.errors import UserError, run_stage
from stages.common.files import partial_name, write_bytes
from stages.common.store import STORE, open_store
from stages.evaluate.predicting import check_fit
from stages.model.device import set_up_torch
from stages.model.folder import load_classifier
from tools.options import named

REFERENCE = Path(__file__).with_name("reference.py")
"""A program of its own, which is copied: it imports nothing of the project."""

ABOUT_START = b'{\n  "onnx_sha256"'
"""Of flowers.json: what models/model.json does not start with."""

EXTRA = ("onnx", "onnxruntime", "onnxscript")


def main() -> None:
    """Load the model, convert it, compare both on the test split, write the file."""
    options = parse_options()
    about, program = options.onnx.with_suffix(".json"), options.onnx.with_suffix(".py")
    check_own(program, REFERENCE.read_bytes().partition(b"\n")[0])
    check_own(about, ABOUT_START)
    check_extra()
    # Not at the top: the packages of the extra may be missing.
    from tools.export.convert import check_agreement, convert, describe

    set_up_torch(torch.get_num_threads())
    classifier = load_classifier(options.model, torch.device("cpu"))
    store = open_store(options.store)
    check_fit(store, classifier, options.store, options.model)
    content = convert(classifier)
    difference = check_agreement(content, classifier, store)
    described = {"onnx_sha256": sha256(content).hexdigest(), **describe(classifier)}
    text = json.dumps(described, indent=2).encode()
    write_together({options.onnx: content, about: text, program: REFERENCE.read_bytes()})
    photos = len(store.indices("test"))
    print(
        f"{options.onnx}: {len(content) / 1e6:.1f} MB; all {photos} test photos get the class "
        f"that PyTorch gives them; probabilities differ by at most {difference:.1g}; "
        f"{about} describes it, and {program} shows how to use it"
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
    try:
        is_other = path.exists() and not path.is_file()
    except OSError:  # of a folder that may not be entered
        is_other = True
    if path.suffix != ".onnx" or is_other:
        raise argparse.ArgumentTypeError(f"must name a file, such as flowers.onnx, got {text!r}")
    return path


def check_own(path: Path, start: bytes) -> None:
    """Refuse to overwrite what is not an earlier export's file, which its start tells."""
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(start)):
        raise UserError(
            f"--onnx: {path} is a file of yours, which the one that goes with the model would "
            "overwrite; give --onnx another name, or move that file"
        )


def write_together(files: dict[Path, bytes]) -> None:
    """Write files that belong together: on a full disk, all the old ones stay."""
    try:
        for path, content in files.items():
            write_bytes(partial_name(path), content)
        for path in files:
            partial_name(path).replace(path)
    finally:
        for path in files:
            with suppress(OSError):
                partial_name(path).unlink(missing_ok=True)


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
