"""Refuse what cannot be trained before the first step; put a device's errors into words."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stages.common.errors import UserError, first_line

SIGNS_OF_FULL_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def check_photos(n_photos: int, processes: int) -> None:
    """Refuse more processes than there are photos to train on."""
    if n_photos < processes:
        raise UserError(
            f"params.yaml: train.processes is {processes}, but there are only {n_photos} train "
            "photos, and each process needs one; lower train.processes"
        )


def check_compiler() -> None:
    """Refuse to compile the network without a compiler, before the first step."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    if not any(map(shutil.which, names)):
        raise UserError(
            f"params.yaml: train.compile is true, but there is no {' or '.join(names)}; install a "
            "C++ compiler, or set train.compile to false"
        )


@torch.no_grad()
def check_sizes(network: nn.Module, sizes_px: Iterable[int]) -> None:
    """Refuse image sizes that the network cannot take: some are made for one size."""
    network.eval()
    weight = next(network.parameters())
    for size_px in sorted(set(sizes_px)):
        try:
            with readable_device_errors(1, size_px):
                network(weight.new_zeros(1, 3, size_px, size_px))
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = first_line(error)
            raise UserError(
                f"params.yaml: model.name: the network cannot take images of {size_px} px: "
                f"{reason:.100}; change train.first_image_size_px or prepare.image_size_px"
            ) from error


@contextmanager
def readable_device_errors(batch_size: int, size_px: int) -> Iterator[None]:
    """Turn what a device cannot do into a line that says which parameter to change."""
    try:
        yield
    except (MemoryError, RuntimeError, ValueError) as error:
        text = str(error)
        if "deterministic implementation" in text:
            raise UserError(
                f"params.yaml: model.name: on this device the network gives other digits each time "
                f"({text.partition(' does not')[0]:.60}); choose another one, or train.device: cpu"
            ) from error
        if "more than 1 value per channel" in text:
            raise UserError(
                f"params.yaml: train.batch_size is {batch_size}: with images of {size_px} px, a "
                "batch norm of the network gets one value per channel, which has no variance; "
                "raise train.batch_size or train.first_image_size_px"
            ) from error
        if "DataLoader" in text:
            raise UserError(
                f"a process that gathers batches ended or hangs ({first_line(error):.80}), most "
                "likely because memory or /dev/shm is full; set runtime.loader_workers to 0: then "
                "the same command resumes"
            ) from error
        if isinstance(error, MemoryError) or any(sign in text for sign in SIGNS_OF_FULL_MEMORY):
            raise UserError(
                f"out of memory with batches of {batch_size} photos of {size_px} x {size_px} px; "
                "lower train.batch_size, prepare.image_size_px or model.width in params.yaml"
            ) from error
        raise
