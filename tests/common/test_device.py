import ctypes
import subprocess
import sys

import pytest
import torch

from stages.common.device import choose_device, set_up_torch
from stages.common.errors import UserError


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


def test_thread_count_is_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    set_up_torch(1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    set_up_torch(before)


FAULTS = """
import resource
import torch
from stages.common.device import set_up_torch

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(50_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

set_up_torch(1)
print(*(faults() for _ in range(6)))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc"
)
def test_the_memory_of_a_freed_tensor_is_used_again() -> None:
    shown = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    first, *_, last = map(int, shown.stdout.split())  # the second may still miss the first's place
    assert first > 10 * max(last, 1)
