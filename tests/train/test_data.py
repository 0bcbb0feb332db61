import pickle

import numpy as np
import pytest
import torch

from stages.common.store import Store
from stages.train import data
from stages.train.data import GpuDataset, SplitDataset, load_batches, split_into_batches
from stages.train.distributed import World

CPU = torch.device("cpu")
ALONE = World(CPU)


def test_batches_hold_every_photo_once_in_order(store: Store) -> None:
    dataset = SplitDataset.of(store, "train")
    order = np.random.default_rng(0).permutation(len(dataset))
    batches = list(load_batches(dataset, split_into_batches(order, 16), 0, ALONE))
    assert [len(labels) for _, labels, _ in batches] == [16, 16, 8]
    positions = torch.cat([positions for _, _, positions in batches]).numpy()
    np.testing.assert_array_equal(positions, order)
    images = torch.cat([images for images, _, _ in batches]).numpy()
    np.testing.assert_array_equal(images, store.images[store.indices("train")[order]])
    labels = torch.cat([labels for _, labels, _ in batches]).numpy()
    np.testing.assert_array_equal(labels, store.labels[store.indices("train")[order]])


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_workers_change_no_batch(store: Store, workers: int) -> None:
    dataset = SplitDataset.of(store, "train")
    order = np.arange(len(dataset))
    alone = list(load_batches(dataset, split_into_batches(order, 16), 0, ALONE))
    helped = list(load_batches(dataset, split_into_batches(order, 16), workers, ALONE))
    for ours, theirs in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_without_shared_memory_batches_are_gathered_here(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def deny(_: torch.Tensor) -> None:
        raise RuntimeError("unable to open shared memory object: Permission denied (13)")

    data._can_share.cache_clear()
    monkeypatch.setattr(torch.Tensor, "share_memory_", deny)
    dataset = SplitDataset.of(store, "train")
    for _ in range(2):
        loader = load_batches(dataset, split_into_batches(np.arange(40), 16), 2, ALONE)
        assert (loader.num_workers, len(list(loader))) == (0, 3)
    data._can_share.cache_clear()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("no loader workers: unable to open shared memory")


def test_a_loader_draws_nothing_from_the_global_random_state(store: Store) -> None:
    before = torch.get_rng_state()
    list(
        load_batches(
            SplitDataset.of(store, "train"), split_into_batches(np.arange(40), 16), 0, ALONE
        )
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_splits_share_no_photo(store: Store) -> None:
    splits = [set(SplitDataset.of(store, s).indices) for s in ("train", "validation", "test")]
    assert not splits[0] & splits[1]
    assert not splits[0] & splits[2]
    assert not splits[1] & splits[2]


def test_a_split_kept_on_the_device_gives_the_same_batches(store: Store) -> None:
    dataset = SplitDataset.of(store, "train")
    order = np.random.default_rng(1).permutation(len(dataset))
    fed = load_batches(dataset, split_into_batches(order, 16), 2, ALONE)
    resident = load_batches(GpuDataset(dataset, CPU), split_into_batches(order, 16), 2, ALONE)
    for ours, theirs in zip(fed, resident, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_every_batch_without_overlap_or_loss(store: Store, size: int) -> None:
    dataset = SplitDataset.of(store, "train")
    order = np.random.default_rng(2).permutation(len(dataset))
    loaders = [
        load_batches(dataset, split_into_batches(order, 16), 0, World(CPU, rank, size))
        for rank in range(size)
    ]
    together = [
        torch.cat([positions for _, _, positions in parts]).tolist()
        for parts in zip(*loaders, strict=True)
    ]
    assert [sorted(batch) for batch in together] == [
        sorted(order[start : start + 16].tolist()) for start in range(0, 40, 16)
    ]


def test_a_spawned_worker_gets_the_name_of_the_memory_map_not_its_content(store: Store) -> None:
    dataset = SplitDataset.of(store, "train")
    sent = pickle.dumps(dataset)
    assert len(sent) < dataset.images.nbytes / 10
    np.testing.assert_array_equal(pickle.loads(sent).images, dataset.images)


@pytest.mark.parametrize(
    ("n_photos", "batch_size", "smallest", "sizes"),
    [
        (10, 4, 1, [4, 4, 2]),
        (9, 4, 1, [4, 4, 1]),
        (9, 4, 2, [4, 5]),
        (10, 4, 4, [4, 6]),
        (8, 4, 4, [4, 4]),
        (3, 4, 4, [3]),
        (1, 4, 2, [1]),
    ],
)
def test_a_last_batch_that_is_too_small_joins_the_one_before(
    n_photos: int, batch_size: int, smallest: int, sizes: list[int]
) -> None:
    order = np.random.default_rng(0).permutation(n_photos)
    batches = split_into_batches(order, batch_size, smallest)
    assert [len(batch) for batch in batches] == sizes
    np.testing.assert_array_equal(np.concatenate(batches), order)
