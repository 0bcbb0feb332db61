"""The loss that is trained on, cross-entropy with label smoothing and balanced classes; its mean.

The mean of an epoch is summed over photos and divided once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.common.errors import UserError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (B, classes) and labels (B,) to the mean loss, a tensor of shape ()."""


def build_loss(
    labels: npt.NDArray[np.int64], balance: float, label_smoothing: float, device: torch.device
) -> Loss:
    """Return the loss for a train split.

    Parameters
    ----------
    labels : int64 array of shape (N,)
        Of all photos of the split.
    balance : float
        From 0, which counts every photo alike, to 1, which counts every class alike.
    label_smoothing : float
    device : torch.device
    """
    if balance == 0:
        return partial(F.cross_entropy, label_smoothing=label_smoothing)
    weights = torch.from_numpy(class_weights(np.bincount(labels), balance)).to(device)

    def weighted(logits: Tensor, labels: Tensor) -> Tensor:
        each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        return (weights[labels] * each).mean()

    return weighted


def class_weights(counts: npt.NDArray[np.int64], balance: float) -> npt.NDArray[np.float32]:
    """Return what a photo of each class counts: the inverse of the class's size, to a power.

    Parameters
    ----------
    counts : int64 array of shape (classes,)
        Photos of each class.
    balance : float
        The power.

    Returns
    -------
    float32 array of shape (classes,)
        Its mean over all photos is 1, so that the learning rate need not change.
    """
    raw = np.maximum(counts, 1) ** -float(balance)
    weights: npt.NDArray[np.float32] = (raw * counts.sum() / (raw * counts).sum()).astype(
        np.float32
    )
    return weights


class EpochLoss:
    """The sums of an epoch's losses, kept on the device until somebody asks for their mean.

    The mean weights every photo alike, also those of a short last batch.

    Attributes
    ----------
    batches, photos : int
        Summed so far, of all processes.
    """

    def __init__(self, epoch: int, device: torch.device) -> None:
        self._epoch = epoch
        # Apple's GPUs have no double precision.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._sums = torch.zeros(2, dtype=dtype, device=device)
        """Of the losses, and of the batches before the first that was not finite."""
        self.batches = 0
        self.photos = 0

    def add(self, loss_sum: Tensor, photos: int) -> None:
        """Add a batch: the sum of its photos' losses, a tensor of shape (), and their number."""
        self._sums[0] += loss_sum
        self._sums[1] += self._sums[0].isfinite()
        self.batches += 1
        self.photos += photos

    def mean(self) -> float:
        """Return the mean loss per photo so far; on a GPU, this waits for it."""
        loss_sum, finite_batches = self._sums.tolist()
        if finite_batches < self.batches:
            raise UserError(
                f"training diverged: the loss became {loss_sum} at epoch {self._epoch}, batch "
                f"{int(finite_batches) + 1}; lower train.lr or raise train.warmup_fraction in "
                "params.yaml"
            )
        return float(loss_sum / self.photos)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums as plain values."""
        return {"sums": self._sums.tolist(), "batches": self.batches, "photos": self.photos}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self._sums = self._sums.new_tensor(state["sums"])
        self.batches = state["batches"]
        self.photos = state["photos"]
