"""What cannot be trained is said before the first step, and in words what a device refuses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stages.common.errors import UserError


def check_batches(photos: int, batch_size: int, network: nn.Module, processes: int = 1) -> None:
    """Refuse a batch size that does not suit the train split, or the number of processes.

    Raises
    ------
    UserError
        If the split does not fill one batch, or leaves a last batch of one photo to batch norms,
        which have no variance to divide by then, or a process without a photo.
    """
    if batch_size > photos:
        raise UserError(
            f"params.yaml: train.batch_size must be at most {photos}, the number of train photos, "
            f"got {batch_size}"
        )
    has_batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    last = photos % batch_size or batch_size
    if last == 1 and has_batch_norm:
        fitting = next(size for size in range(batch_size + 1, photos + 1) if photos % size != 1)
        raise UserError(
            f"params.yaml: train.batch_size is {batch_size}, which leaves a last batch of one of "
            f"{photos} photos, too few for batch norm; choose {fitting}, for example"
        )
    if last < processes:
        raise UserError(
            f"params.yaml: train.batch_size is {batch_size}, which leaves a last batch of {last} "
            f"of {photos} photos for train.processes = {processes}; change one of them so that "
            "every process has a photo of every batch"
        )


@torch.no_grad()
def check_sizes(network: nn.Module, sizes: Iterable[int]) -> None:
    """Refuse image sizes that the network cannot take: some know one size alone.

    Raises
    ------
    UserError
    """
    network.eval()
    weight = next(network.parameters())
    for size_px in sorted(set(sizes)):
        try:
            network(weight.new_zeros(1, 3, size_px, size_px))
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"params.yaml: model.name: the network cannot take images of {size_px} px: "
                f"{reason:.100}; change train.first_image_size_px or prepare.image_size_px"
            ) from error


@contextmanager
def readable_device_errors(batch_size: int, size_px: int) -> Iterator[None]:
    """Say what to lower when memory is full, and which network has no exact form on a device."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error)
        if "deterministic implementation" in text:
            raise UserError(
                f"params.yaml: model.name: on this device the network gives other digits each time "
                f"({text.partition(' does not')[0]:.60}); choose another one, or train.device: cpu"
            ) from error
        if isinstance(error, RuntimeError) and not any(
            sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory")
        ):
            raise
        raise UserError(
            f"out of memory with batches of {batch_size} photos of {size_px} x {size_px} px; lower "
            "train.batch_size, prepare.image_size_px or model.width in params.yaml"
        ) from error
