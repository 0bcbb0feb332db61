"""The folder of a trained model.

    model.safetensors   the weights, without metadata
    model.json          what it takes to use them: architecture, classes, image size, mean, std
    calibration.json    how to read it: views to average, a temperature, a threshold for "unsure"
    README.md           the model card, for people

train writes the first two, evaluate the others. The folder is all that a prediction needs.
"""

import hashlib
from pathlib import Path
from textwrap import shorten

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from stages.common.errors import UserError
from stages.common.files import new_folder, read_guarded, write_bytes, write_guarded
from stages.common.reading import read_bytes
from stages.model.classifier import Calibration, Classifier, ModelMeta
from stages.model.networks import build_network, load_weights

MODELS = Path("models")
CALIBRATION = "calibration.json"

MAX_BYTES = 16 * 10**9
"""Of weights."""

REMEDY = "train it again with `dvc repro --force train`, or copy the whole folder again"
REMEDY_OF_CALIBRATION = "make it again with `dvc repro --force evaluate`, or remove it"


def save_classifier(classifier: Classifier, folder: Path = MODELS) -> None:
    """Write the folder completely, or leave the old one as it was."""
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in classifier.network.state_dict().items()
    }
    weights = save_tensors(state)
    meta = classifier.meta.model_copy(
        update={"weights_sha256": hashlib.sha256(weights).hexdigest()}
    )
    with new_folder(folder) as partial:
        write_bytes(partial / "model.safetensors", weights)
        write_guarded(partial / "model.json", meta)


def load_classifier(folder: Path, device: torch.device, calibrated: bool = True) -> Classifier:
    """Read a model's folder, ready to predict.

    Parameters
    ----------
    folder : Path
    device : torch.device
    calibrated : bool
        Whether with its calibration.json; without such a file it is as trained.
    """
    meta = read_model_meta(folder / "model.json")
    weights = _read_weights(folder / "model.safetensors", meta.weights_sha256)
    try:
        network = build_network(meta.architecture, meta.width, len(meta.classes))
    except UserError as error:
        raise UserError(f"{folder}/model.json: architecture: {error}; {REMEDY}") from error
    expected = network.state_dict()
    if other := [n for n, w in weights.items() if n in expected and w.dtype != expected[n].dtype]:
        raise UserError(
            f"{folder}/model.safetensors: {other[0]} is {weights[other[0]].dtype}, not "
            f"{expected[other[0]].dtype}; {REMEDY}"
        )
    try:
        load_weights(network, weights)
    except RuntimeError as error:
        first = shorten(str(error).partition("\n")[2], width=100, placeholder=" ...")
        raise UserError(
            f"{folder}: model.safetensors does not fit model.json: {first}; {REMEDY}"
        ) from error
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    path = folder / CALIBRATION
    if calibrated and path.exists():
        return Classifier(network, meta, read_calibration(path, meta))
    return Classifier(network, meta)


def read_model_meta(path: Path) -> ModelMeta:
    """Read a model.json."""
    return read_guarded(path, ModelMeta, REMEDY)


def read_calibration(path: Path, meta: ModelMeta) -> Calibration:
    """Read a calibration.json."""
    calibration = read_guarded(path, Calibration, REMEDY_OF_CALIBRATION)
    if calibration.weights_sha256 != meta.weights_sha256:
        raise UserError(f"{path}: belongs to other weights; {REMEDY_OF_CALIBRATION}")
    return calibration


def _read_weights(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        content = read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {REMEDY}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(f"{path}: is damaged: its sha256 is not that of model.json; {REMEDY}")
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise UserError(f"{path}: is not a safetensors file: {error}; {REMEDY}") from error
