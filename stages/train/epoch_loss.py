"""The training loss of an epoch: summed over photos, divided once."""

from typing import Any

import torch
from torch import Tensor

from stages.common.errors import UserError


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
        """Return the mean loss per photo so far; on a GPU, this waits for it.

        Raises
        ------
        UserError
            If the loss of a batch was not finite. The weights are lost from there on.
        """
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
