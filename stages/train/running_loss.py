"""The loss of an epoch: summed over photos, divided once."""

import torch
from torch import Tensor

from stages.common.errors import UserError
from stages.train.processes import Processes


class RunningLoss:
    """The losses of an epoch's batches, kept on the device until somebody asks for their mean.

    The mean weights every photo alike, also those of a short last batch.
    """

    def __init__(self, epoch: int, processes: Processes) -> None:
        self._epoch = epoch
        self._processes = processes
        self._batches: list[Tensor] = []
        """The sum of a batch's losses and its photos, of all processes."""

    def add(self, loss: Tensor, photos: int) -> None:
        """Add a batch's mean loss, a tensor of shape (), of this process's photos."""
        sums = torch.stack([loss.detach() * photos, torch.full_like(loss, photos)])
        self._batches.append(self._processes.sum(sums))

    def state(self) -> list[list[float]]:
        """Return each batch's sum of losses and number of photos."""
        return [batch.tolist() for batch in self._batches]

    def restore(self, state: list[list[float]], device: torch.device) -> None:
        """Go on from what `state` returned."""
        self._batches = [torch.tensor(batch, device=device) for batch in state]

    def __len__(self) -> int:
        """Return the number of batches so far."""
        return len(self._batches)

    @property
    def photos(self) -> int:
        """Photos so far."""
        return int(sum(float(photos) for _, photos in self._batches))

    def mean(self) -> float:
        """Return the mean loss per photo so far.

        Raises
        ------
        UserError
            If the loss of a batch was not a finite number: the weights are lost from there on.
        """
        losses, photos = torch.stack(self._batches).cpu().double().unbind(1)
        finite = losses.isfinite()
        if not finite.all():
            batch = int(finite.logical_not().nonzero()[0]) + 1
            raise UserError(
                f"training diverged: the loss became {losses[batch - 1]} at epoch {self._epoch}, "
                f"batch {batch}; lower train.lr or raise train.warmup_epochs in params.yaml"
            )
        return float(losses.sum() / photos.sum())
