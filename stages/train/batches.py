"""Batches of photos, gathered whole: from the store's memory map, or from a GPU's own memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stages.common.store import Split, Store
from stages.common.workers import start_worker
from stages.train.processes import Processes

RESIDENT_SHARE = 0.5
"""Share of a GPU's free memory that a split may fill; more is fed batch by batch."""

Batch = tuple[Tensor, Tensor, Tensor]
"""uint8 photos (B, S, S, 3), int64 labels (B,) and int64 positions in the split (B,)."""


@dataclass(frozen=True)
class SplitPhotos(Dataset[Batch]):
    """One split of a store, indexed by a whole batch of positions at once."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    """The split's photos in the store, ascending."""

    @classmethod
    def of(cls, store: Store, split: Split) -> "SplitPhotos":
        """Take the photos of one split."""
        return cls(store.images, store.labels, store.indices(split))

    def __getstate__(self) -> dict[str, Any]:
        """Give a worker process the memory map's file instead of its content."""
        images = self.images
        path = images.filename if isinstance(images, np.memmap) else None
        return {**self.__dict__, "images": Path(path) if path else images}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the file again."""
        if isinstance(state["images"], Path):
            state["images"] = np.load(state["images"], mmap_mode="r", allow_pickle=False)
        self.__dict__.update(state)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.indices)

    def __getitem__(self, positions: npt.NDArray[np.int64]) -> Batch:
        """Gather a batch; the photos are copied once, out of the memory map."""
        rows = self.indices[positions]
        images = torch.from_numpy(self.images[rows])
        return images, torch.from_numpy(self.labels[rows]), torch.from_numpy(positions)


class ResidentPhotos(Dataset[Batch]):
    """One split of a store, all on the training device: a batch is gathered there."""

    def __init__(self, photos: SplitPhotos, device: torch.device) -> None:
        shape = len(photos), *photos.images.shape[1:]
        self.images = torch.empty(shape, dtype=torch.uint8, device=device)
        for start in range(0, len(photos), 1024):  # so that only one copy is ever whole
            rows = photos.indices[start : start + 1024]
            self.images[start : start + len(rows)] = torch.from_numpy(photos.images[rows])
        self.labels = torch.from_numpy(photos.labels[photos.indices]).to(device)

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.images)

    def __getitem__(self, positions: npt.NDArray[np.int64]) -> Batch:
        """Gather a batch."""
        rows = torch.from_numpy(positions).to(self.images.device, non_blocking=True)
        return self.images[rows], self.labels[rows], rows


def near(photos: SplitPhotos, device: torch.device) -> SplitPhotos | ResidentPhotos:
    """Move a split to a GPU if it fits in RESIDENT_SHARE of its free memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if len(photos) * photos.images[0].nbytes <= RESIDENT_SHARE * free:
            return ResidentPhotos(photos, device)
    return photos


def load_batches(
    photos: SplitPhotos | ResidentPhotos,
    order: npt.NDArray[np.int64],
    batch_size: int,
    workers: int,
    processes: Processes,
) -> DataLoader[Batch]:
    """Return a loader of the photos in the given order; the last batch may be short.

    Of each batch it loads the part that is this process's.
    """
    share = processes.share
    resident = isinstance(photos, ResidentPhotos)
    shares = [share(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]
    return DataLoader(
        photos,
        sampler=[one for one in shares if len(one)],
        batch_size=None,  # the sampler's items are whole batches
        num_workers=0 if resident else workers,
        worker_init_fn=start_worker,
        pin_memory=processes.device.type == "cuda" and not resident,
        generator=torch.Generator(),  # else it would draw its seed from the global random state
    )
