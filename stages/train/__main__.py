"""Train the network on the store's train split: data/prepared -> models, metrics/loss.csv.

With ``train.epochs: 0`` it only fits the head of a pretrained network. When interrupted, it resumes
where it stopped when the same command is run again; with FLOWERBED_FRESH=1 in the environment it
starts anew. Run it with ``python -m stages.train``, or through ``dvc repro``.
"""

import os
import sys
from pathlib import Path

import torch

from stages.model.classifier import Classifier, ModelMeta
from stages.model.device import choose_device, set_up_torch, why_bf16_is_slow
from stages.common.errors import UserError, run_stage
from stages.common.files import check_output_folders
from stages.model.folder import save_classifier
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import open_store
from stages.train.checkpoints import Checkpoints
from stages.train.distributed import World, check_processes, is_launched, join_world
from stages.train.initial import InitialModel, build_initial_model
from stages.train.key import check_same_training, describe_training
from stages.train.probe import Probe
from stages.train.stopping import StopRequest, ignore_signals
from stages.train.training import Training


def main() -> None:
    """Load the parameters, and train: in this process, or in as many as ``train.processes``."""
    params = load_params()
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
        train(params, world)


def train(params: Params, world: World) -> None:
    """Load the store and the first weights, train, write the model."""
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
    announce(training, start, params, world)
    stop = StopRequest()
    with checkpoints.locked():
        stop.listen()
        if is_fresh():
            checkpoints.clear()
        network = training.run(checkpoints, stop)
        save_classifier(Classifier(network, start.meta))
        checkpoints.remove()


def announce(training: Training | Probe, start: InitialModel, params: Params, world: World) -> None:
    """Say what is about to be trained, and what a user should know before."""
    warn_of_small_photos(start.meta)
    warn_of_slow_precision(start, world.device)
    if start.may_know_test_photos:
        print(
            f"warning: data/weights/{params.model.weights} was trained on another store; if that "
            "had the same photos, split otherwise, it knows test photos, and the accuracy is too "
            "high",
            file=sys.stderr,
        )
    print(
        f"{training.doing} {params.model.name} on {len(training.train_set)} photos, on {world} in "
        f"{start.meta.precision}",
        flush=True,
    )


def warn_of_small_photos(meta: ModelMeta) -> None:
    """Say so if the store's photos are smaller than what the pretrained weights are made for."""
    if meta.image_size_px < meta.input_size_px:
        print(
            f"warning: photos of {meta.image_size_px} px are scaled up to the {meta.input_size_px} "
            f"px of the weights: set prepare.image_size_px to {meta.input_size_px}",
            file=sys.stderr,
        )


def warn_of_slow_precision(start: InitialModel, device: torch.device) -> None:
    """Say so if bfloat16 was asked for where single precision is as fast, or faster."""
    reason = why_bf16_is_slow(device, start.network)
    if start.meta.precision == "bf16" and reason:
        print(f"warning: train.precision is bf16, but {reason}; set it to auto", file=sys.stderr)


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
