"""Train the network on the store's train split: data/prepared -> models, metrics/loss.csv.

An interrupted training resumes where it stopped when the same command is run again; with
FLOWERBED_FRESH=1 in the environment it starts from the first epoch. Run it with
``python -m stages.train``, or through ``dvc repro``.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

from torch import nn

from stages.common.classifier import Classifier, save_classifier
from stages.common.device import choose_device, set_deterministic
from stages.common.errors import UserError, run_stage
from stages.common.params import Params, load_params
from stages.common.store import open_store
from stages.train.checkpoints import Checkpoints
from stages.train.distributed import World, check_processes, is_launched, join_world
from stages.train.initial import build_initial_model
from stages.train.key import describe_training
from stages.train.stopping import Stopped, StopRequest, ignore_signals
from stages.train.training import Training


def main() -> None:
    """Load the parameters, and train: in this process, or in as many as ``train.processes``."""
    params = load_params()
    device = choose_device(params.train.device, "train.device")
    if params.train.processes > 1 and not is_launched():
        check_processes(params.train.processes, device)
        # Imported here, because it takes half a second that one process need not wait.
        from stages.train.launch import launch

        launch(params.train.processes)
        return
    with join_world(params.train.processes, device) as world:
        train(params, world)


def train(params: Params, world: World) -> None:
    """Load the store and the first weights, train, write the model."""
    set_deterministic(params.train.threads)
    with world.main_first():
        store = open_store(check_digests=world.is_local_main)
        start = build_initial_model(params, store.meta)
        training = Training(start, store, params.train, world)
        checkpoints = Checkpoints(
            Path(os.environ.get("DVC_ROOT", "."), ".train_state"),  # also under `exp run --temp`
            describe_training(params, store, start, world.device),
        )
    print(
        f"training {params.model.name} on {len(training.train_set)} photos, on {world}", flush=True
    )
    with checkpoints.locked() if world.is_main else nullcontext():
        if world.is_main and is_fresh():
            checkpoints.clear()
        network = train_or_leave(training, checkpoints, listen_for_stop(world))
        if world.is_main:
            save_classifier(Classifier(network, start.card))
            checkpoints.remove()


def listen_for_stop(world: World) -> StopRequest:
    """Let the main process answer to signals; the others end when it does."""
    stop = StopRequest()
    if world.is_main:
        stop.listen()
    else:
        ignore_signals()
    return stop


def train_or_leave(training: Training, checkpoints: Checkpoints, stop: StopRequest) -> nn.Module:
    """Train to the end, or leave the process with the exit code of the signal that stopped it."""
    try:
        return training.run(checkpoints, stop)
    except Stopped as stopped:
        state = training.state
        print(
            f"stopped by {stopped} at epoch {len(state.history) + 1}, "
            f"batch {state.epoch_loss.batches}; saved: the same command resumes from here",
            file=sys.stderr,
        )
        sys.exit(stopped.exit_code)


def is_fresh() -> bool:
    """Tell whether the user asked for a training from the first epoch."""
    value = os.environ.get("FLOWERBED_FRESH", "")
    if value not in ("", "0", "1"):
        raise UserError(
            f"FLOWERBED_FRESH must be 1, to start from the first epoch, or 0, got {value!r}"
        )
    return value == "1"


if __name__ == "__main__":
    run_stage(main)
