"""Train a network without batch norm, in one process or in several; run by test_distributed.py."""

import sys
from pathlib import Path

import torch
from torch import nn

from stages.common.params import load_params
from stages.common.store import open_store
from stages.model.classifier import ModelMeta
from stages.model.device import set_up_torch
from stages.train.checkpoints import Checkpoints
from stages.train.distributed import join_world
from stages.train.initial import InitialModel, model_meta
from stages.train.stopping import StopRequest
from stages.train.training import Training


def plain_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


params, store, size = load_params(), open_store(Path(sys.argv[1])), int(sys.argv[2])
set_up_torch(threads=1)
meta: ModelMeta = model_meta(params, store.meta, None, "fp32")
with join_world(size, torch.device("cpu")) as world:
    start = InitialModel(plain_network(), meta)
    training = Training(start, store, params.train, params.runtime, world)
    training.run(Checkpoints(Path("checkpoints"), {}), StopRequest())
