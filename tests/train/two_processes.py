"""Train in double precision, in one process or in several; run by tests/train/test_processes.py.

Rounding hides nothing then: 1e-16 instead of 1e-7, which training makes larger with every step.
"""

import sys
from pathlib import Path

import torch

from stages.common import classifier
from stages.common.device import be_deterministic
from stages.common.params import load_params
from stages.common.store import open_store
from stages.train import augment, run
from stages.train.__main__ import describe_model, first_network
from stages.train.history import write_history
from stages.train.processes import joined


def normalise(*arguments) -> torch.Tensor:
    return normalise_in_float32(*arguments).double()


def draw_augmentation(*arguments) -> torch.Tensor:
    return drawn_in_float32(*arguments).double()


normalise_in_float32 = classifier.normalise
drawn_in_float32 = augment.draw_augmentation
vars(augment).update(draw_augmentation=draw_augmentation)
vars(classifier).update(normalise=normalise)

params, store, size = load_params(), open_store(Path(sys.argv[1])), int(sys.argv[2])
be_deterministic(threads=1)
network = first_network(params, len(store.meta.classes)).double()
with joined(size, torch.device("cpu")) as processes:
    card = describe_model(params, store, None)
    training = run.Run(network, card, store, params.train, processes)
    training.train(saver=None)
    if processes.is_first:
        write_history(training.history)
