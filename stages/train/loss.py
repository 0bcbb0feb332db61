"""The loss that is trained on: cross-entropy, with label smoothing and balanced classes."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

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
