"""Weights to start from: in data/weights, or the library's own; never a pickle that runs.

dvc.yaml has ``data/weights/${model.weights}`` as a dep, so that DVC sees it change.
"""

import hashlib
import io
import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from stages.common.errors import UserError, first_line
from stages.common.reading import read_bytes
from stages.common.schema import Model
from stages.model.classifier import ModelMeta
from stages.model.folder import MAX_BYTES, read_model_meta
from stages.model.networks import FLOWERNET, TIMM, default_weights, head_name, load_weights

WEIGHTS = Path("data/weights")

HERE = "params.yaml: model.weights"

OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")
"""In torchvision's files of densenets ``norm.1`` is what the network calls ``norm1``."""

WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.")
"""What several GPUs, a compiler, Lightning and the like put before all names."""


HEAD_SPREAD = 0.001
"""Standard deviation of a new head's first weights, and of its biases; some libraries take 0.26."""


@dataclass(frozen=True)
class Pretrained:
    """Weights, and what photos must be like for them."""

    weights: dict[str, Tensor]
    mean: list[float]
    std: list[float]
    """Per channel, of values in [0, 1]."""
    size_px: int
    """Side of the images."""
    sha256: str
    path: Path
    store_sha256: str = ""
    """Of manifest.csv of the store that it was trained on here; empty if it was not."""


def load_pretrained(model: Model) -> Pretrained | None:
    """Return the weights that ``model.weights`` asks for; None for random ones."""
    if model.weights == "none":
        return None
    path = WEIGHTS / model.weights
    if path.is_dir():
        meta = _meta_of(path, model)
        weights, sha256 = _read(path / "model.safetensors")
        trained_on = meta.store_manifest_sha256
        return Pretrained(
            weights, meta.mean, meta.std, meta.input_size_px, sha256, path, trained_on
        )
    if model.name == FLOWERNET:
        raise UserError(
            f"{HERE} must be none or the name of a folder in {WEIGHTS} that holds a trained "
            f"flowernet, got {model.weights}: copy one with `cp -r models {WEIGHTS}/mine`"
        )
    default, digest = default_weights(model.name), ""
    if model.weights == "DEFAULT":
        if not default.source:
            raise UserError(
                f"{HERE} is DEFAULT, but there are no weights of {model.name}; set it to none, or "
                f"to a file in {WEIGHTS}"
            )
        download = _download_from_hub if model.name.startswith(TIMM) else _download_from_torchvision
        path, digest = download(default.source)
    as_named, sha256 = _read(path, digest)
    weights = {OLD_NAME.sub(r"\1\2", name): value for name, value in as_named.items()}
    return Pretrained(weights, default.mean, default.std, default.size_px, sha256, path)


def load_pretrained_into(network: nn.Module, pretrained: Pretrained) -> frozenset[str]:
    """Give a network the weights, but not those of a head for another number of classes.

    That head starts near zero: one that is sure of random answers would wreck the rest in its first
    steps. It cannot be zero, because after the head of a squeezenet a ReLU would block it for ever.

    Returns
    -------
    set of str
        The names of the network's weights that are pretrained now; the head's never are, because
        the classes may be others.
    """
    fitting, head, problems = _match(network, pretrained.weights)
    if problems:
        more = f", and {len(problems) - 1} more" if problems[1:] else ""
        raise UserError(
            f"{HERE}: {pretrained.path} holds another network than model.name: {problems[0]}{more}"
            "; set model.name and model.width to what these weights are of"
        )
    load_weights(network, fitting, strict=False)
    for name, weight in network.named_parameters():
        if name in head - set(fitting):
            spread = float(weight.detach().std(correction=0))
            weight.detach().mul_(HEAD_SPREAD / max(spread, HEAD_SPREAD))
    return frozenset(fitting) - head


def _match(
    network: nn.Module, weights: dict[str, Tensor]
) -> tuple[dict[str, Tensor], set[str], list[str]]:
    """Return the weights that fit a network, the names of its head's, and what does not fit."""
    own = network.state_dict()
    weights = _unwrap(weights, own)
    last = head_name(network)
    head = {f"{last}.weight", f"{last}.bias"}
    n_classes = len(own[f"{last}.weight"])
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # not in old files
    missing = set(own) - set(weights) - counters - head
    problems = [f"{name} is missing" for name in own if name in missing]
    auxiliary = ("AuxLogits.", "aux1.", "aux2.")  # heads that only their training used
    weights = {name: value for name, value in weights.items() if not name.startswith(auxiliary)}
    problems += [f"{name} is not in the network" for name in weights if name not in own]
    fitting = {}
    for name in (name for name in own if name in weights):
        value, expected = weights[name], own[name]
        if expected.is_floating_point() and not value.is_floating_point():
            problems.append(f"{name} is {value.dtype}, in the network {expected.dtype}")
        elif value.shape == expected.shape:
            fitting[name] = value
        elif value.shape[1:] == expected.shape[1:] and len(expected) == n_classes:
            head.add(name)  # some networks of timm have two
        elif name not in head:
            shapes = f"{list(value.shape)}, in the network {list(expected.shape)}"
            problems.append(f"{name} has shape {shapes}")
    return fitting, head, problems


