"""A training as ``python -m stages.train`` builds it, for the benchmarks that need one."""

from stages.common.device import choose_device
from stages.common.params import Params
from stages.common.store import Store
from stages.train.distributed import World
from stages.train.initial import build_initial_model
from stages.train.training import Training


def new_training(params: Params, store: Store) -> Training:
    """Return a training that runs in this process."""
    device = choose_device(params.train.device, "train.device")
    start = build_initial_model(params, store.meta)
    return Training(start, store, params.train, params.runtime, World(device))
