"""The device to compute on, and the one place where PyTorch is made deterministic and quick."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from stages.common.errors import UserError

Precision = Literal["fp32", "bf16"]

CPU_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep oneDNN, which computes convolutions, from some instructions."""


def choose_device(name: str, parameter: str) -> torch.device:
    """Return the device that a parameter names; ``auto`` takes the fastest one there is.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
    parameter : str
        The parameter's full name, for the message.
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


def choose_precision(
    name: Literal["auto"] | Precision, device: torch.device, network: nn.Module
) -> Precision:
    """Return what ``train.precision`` means; ``auto`` takes bfloat16 where it is faster."""
    if name == "auto":
        return "fp32" if why_bf16_is_slow(device, network) else "bf16"
    return name


def why_bf16_is_slow(device: torch.device, network: nn.Module) -> str:
    """Say why a network is not trained faster in bfloat16 on a device; nothing where it is."""
    if device.type == "cuda":
        is_fast = torch.cuda.get_device_capability(device) >= (8, 0)
        return "" if is_fast else "GPUs before Ampere have no instructions for it"
    if device.type != "cpu":
        return "it is not known to be faster on this device"
    if any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in network.modules()):
        return "on a CPU, convolutions with groups are slower in it"
    if not cpu_multiplies_bf16():
        return "this processor has no fast instructions for it"
    return ""


def cpu_multiplies_bf16() -> bool:
    """Tell whether the CPU multiplies matrices faster in bfloat16 than in single precision.

    Those with AMX do, and AMD's with AVX512-BF16; Intel's with AVX512-BF16 alone do not. A variable
    that forbids oneDNN some instructions is taken to forbid these, unless it names AMX.
    """
    caps = {os.environ.get(name, "").upper() for name in CPU_CAPS} - {"", "DEFAULT", "ALL"}
    cpu = torch.cpu.get_capabilities()
    has_amx = bool(cpu.get("amx_bf16")) and all("AMX" in cap for cap in caps)
    is_amd = str(cpu.get("cpu_name", "")).startswith("AMD")
    return has_amx or (is_amd and bool(cpu.get("avx512_bf16")) and not caps)


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which a network's passes have a precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Let products of single-precision matrices round their factors, if `precision` is bfloat16.

    Sums and results stay in single precision. CPUs round to bfloat16, GPUs to TF32.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "bf16" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def set_up_torch(threads: int) -> None:
    """Make equal inputs give equal bytes: on one device type, thread count and version of PyTorch.

    Call it before anything is computed. An operation that has no deterministic form on the device
    raises an error instead of giving other digits each time.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.set_num_threads(threads)
    # As use_deterministic_algorithms(True), which imports PyTorch's compiler besides: two seconds.
    torch.set_deterministic_debug_mode("error")
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