def _unwrap(weights: dict[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """Take what other programs write before all names off them, unless the network has it too."""
    for prefix in WRAPPERS * len(WRAPPERS):  # one may be around another, in any order
        of_file, of_network = (
            [name.startswith(prefix) for name in names] for names in (weights, own)
        )
        if all(of_file) and not any(of_network):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _read(path: Path, digest: str = "") -> tuple[dict[str, Tensor], str]:
    """Return a file's weights and its sha256, which must start with `digest`."""
    try:
        content = read_bytes(path, MAX_BYTES)
    except OSError as error:
        raise UserError(
            f"{HERE} must be none, DEFAULT or the name of a file of weights in {WEIGHTS}; {path} "
            f"cannot be read: {error.strerror}"
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if not sha256.startswith(digest):
        raise UserError(
            f"{HERE} is DEFAULT, but {path} is damaged: its sha256 does not start with {digest}; "
            "remove the file, to have it downloaded again"
        )
    return _parse(path, content), sha256


def _parse(path: Path, content: bytes) -> dict[str, Tensor]:
    """Read a state file, .safetensors or PyTorch's, without running anything in it."""
    state: Any
    try:
        # The Hub's cache has no suffixes; what begins a safetensors file is a length and "{".
        if path.suffix == ".safetensors" or content[8:9] == b"{":
            state = load(content)
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{HERE}: {path} holds no plain weights: it is damaged, or holds code, which is not "
            f"run; {_SAVE}"
        ) from error
    except Exception as error:  # whatever a file of any other kind makes them raise
        reason = first_line(error) or type(error).__name__
        raise UserError(f"{HERE}: {path} holds no plain weights: {reason:.80}; {_SAVE}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        items = state.items() if isinstance(state, dict) else ()
        inner = [name for name, value in items if isinstance(value, dict) and value]
        where = f" (perhaps they are its {inner[0]!r:.80}, as in a checkpoint)" if inner else ""
        raise UserError(f"{HERE}: {path} holds more than a network's weights{where}; {_SAVE}")
    for name, value in state.items():
        kind = value.layout, value.device.type, value.is_complex(), value.is_quantized
        if kind != (torch.strided, "cpu", False, False):
            raise UserError(f"{HERE}: {path}: {name} is not a plain tensor of numbers; {_SAVE}")
        if not value.double().isfinite().all():
            raise UserError(f"{HERE}: {path}: {name} is not finite; take weights that are whole")
    return state


_SAVE = "save them with torch.save(network.state_dict(), path), or as safetensors"


def _meta_of(folder: Path, model: Model) -> ModelMeta:
    """Return what describes a model, if it is of the network that is to be trained."""
    path = folder / "model.json"
    try:
        meta = read_model_meta(path)
    except UserError as error:
        raise UserError(
            f"{HERE}: {path} is not there or does not describe a model; copy the complete folder "
            "that train wrote"
        ) from error
    other_width = model.name == FLOWERNET and meta.width != model.width
    if meta.architecture != model.name or other_width:
        raise UserError(
            f"{HERE}: {folder} holds another network than model.name: set model.name to "
            f"{meta.architecture} and model.width to {meta.width}, got {model.name} and "
            f"{model.width}"
        )
    return meta


def _download_from_torchvision(url: str) -> tuple[Path, str]:
    """Download a file once; return its path, and the start of its sha256."""
    path = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    digest = path.stem.rpartition("-")[2]  # torchvision's names end in it
    if path.exists():
        return path, digest
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{HERE} is DEFAULT, but {url} cannot be downloaded: {error}; get the file elsewhere "
            f"and put it at {path}, or name a file of weights"
        ) from error
    return path, digest


def _download_from_hub(source: str) -> tuple[Path, str]:
    """Download a file of the Hugging Face Hub once; return its path, and its sha256."""
    # Imported here, because it comes with timm, an optional extra.
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    repository, _, file = source.rpartition("/")
    try:
        # The cache first: without a connection, a download tries for half a minute.
        cached = try_to_load_from_cache(repository, file)
        path = Path(cached if isinstance(cached, str) else hf_hub_download(repository, file))
    except (OSError, HfHubHTTPError) as error:
        reason = first_line(error)
        raise UserError(
            f"{HERE} is DEFAULT, but {source} cannot be downloaded from the Hugging Face Hub: "
            f"{reason:.100}; get the file elsewhere, put it into {WEIGHTS} and name it"
        ) from error
    # The cache links to the content, which it names by its sha256 if the file is a large one.
    name = path.readlink().name if path.is_symlink() else ""
    return path.resolve(), name if re.fullmatch("[0-9a-f]{64}", name) else ""
