"""What several benchmarks need: the photos, a training with its parts, a clock."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from stages.common.errors import UserError
from stages.common.schema import Params, Runtime, Train
from stages.common.store import Store
from stages.model.classifier import Classifier
from stages.model.device import choose_device
from stages.train.augment import Augmentation
from stages.train.data import Positions, load_batches, to_device
from stages.train.distributed import World
from stages.train.initial import InitialModel, build_initial_model
from stages.train.key import device_name
from stages.train.loop import train_step
from stages.train.loss import EpochLoss
from stages.train.schedule import seed_dropout
from stages.train.training import Training

FAST_INSTRUCTIONS = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")


def photos_folder(params: Params) -> Path:
    """Return the folder that data/prepared was made from."""
    folder = params.data.source
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; the tutorial's loop needs one folder per class")
    return folder


def training_parts(
    params: Params, store: Store
) -> tuple[InitialModel, Store, Train, Runtime, World]:
    """Return what a Training or Probe is made of, for this process only."""
    device = choose_device(params.train.device, "train.device")
    start = build_initial_model(params, store.meta, device)
    return start, store, params.train, params.runtime, World(device)


def new_training(params: Params, store: Store) -> Training:
    """Return a training as ``python -m stages.train`` builds it."""
    if params.train.epochs == 0:
        raise UserError(
            "params.yaml: train.epochs is 0, a linear probe, which takes no training steps; "
            "set it to at least 1 to measure them"
        )
    return Training(*training_parts(params, store))


def epoch_augmentation(training: Training, epoch: int, size_px: int) -> Augmentation:
    """Return the augmentation of an epoch, from 1, to images of a size."""
    n_photos, device = len(training.train_set), training.world.device
    return Augmentation(training.params, training.meta, n_photos, epoch, size_px, device)


def augmented(
    training: Training, batches: list[Positions], augment: Augmentation
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the inputs and labels of each batch, on the training's device."""
    workers, device = training.runtime.loader_workers, training.world.device
    for batch in load_batches(training.train_set, batches, workers, training.world):
        images, labels, positions = to_device(batch, device)
        yield augment(images, positions), labels


def train_on(
    training: Training, batches: list[Positions], augment: Augmentation, epoch: int
) -> None:
    """Train on batches as `Training.run` does, without bars and checkpoints."""
    losses = EpochLoss(epoch, training.world.device)
    for number, (inputs, labels) in enumerate(augmented(training, batches, augment)):
        seed_dropout(training.params.seed, epoch, number, rank=0)
        losses.add(train_step(training.state, inputs, labels) * len(labels), len(labels))
    losses.mean()  # raises if it is not finite


def test_accuracy(classifier: Classifier, store: Store) -> float:
    """Return the accuracy on the test split, from 0 to 1."""
    test = store.indices("test")
    predicted = classifier.probabilities(store.images, test).argmax(axis=1)
    return float((predicted == store.labels[test]).mean())


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
