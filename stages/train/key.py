"""What a training depends on. Two trainings with the same key end in the same bytes."""

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from stages.common.params import Params
from stages.common.store import Store
from stages.train.pretrained import Pretrained

STATE_SCHEMA = 3


def describe_training(
    params: Params, store: Store, pretrained: Pretrained | None, device: torch.device
) -> dict[str, Any]:
    """Return all that the training depends on, as JSON values.

    The number of loader workers and the interval of the saves are not in it: they change no result.
    """
    unimportant = {"loader_workers", "save_every_seconds", "device"}
    return {
        "state_schema": STATE_SCHEMA,
        "model": params.model.model_dump(),
        "train": params.train.model_dump(exclude=unimportant),
        "store": {
            "images": store.meta.images_sha256,
            "manifest": store.meta.manifest_sha256,
        },
        "weights": pretrained.sha256 if pretrained else "none",
        "code": _hash_code(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),  # importing it would take a second
        "device": device.type,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def _hash_code() -> dict[str, str]:
    """Return the sha256 of every module of the project that this process runs."""
    specs = [module.__spec__ for module in sys.modules.values() if hasattr(module, "__spec__")]
    files = {spec.name: spec.origin for spec in specs if spec and spec.name.startswith("stages.")}
    return {
        name: hashlib.sha256(Path(file).read_bytes()).hexdigest()
        for name, file in files.items()
        if file
    }
