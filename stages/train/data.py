"""Batches of photos, gathered at once: from the store's memory map, or from a GPU's own memory."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stages.common.errors import first_line
from stages.common.store import Split, Store
from stages.common.workers import start_worker
from stages.train.distributed import World

GPU_SHARE = 0.5
"""Share of a GPU's free memory that a split may fill; a larger one is fed batch by batch."""

SECONDS_TO_WAIT = 600
"""For a batch of a process that gathers ahead; then it is taken to hang."""

Positions = npt.NDArray[np.int64]
"""Places of photos in a split, from 0."""

Batch = tuple[Tensor, Tensor, Tensor]
"""uint8 images (B, S, S, 3), int64 labels (B,) and int64 positions in the split (B,)."""


@dataclass(frozen=True)
class SplitDataset(Dataset[Batch]):
    """One split of a store, indexed by a batch of positions at once.

    Attributes
    ----------
    images : uint8 array of shape (N, S, S, 3)
        Of the whole store.
    labels : int64 array of shape (N,)
    indices : int64 array
        Of the split's photos in the store, ascending.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]

    @classmethod
    def of(cls, store: Store, split: Split) -> "SplitDataset":
        """Take the photos of one split."""
        return cls(store.images, store.labels, store.indices(split))

    def __getstate__(self) -> dict[str, Any]:
        """Give a worker process the name of the memory map's file instead of its content."""
        images = self.images
        path = images.filename if isinstance(images, np.memmap) else None
        return {**self.__dict__, "images": Path(path) if path else images}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the file again."""
        if isinstance(state["images"], Path):
            state["images"] = np.load(state["images"], mmap_mode="r", allow_pickle=False)
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, positions: Positions) -> Batch:
        """Gather a batch; the photos are copied once, out of the memory map."""
        rows = self.indices[positions]
        images = torch.from_numpy(self.images[rows])
        return images, torch.from_numpy(self.labels[rows]), torch.from_numpy(positions)


class GpuDataset(Dataset[Batch]):
    """One split of a store, all in a GPU's memory: a batch is gathered there."""

    def __init__(self, split: SplitDataset, device: torch.device) -> None:
        shape = len(split), *split.images.shape[1:]
        self.images = torch.empty(shape, dtype=torch.uint8, device=device)
        for start in range(0, len(split), 1024):  # so that the host never holds a copy of it all
            rows = split.indices[start : start + 1024]
            self.images[start : start + len(rows)] = torch.from_numpy(split.images[rows])
        self.labels = torch.from_numpy(split.labels[split.indices]).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, positions: Positions) -> Batch:
        """Gather a batch on the GPU: positions go there, no pixel does."""
        rows = torch.from_numpy(positions).to(self.images.device, non_blocking=True)
        return self.images[rows], self.labels[rows], rows


def to_gpu_if_fits(split: SplitDataset, device: torch.device) -> SplitDataset | GpuDataset:
    """Move a split to a GPU if it takes at most GPU_SHARE of the free memory there."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if len(split) * split.images[0].nbytes <= GPU_SHARE * free:
            return GpuDataset(split, device)
    return split


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to where it is trained on; from pinned memory without waiting."""
    images, labels, positions = (tensor.to(device, non_blocking=True) for tensor in batch)
    return images, labels, positions


def split_into_batches(order: Positions, batch_size: int, smallest: int = 1) -> list[Positions]:
    """Cut an order of photos into batches.

    The last one may be short; with fewer photos than `smallest` it joins the one before.
    """
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < smallest:
        last = batches.pop()
        batches[-1] = np.concatenate([batches[-1], last])
    return batches


def load_batches(
    dataset: SplitDataset | GpuDataset, batches: list[Positions], workers: int, world: World
) -> DataLoader[Batch]:
    """Return a loader of this process's shards of the batches, without the empty ones.

    Parameters
    ----------
    dataset : SplitDataset or GpuDataset
    batches : list of int64 arrays
        Positions in the split.
    workers : int
        Processes that gather batches ahead; 0 gathers them in this one.
    world : World
    """
    on_gpu = isinstance(dataset, GpuDataset)
    shards = [world.shard(batch) for batch in batches]
    ahead = 2 * max(map(len, shards), default=0) * dataset.images[0].nbytes  # of each worker
    workers = 0 if on_gpu or not _can_share(workers * ahead) else workers
    return DataLoader(
        dataset,
        sampler=[shard for shard in shards if len(shard)],
        batch_size=None,  # the sampler's items are batches already
        num_workers=workers,
        worker_init_fn=start_worker,
        pin_memory=world.device.type == "cuda" and not on_gpu,
        timeout=SECONDS_TO_WAIT if workers else 0,
        generator=torch.Generator(),  # else it would draw its seed from the global random state
    )


@cache
def _can_share(count: int) -> bool:
    """Tell whether processes can share so many bytes here, and say so once where they cannot."""
    try:
        torch.empty(count + 1, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        print(f"no loader workers: {first_line(error)} (is /dev/shm small?)", file=sys.stderr)
        return False
    return True
