"""What tests of whole trainings share."""

from pathlib import Path

import pytest
import torch
from torch import nn

from stages.model.flowernet import build_flowernet
from stages.train.checkpoints import Checkpoints


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def small_network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_flowernet(8, 2)


def new_checkpoints() -> Checkpoints:
    return Checkpoints(Path("checkpoints"), {"a": "key"})
