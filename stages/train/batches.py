"""Batches of photos, gathered whole from the store's memory map."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stages.common.store import Split, Store
from stages.common.workers import start_worker

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

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.indices)

    def __getitem__(self, positions: npt.NDArray[np.int64]) -> Batch:
        """Gather a batch; the photos are copied once, out of the memory map."""
        rows = self.indices[positions]
        images = torch.from_numpy(self.images[rows])
        return images, torch.from_numpy(self.labels[rows]), torch.from_numpy(positions)


def load_batches(
    photos: SplitPhotos, order: npt.NDArray[np.int64], batch_size: int, workers: int
) -> DataLoader[Batch]:
    """Return a loader of the photos in the given order; the last batch may be short."""
    return DataLoader(
        photos,
        sampler=[order[i : i + batch_size] for i in range(0, len(order), batch_size)],
        batch_size=None,  # the sampler's items are whole batches
        num_workers=workers,
        worker_init_fn=start_worker,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else it would draw its seed from the global random state
    )
