"""What prepare finds among real photos; skipped where there are none."""

import os
from pathlib import Path

import pandas as pd
import pytest

from stages.common.store import Store, open_store
from stages.prepare.stage import Outcome, prepare_store
from tests.hazards import settings

PHOTOS = os.environ.get("FLOWERBED_PHOTOS")
pytestmark = pytest.mark.skipif(PHOTOS is None, reason="FLOWERBED_PHOTOS names no photos")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Outcome, Store]:
    folder: Path = tmp_path_factory.mktemp("store")
    prepare = settings(image_size_px=128, max_megapixels=64, max_rejected_fraction=0.1)
    outcome = prepare_store(Path(str(PHOTOS)), prepare, folder)
    return outcome, open_store(folder)


def test_photos_under_two_labels_are_found_and_rejected(prepared):
    outcome, store = prepared
    conflicting = outcome.rejected[outcome.rejected["reason"] == "conflicting_label"]
    assert len(conflicting) >= 4
    assert not set(conflicting["path"]) & set(store.manifest["path"])


def test_no_pixels_and_no_group_stand_in_two_splits(prepared):
    _, store = prepared
    images = pd.Series([image.tobytes() for image in store.images])
    assert not images.duplicated().any()
    assert (store.manifest.groupby("group")["split"].nunique() == 1).all()


def test_splits_are_stratified(prepared):
    _, store = prepared
    shares = store.manifest.groupby("class")["split"].value_counts(normalize=True).unstack()
    assert shares["test"].between(0.09, 0.11).all()
    assert shares["validation"].between(0.09, 0.11).all()
