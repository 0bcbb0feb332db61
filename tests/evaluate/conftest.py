"""What tests of the evaluation share."""

import pytest
import torch

from stages.common.store import Store
from stages.model.classifier import Classifier
from stages.model.flowernet import build_flowernet
from tests.conftest import meta_of


@pytest.fixture
def classifier(store: Store) -> Classifier:
    torch.manual_seed(0)
    return Classifier(build_flowernet(8, 2).eval(), meta_of(store))
