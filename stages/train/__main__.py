"""Train the network on the store's train split: data/prepared -> models, metrics/loss.csv.

With ``train.epochs: 0`` it only fits the head of a pretrained network. When interrupted, it resumes
where it stopped when the same command is run again; with FLOWERBED_FRESH=1 in the environment it
starts from the first epoch. Run it with ``python -m stages.train``, or through ``dvc repro``.
"""

import os
from pathlib import Path

from stages.common.errors import UserError, run_stage
from stages.common.files import check_output_folders
from stages.common.inputs import Inputs
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import STORE, open_store
from stages.model.classifier import Classifier
from stages.model.device import choose_device, set_up_torch
from stages.model.folder import MODELS, save_classifier
from stages.train.checkpoints import Checkpoints
from stages.train.distributed import World, check_processes, is_launched, join_world
from stages.train.initial import announce, build_initial_model
from stages.train.key import CODE, check_same_training, describe_training
from stages.train.pretrained import WEIGHTS
from stages.train.probe import Probe
from stages.train.stopping import StopRequest, ignore_signals
from stages.train.training import Training

SECTIONS = ("model", "train")
"""What DVC records of params.yaml; CODE is what it records of modules."""


def main() -> None:
    """Load the parameters, and train: in this process, or in as many as ``train.processes``."""
    inputs = Inputs(SECTIONS, CODE)
    params = load_params()
    inputs.add(STORE, WEIGHTS / params.model.weights)
    is_fresh()  # a mistake in it is said first
    check_output_folders()
    device = choose_device(params.train.device, "train.device")
    processes = params.train.processes if params.train.epochs > 0 else 1  # a probe takes one
    if processes > 1 and not is_launched():
        check_processes(processes, device)
        # Imported here, because it takes half a second which one process can save.
        from stages.train.launch import launch

        launch(processes)
        return
    with join_world(params.train.processes, device) as world:
        train(params, world, inputs)


def train(params: Params, world: World, inputs: Inputs) -> None:
    """Load the store and the first weights, train, write the model, vouch for the inputs."""
    set_up_torch(params.train.threads)
    with world.main_first():
        store = open_store(check_digests=world.is_local_main)
        start = build_initial_model(params, store.meta, world.device)
        kind = Probe if params.train.epochs == 0 else Training
        training = kind(start, store, params.train, params.runtime, world)
        key = describe_training(params, store, start, world.device)
    check_same_training(key, world)
    root = Path(os.environ.get("DVC_ROOT", "."), ".train_state")  # also under `dvc exp run --temp`
    checkpoints = Checkpoints(root, key)
    if not world.is_main:
        ignore_signals()
        training.run(checkpoints, StopRequest())
        return
    announce(start, len(training.train_set), params, world)
    stop = StopRequest()
    with checkpoints.locked():
        stop.listen()
        if is_fresh():
            checkpoints.clear()
        network = training.run(checkpoints, stop)
        save_classifier(Classifier(network, start.meta))
        checkpoints.keep(MODELS / "model.safetensors")
    inputs.check()


def is_fresh() -> bool:
    """Tell whether the user asked for a training from the first epoch."""
    value = os.environ.get("FLOWERBED_FRESH", "")
    if value not in ("", "0", "1"):
        raise UserError(
            "FLOWERBED_FRESH must be 0, to resume, or 1, to start from the first epoch, "
            f"got {value!r}"
        )
    return value == "1"


if __name__ == "__main__":
    run_stage(main)
