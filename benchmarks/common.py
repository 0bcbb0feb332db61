"""A training as ``python -m stages.train`` builds it, for the benchmarks that need one."""

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from stages.common.schema import Params, Runtime, Train
from stages.common.store import Store
from stages.model.classifier import Classifier
from stages.model.device import choose_device
from stages.train.checkpoints import Checkpoints
from stages.train.distributed import World
from stages.train.initial import InitialModel, build_initial_model
from stages.train.key import device_name
from stages.train.probe import Probe
from stages.train.stopping import StopRequest
from stages.train.training import Training

FAST_INSTRUCTIONS = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")


def new_training(params: Params, store: Store) -> Training:
    """Return a training that runs in this process."""
    return Training(*_parts(params, store))


def train_classifier(params: Params, store: Store) -> Classifier:
    """Train on a store, as the parameters say, in a folder that is then removed."""
    kind = Probe if params.train.epochs == 0 else Training
    training = kind(*_parts(params, store))
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        network = training.run(Checkpoints(Path("checkpoints"), {}), StopRequest())
    return Classifier(network, training.meta)


def _parts(params: Params, store: Store) -> tuple[InitialModel, Store, Train, Runtime, World]:
    device = choose_device(params.train.device, "train.device")
    start = build_initial_model(params, store.meta, device)
    return start, store, params.train, params.runtime, World(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that something takes."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def describe_machine(device: torch.device) -> str:
    """Say what computes: a GPU's name, or the processor's, its threads and what makes it fast."""
    if device.type != "cpu":
        return device_name(device)
    cpu = torch.cpu.get_capabilities()
    fast = [name for name in FAST_INSTRUCTIONS if cpu.get(name)]
    name = cpu.get("cpu_name") or cpu.get("architecture")
    return f"{name} ({', '.join(fast) or 'no AVX2'}), {torch.get_num_threads()} threads"
