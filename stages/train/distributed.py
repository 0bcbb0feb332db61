"""Several processes that train one network, each on its shard of every batch.

PyTorch's own parts do the work: its elastic launcher starts the processes, DistributedDataParallel
averages the gradients, SyncBatchNorm normalizes over the photos of all GPUs. On CPUs, which
SyncBatchNorm does not know, each process normalizes its own photos.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stages.common.errors import UserError

EXIT_PEER_LOST = 75
"""Exit code of a process that ends because it lost another one."""


class World:
    """Where one process stands among those that train together; by default it is the only one.

    Attributes
    ----------
    device : torch.device
        Its own.
    rank : int
        Its number, from 0. Process 0 is the main one: it writes, prints and answers to signals.
    size : int
        How many there are.
    local_rank : int
        Its number on this machine.
    """

    def __init__(
        self, device: torch.device, rank: int = 0, size: int = 1, local_rank: int = 0
    ) -> None:
        self.device = device
        self.rank = rank
        self.size = size
        self.local_rank = local_rank

    def __str__(self) -> str:
        """Say where the training runs."""
        return f"{self.size} x {self.device.type}" if self.size > 1 else str(self.device)

    @property
    def is_main(self) -> bool:
        """Tell whether this is the process that writes."""
        return self.rank == 0

    @property
    def is_local_main(self) -> bool:
        """Tell whether this is the first process on its machine."""
        return self.local_rank == 0

    def shard(self, batch: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return this process's shard of a batch; the shards of all processes make the batch."""
        return batch[self.rank :: self.size]

    def sum_over_processes(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place; return the sum."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the main process's value, in each of them."""
        if self.size > 1:
            values = [value]
            dist.broadcast_object_list(values)
            return values[0]
        return value

    def broadcast_buffers(self, network: nn.Module) -> None:
        """Give every process the main one's running statistics."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the block in the main process, then in the others.

        A mistake in it is said once, by the main process, before the others can find it too.
        """
        if self.size > 1 and not self.is_main:
            dist.barrier()
        yield
        if self.size > 1 and self.is_main:
            dist.barrier()

    def move(self, network: nn.Module) -> nn.Module:
        """Move a network to this process's device, ready to be trained by all."""
        if self.size > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return what to call for a forward pass whose backward pass averages the gradients."""
        return DistributedDataParallel(network) if self.size > 1 else network


def check_processes(processes: int, device: torch.device) -> None:
    """Refuse more processes on this machine than it has devices for."""
    present = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, processes)
    if processes > present:
        raise UserError(
            f"params.yaml: train.processes is {processes}, but this machine has {present} "
            f"{device.type} device{'s' if present != 1 else ''}; each process needs its own: lower "
            "train.processes"
        )


def is_launched() -> bool:
    """Tell whether PyTorch's launcher started this process, as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def join_world(expected: int, device: torch.device) -> Iterator[World]:
    """Join the other processes, if there are any; each takes a GPU of its own.

    Only the main process prints.
    """
    if not is_launched():
        yield World(device)
        return
    rank, local_rank, size, local_size = (
        int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    )
    if size != expected:
        raise UserError(
            f"params.yaml: train.processes is {expected}, but the launcher started {size}; make "
            "them equal: the number of processes is part of what the result depends on"
        )
    check_processes(local_size, device)
    if device.type == "cuda":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    world = World(device, rank, size, local_rank)
    with leave_with_peers(world), redirect_stdout(sys.stdout if world.is_main else None):
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield world
        finally:
            dist.destroy_process_group()


@contextmanager
def leave_with_peers(world: World) -> Iterator[None]:
    """When the connection to another process is lost, say so in one line and leave."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, dist.DistError) and "gloo" not in text and "NCCL" not in text:
            raise
        reason = re.sub(r"^\[[^]]*\] *", "", text.strip().partition("\n")[0])  # no path in C++
        print(
            f"process {world.rank} of {world.size}: lost the connection to another process: "
            f"{reason:.200}",
            file=sys.stderr,
        )
        sys.exit(EXIT_PEER_LOST)
