"""Several processes that train one network, each on its part of every batch.

They hold the same weights all the time: gradients, the statistics of batch norms and losses are
summed over the processes. So it is the same training, however many take part in it.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stages.common.errors import UserError

HERE = "params.yaml: train.processes"
LEFT_ALONE = 75
"""Exit code of a process that ends because another one has ended."""
SECONDS_FOR_THE_FIRST = 3


class Processes:
    """Where one process stands among those that train together; by default it is alone.

    Attributes
    ----------
    device : torch.device
        Its own.
    rank : int
        Its number, from 0. The first one writes, prints and answers to signals.
    size : int
        How many there are.
    part : float
        This process's part of the batch, by which its gradients count.
    """

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.device = device
        self.rank = rank
        self.size = size
        self.part = 1.0

    def __str__(self) -> str:
        """Say where the training runs."""
        return f"{self.size} x {self.device.type}" if self.size > 1 else str(self.device)

    @property
    def is_first(self) -> bool:
        """Tell whether this is the one that writes."""
        return self.rank == 0

    def share(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return this process's positions of a batch; those of all processes make the batch."""
        return positions[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, in each of them."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the first process's value, in each of them."""
        if self.size > 1:
            values = [value]
            dist.broadcast_object_list(values)
            return values[0]
        return value

    def connect(self, network: nn.Module) -> nn.Module:
        """Return what to call for a forward pass whose backward pass sums the gradients.

        Call it again when other weights are frozen.
        """
        if self.size == 1:
            return network
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = SharedBatchNorm2d
            if isinstance(module, SharedBatchNorm2d):
                module.processes = self
        connected = DistributedDataParallel(network, forward_sync_buffers=False)
        connected.register_comm_hook(self, _sum_gradients)
        return connected

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """End quietly after another process, which has said why it ended."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not any(sign in str(error) for sign in ("gloo", "NCCL")):
                raise
            sys.exit(LEFT_ALONE)


def _sum_gradients(
    processes: Processes,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    """Sum gradients of mean losses, weighted by each process's part of the batch."""
    gradients = bucket.buffer().mul_(processes.part)
    done = dist.all_reduce(gradients, async_op=True)
    assert done is not None
    summed: torch.futures.Future[Tensor] = done.get_future().then(lambda each: each.value()[0])
    return summed


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm over the photos of all processes.

    PyTorch's own, ``SyncBatchNorm``, has no CPU version.
    """

    processes: Processes

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; B may differ between processes."""
        if not self.training:
            return super().forward(images)
        channels = images.shape[1]
        images = images.to(self.weight.dtype)
        variance, mean = torch.var_mean(images, dim=(0, 2, 3), correction=0)
        count = torch.full_like(mean, images.numel() / channels)
        gathered: Tensor = _Gather.apply(torch.stack([mean, variance, count]), self.processes)
        means, variances, counts = gathered.unbind(1)
        total = counts.sum(0)
        mean = (means * counts).sum(0) / total
        variance = ((variances + (means - mean) ** 2) * counts).sum(0) / total
        self._follow(mean.detach(), (variance * total / (total - 1)).detach())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        result: Tensor = images * scale[:, None, None] + shift[:, None, None]
        return result

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class _Gather(torch.autograd.Function):
    """Every process's tensor of shape (...), stacked in each of them: (processes, ...)."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, processes: Processes) -> Tensor:
        """Gather the values."""
        ctx.processes = processes
        all_of_them = [torch.empty_like(own) for _ in range(processes.size)]
        dist.all_gather(all_of_them, own.contiguous())
        return torch.stack(all_of_them)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Sum what every process found for this one's values.

        They count by the processes' parts of the batch; the one of this process comes later, with
        the gradients of the weights.
        """
        processes: Processes = ctx.processes
        total = processes.sum(gradients[0] * processes.part)
        return total[processes.rank] / processes.part, None


def check_processes(processes: int, device: torch.device) -> None:
    """Refuse more processes on this machine than it has devices for.

    Raises
    ------
    UserError
    """
    there = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, processes)
    if processes > there:
        raise UserError(
            f"{HERE} is {processes}, but this machine has {there} {device.type} "
            f"device{'s' if there != 1 else ''}; each process needs its own: lower train.processes"
        )


def is_launched() -> bool:
    """Tell whether a launcher of PyTorch started this process, as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined(wanted: int, device: torch.device) -> Iterator[Processes]:
    """Join the other processes, if there are any; with GPUs, each takes its own.

    Raises
    ------
    UserError
        If a launcher started another number of processes than `wanted`.
    """
    if not is_launched():
        yield Processes(device)
        return
    rank, local_rank, size, here = (
        int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    )
    if size != wanted:
        raise UserError(
            f"{HERE} is {wanted}, but the launcher started {size}; make them the same number, "
            "because it is a part of what the result depends on"
        )
    check_processes(here, device)
    if device.type == "cuda":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(device, rank, size)
    except UserError:
        if rank:  # most mistakes are found in all processes: the first one shall say it
            time.sleep(SECONDS_FOR_THE_FIRST)
        raise
    finally:
        dist.destroy_process_group()
