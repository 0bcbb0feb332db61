"""A training as ``python -m stages.train`` builds it, for the benchmarks that need one."""

from typing import TypeVar

from stages.common.device import choose_device
from stages.common.params import Params
from stages.common.store import Store
from stages.train.distributed import World
from stages.train.initial import build_initial_model
from stages.train.probe import Probe
from stages.train.training import Training

Kind = TypeVar("Kind", Training, Probe)


def new_training(params: Params, store: Store, kind: type[Kind]) -> Kind:
    """Return a training, or a linear probe, that runs in this process."""
    device = choose_device(params.train.device, "train.device")
    start = build_initial_model(params, store.meta)
    return kind(start, store, params.train, params.runtime, World(device))
