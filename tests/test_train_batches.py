import numpy as np
import pytest
import torch

from stages.common.store import Store
from stages.train.batches import SplitPhotos, load_batches


def test_batches_hold_every_photo_once_in_order(store: Store) -> None:
    photos = SplitPhotos.of(store, "train")
    order = np.random.default_rng(0).permutation(len(photos))
    batches = list(load_batches(photos, order, batch_size=16, workers=0))
    assert [len(labels) for _, labels, _ in batches] == [16, 16, 8]
    positions = torch.cat([positions for _, _, positions in batches]).numpy()
    np.testing.assert_array_equal(positions, order)
    images = torch.cat([images for images, _, _ in batches]).numpy()
    np.testing.assert_array_equal(images, store.images[store.indices("train")[order]])
    labels = torch.cat([labels for _, labels, _ in batches]).numpy()
    np.testing.assert_array_equal(labels, store.labels[store.indices("train")[order]])


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_workers_change_no_batch(store: Store, workers: int) -> None:
    photos = SplitPhotos.of(store, "train")
    order = np.arange(len(photos))
    alone = list(load_batches(photos, order, 16, workers=0))
    helped = list(load_batches(photos, order, 16, workers=workers))
    for ours, theirs in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_loader_draws_nothing_from_the_global_random_state(store: Store) -> None:
    before = torch.get_rng_state()
    list(load_batches(SplitPhotos.of(store, "train"), np.arange(40), 16, workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_splits_share_no_photo(store: Store) -> None:
    splits = [set(SplitPhotos.of(store, s).indices) for s in ("train", "validation", "test")]
    assert not splits[0] & splits[1]
    assert not splits[0] & splits[2]
    assert not splits[1] & splits[2]
