"""The loss of an epoch: summed over photos, divided once."""

import torch
from torch import Tensor

from stages.common.errors import UserError


class RunningLoss:
    """The losses of an epoch's batches, kept on the device until somebody asks for their mean.

    The mean weights every photo alike, also those of a short last batch.
    """

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._losses: list[Tensor] = []
        self._photos: list[int] = []

    def add(self, loss: Tensor, photos: int) -> None:
        """Add a batch's mean loss, a tensor of shape ()."""
        self._losses.append(loss.detach())
        self._photos.append(photos)

    def state(self) -> tuple[list[float], list[int]]:
        """Return each batch's mean loss and number of photos."""
        return [float(loss) for loss in self._losses], list(self._photos)

    def restore(self, state: tuple[list[float], list[int]], device: torch.device) -> None:
        """Go on from what `state` returned."""
        losses, self._photos = state
        self._losses = [torch.tensor(loss, device=device) for loss in losses]

    def __len__(self) -> int:
        """Return the number of batches so far."""
        return len(self._losses)

    @property
    def photos(self) -> int:
        """Photos so far."""
        return sum(self._photos)

    def mean(self) -> float:
        """Return the mean loss per photo so far.

        Raises
        ------
        UserError
            If the loss of a batch was not a finite number: the weights are lost from there on.
        """
        losses = torch.stack(self._losses).cpu().double()
        finite = losses.isfinite()
        if not finite.all():
            batch = int(finite.logical_not().nonzero()[0]) + 1
            raise UserError(
                f"training diverged: the loss became {losses[batch - 1]} at epoch {self._epoch}, "
                f"batch {batch}; lower train.lr or raise train.warmup_epochs in params.yaml"
            )
        photos = torch.tensor(self._photos, dtype=torch.float64)
        return float(losses @ photos / photos.sum())
