"""Train the network on the store's train split: data/prepared -> models, metrics/loss.csv.

A training that was interrupted goes on where it stopped when the same command is run again; with
FLOWERBED_FRESH=1 in the environment it starts from the first epoch. Run it with
``python -m stages.train``, or through ``dvc repro``.
"""

import io
import os
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

import torch

from stages.common.classifier import Classifier, ModelCard, save_classifier
from stages.common.device import be_deterministic, choose_device
from stages.common.errors import UserError, run_stage
from stages.common.network import build_network
from stages.common.params import Params, load_params
from stages.common.store import Store, open_store
from stages.train.key import describe_training
from stages.train.pretrained import Pretrained, load_pretrained, put_into
from stages.train.processes import Processes, check_processes, is_launched, joined
from stages.train.run import Run
from stages.train.saving import Saver
from stages.train.stopping import Stopped, StopRequest
from stages.train.vault import Vault


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
    with (
        joined(params.train.processes, device) as processes,
        redirect_stdout(sys.stdout if processes.is_first else io.StringIO()),
    ):
        train(params, processes)


def train(params: Params, processes: Processes) -> None:
    """Load the store, train, write the model."""
    be_deterministic(params.train.threads)
    store = open_store()
    network = first_network(params, len(store.meta.classes))
    pretrained = load_pretrained(params.model)
    card = describe_model(params, store, pretrained)
    known = put_into(network, pretrained) if pretrained else frozenset()
    run = Run(network, card, store, params.train, processes, known)
    print(f"training {card.architecture} on {len(run.photos)} photos, on {processes}", flush=True)

    stop = StopRequest()
    root = Path(os.environ.get("DVC_ROOT", "."), ".train_state")  # also under `dvc exp run --temp`
    vault = Vault(root, describe_training(params, store, pretrained, processes.device))
    with vault.taken() if processes.is_first else nullcontext():
        stop.listen()
        fresh = bool(os.environ.get("FLOWERBED_FRESH"))
        state = vault.load() if processes.is_first and not fresh else None
        if state := processes.broadcast(state):
            run.restore(state)
        saver = Saver(vault, params.train.save_every_seconds, stop)
        with processes.ending_together():
            best = train_or_leave(run, saver if processes.is_first else None)
        if processes.is_first:
            save_classifier(Classifier(best, card))
            vault.clear()


def first_network(params: Params, classes: int) -> torch.nn.Module:
    """Build the network with its first weights, which the seed decides."""
    with torch.random.fork_rng(devices=[]):  # PyTorch draws them from its global state
        torch.manual_seed(params.train.seed)
        try:
            return build_network(params.model.name, params.model.width, classes)
        except UserError as error:
            raise UserError(f"params.yaml: model.name: {error}") from error


def describe_model(params: Params, store: Store, pretrained: Pretrained | None) -> ModelCard:
    """Return what model.json will say of the model; the input follows given weights."""
    colors = pretrained or store.meta
    size_px = store.meta.image_size_px
    return ModelCard(
        architecture=params.model.name,
        width=params.model.width,
        classes=store.meta.classes,
        image_size_px=size_px,
        input_size_px=pretrained.size_px if pretrained else size_px,
        mean=colors.mean,
        std=colors.std,
    )


def train_or_leave(run: Run, saver: Saver | None) -> torch.nn.Module:
    """Train to the end, or leave the process with the exit code of the signal that stopped it."""
    try:
        return run.train(saver)
    except Stopped as stopped:
        print(
            f"stopped by {stopped} at epoch {len(run.history) + 1}, batch {len(run.losses)}; "
            "saved: the same command goes on from here",
            file=sys.stderr,
        )
        sys.exit(stopped.exit_code)


if __name__ == "__main__":
    run_stage(main)
