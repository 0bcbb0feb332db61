import ctypes
import subprocess
import sys

import pytest
import torch
from torch import nn

from stages.common.errors import UserError
from stages.model.device import (
    CPU_CAPS,
    choose_device,
    choose_precision,
    products_in,
    set_up_torch,
)

CPU = torch.device("cpu")


def test_auto_takes_a_device_that_is_there() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.backends.mps.is_available():
        assert choose_device("auto", "train.device").type == expected


def test_a_missing_device_is_an_error_and_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto", "train.device") == torch.device("cpu")
    with pytest.raises(UserError, match=r"train\.device is cuda, .* allowed here: auto, cpu"):
        choose_device("cuda", "train.device")


def test_auto_prefers_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", "train.device") == torch.device("cuda")
    assert choose_device("cpu", "train.device") == torch.device("cpu")


def test_thread_count_is_the_parameters() -> None:
    before = torch.get_num_threads()
    set_up_torch(1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    set_up_torch(before)


AMX = {"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel(R) Xeon(R) Processor"}
INTEL = {"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel(R) Xeon(R) Processor"}
AMD = {"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC"}
OLD_AMD = {"amx_bf16": False, "avx512_bf16": False, "cpu_name": "AMD EPYC"}
ARM = {"architecture": "aarch64", "bf16": True}


@pytest.mark.parametrize(
    ("cpu", "cap", "expected"),
    [
        (AMX, "", "bf16"),
        (AMX, "AVX512_CORE_AMX", "bf16"),
        (AMX, "all", "bf16"),
        (AMX, "AVX512_CORE_BF16", "fp32"),
        (AMX, "avx2", "fp32"),
        (INTEL, "", "fp32"),
        (AMD, "", "bf16"),
        (AMD, "AVX2", "fp32"),
        (OLD_AMD, "", "fp32"),
        (ARM, "", "fp32"),
    ],
)
@pytest.mark.parametrize("variable", CPU_CAPS)
def test_auto_is_bfloat16_on_processors_that_are_fast_at_it(
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    cpu: dict[str, bool | str],
    cap: str,
    expected: str,
) -> None:
    for name in CPU_CAPS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, cap)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    dense, grouped = nn.Conv2d(8, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 3, groups=8))
    assert choose_precision("auto", CPU, dense) == expected
    assert choose_precision("auto", CPU, grouped) == "fp32"
    assert choose_precision("bf16", CPU, grouped) == "bf16"
    assert choose_precision("fp32", CPU, dense) == "fp32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16")])
def test_auto_is_bfloat16_on_gpus_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    grouped = nn.Conv2d(8, 8, 3, groups=8)
    assert choose_precision("auto", torch.device("cuda"), grouped) == expected
    assert choose_precision("auto", torch.device("mps"), grouped) == "fp32"


FAULTS = """
import resource
import torch
from stages.model.device import set_up_torch

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

set_up_torch(1)
print(*(faults() for _ in range(20)))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc"
)
def test_the_memory_of_a_freed_tensor_is_used_again() -> None:
    shown = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    first, *_, last = map(int, shown.stdout.split())  # some may miss the places of those before
    assert first > 10 * max(last, 1)


def test_products_are_rounded_inside_only() -> None:
    before = torch.get_float32_matmul_precision()
    with products_in("fp32"):
        assert torch.get_float32_matmul_precision() == before
    with products_in("bf16"):
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before == "highest"
