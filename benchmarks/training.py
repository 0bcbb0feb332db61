"""A training as ``python -m stages.train`` builds it, for the benchmarks that need one."""

import contextlib
import tempfile
from pathlib import Path
from typing import TypeVar

from stages.common.classifier import Classifier
from stages.common.device import choose_device
from stages.common.params import Params
from stages.common.store import Store
from stages.train.checkpoints import Checkpoints
from stages.train.distributed import World
from stages.train.initial import build_initial_model
from stages.train.probe import Probe
from stages.train.stopping import StopRequest
from stages.train.training import Training

Kind = TypeVar("Kind", Training, Probe)


def new_training(params: Params, store: Store, kind: type[Kind]) -> Kind:
    """Return a training, or a linear probe, that runs in this process."""
    device = choose_device(params.train.device, "train.device")
    start = build_initial_model(params, store.meta)
    return kind(start, store, params.train, params.runtime, World(device))


def train_classifier(params: Params, store: Store) -> Classifier:
    """Train on a store, as the parameters say, in a folder that is then removed."""
    is_probe = params.train.epochs == 0
    training = (
        new_training(params, store, Probe) if is_probe else new_training(params, store, Training)
    )
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        network = training.run(Checkpoints(Path("checkpoints"), {}), StopRequest())
    return Classifier(network, training.card)
