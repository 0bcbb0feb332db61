"""The device to compute on, and the one place where PyTorch is made deterministic and quick."""

import ctypes
import os

import torch

from stages.common.errors import UserError


def choose_device(name: str, parameter: str) -> torch.device:
    """Return the device that a parameter names; ``auto`` takes the fastest one there is.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
    parameter : str
        The parameter's full name, for the message.

    Raises
    ------
    UserError
        If the device is not there: a run that silently fell back would give other results, late.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there = [device for device, is_there in present.items() if is_there] + ["cpu"]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise UserError(
            f"params.yaml: {parameter} is {name}, but this machine has no such device; "
            f"allowed here: auto, {', '.join(there)}"
        )
    return torch.device(name)


def is_bf16(precision: str, device: torch.device) -> bool:
    """Tell whether ``train.precision`` means bfloat16 on a device.

    ``auto`` takes it where it is fast: on NVIDIA's GPUs from Ampere on.
    """
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return precision == "bf16"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which ``train.precision`` holds for a network's passes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bf16(precision, device))


def set_up_torch(threads: int) -> None:
    """Make equal inputs give equal bytes: on one device type, thread count and version of PyTorch.

    Call it before anything is computed. An operation that has no deterministic form on the device
    raises an error instead of giving other digits each time.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory with NaN would find bugs, but costs 8 % of a training.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones; others have no such settings.

    By default it returns that of every large one to the system, which fills it with zeros when it
    is asked for again. A forward pass of MobileNetV2 takes three times as long then.
    """
    mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if set_option is not None:
        set_option(mmap_max, 0)
        set_option(trim_threshold, 2**31 - 1)
