"""What a training depends on. With the same key it ends in the same bytes, up to two processes."""

import os
from importlib.metadata import version
from typing import Any

import torch

from stages.common.errors import UserError
from stages.common.inputs import code_digests
from stages.common.schema import Params
from stages.common.store import Store
from stages.model.device import CPU_CAPS
from stages.model.networks import TIMM
from stages.train.distributed import World
from stages.train.initial import InitialModel

CODE = ("stages/__init__.py", "stages/common", "stages/model", "stages/train")
"""What train imports, as in dvc.yaml."""

AS_THEY_TURN_OUT = {"device", "precision"}
"""Parameters that are in the key by what they mean on this machine."""

SAME_EVERYWHERE = ("model", "train", "store", "weights", "code", "torch", "libraries")
"""What several processes must agree on."""

CPU_VARIABLES = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", *CPU_CAPS)
"""Environment variables that keep the CPU's libraries from some of its instructions."""


def describe_training(
    params: Params, store: Store, model: InitialModel, device: torch.device
) -> dict[str, Any]:
    """Return all that the training depends on, as JSON values."""
    libraries = ["numpy", "torchvision"]  # NumPy draws the order and the augmentation
    if params.model.name.startswith(TIMM):
        libraries.append("timm")
    return {
        "model": params.model.model_dump(),
        "train": params.train.model_dump(exclude=AS_THEY_TURN_OUT),
        "store": {
            "images": store.meta.images_sha256,
            "manifest": store.meta.manifest_sha256,
            "mirror_keeps_class": store.meta.mirror_keeps_class,
            "fit": store.meta.fit,
        },
        "weights": model.weights_sha256,
        "code": code_digests(CODE),
        "torch": torch.__version__,
        "libraries": {name: version(name) for name in libraries},
        "precision": model.meta.precision,
        "device": device_name(device),
        "cpu": cpu_features(),
        "cpu_variables": {name: os.environ[name] for name in CPU_VARIABLES if name in os.environ},
    }


def check_same_training(document: dict[str, Any], world: World) -> None:
    """Refuse to train together with a main process that has other photos, code or versions."""
    of_main = world.broadcast(document)
    other = [name for name in SAME_EVERYWHERE if of_main[name] != document[name]]
    if other:
        raise UserError(
            f"process {world.rank} and process 0 do not have the same {', '.join(other)}; "
            "give every machine the same commit, environment, store and weights"
        )


def device_name(device: torch.device) -> str:
    """Return the kind of device; for a GPU its model: two of them differ in the last digits."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def cpu_features() -> list[str]:
    """Return the names of the CPU's instruction sets."""
    features = torch.cpu.get_capabilities()
    return sorted(name for name, value in features.items() if value is True)
