"""The losses of a small training, written down: a refactoring may not move them.

The photos, the parameters and the seeds are fixed here, not taken from params.yaml, which may be
tuned. Processors differ in the last digits, and training makes the difference grow: hence the
tolerance. When a change is meant to move the losses, write down the new ones in the same commit.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stages.common.schema import Runtime, Train
from stages.common.store import Store
from stages.train.checkpoints import Checkpoints
from stages.train.distributed import World
from stages.train.initial import InitialModel
from stages.train.stopping import StopRequest
from stages.train.training import Training
from tests.conftest import meta_of
from tests.train.conftest import small_network

PARAMS = Train(
    seed=7,
    device="cpu",
    threads=1,
    epochs=3,
    batch_size=16,
    lr=0.004,
    weight_decay=0.05,
    warmup_fraction=0.2,
    label_smoothing=0.1,
    class_balance=0,
    ema_decay=0.5,
    first_image_size_px=24,
    min_crop_area=0.35,
    color_jitter=0.3,
    distortion=0.5,
    pretrained_lr_factor=0.1,
    patience=0,
    precision="fp32",
    compile=False,
    processes=1,
)

RUNTIME = Runtime(save_every_seconds=1000, loader_workers=0)

TRAIN_LOSS = [0.771531, 0.148463, 0.075603]
VAL_LOSS = [0.699880, 0.693693, 0.676388]
LEARNING_RATE = [0.00347455, 0.0010765, 0.0]


def test_a_small_training_has_the_losses_that_are_written_down(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start = InitialModel(small_network(PARAMS.seed), meta_of(store))
    training = Training(start, store, PARAMS, RUNTIME, World(torch.device("cpu")))
    training.run(Checkpoints(tmp_path / "checkpoints", {}), StopRequest())
    found = pd.read_csv("metrics/loss.csv")
    np.testing.assert_allclose(found["train_loss"], TRAIN_LOSS, rtol=1e-3)
    np.testing.assert_allclose(found["val_loss"], VAL_LOSS, rtol=1e-3)
    np.testing.assert_allclose(found["learning_rate"], LEARNING_RATE, rtol=1e-3, atol=1e-9)
