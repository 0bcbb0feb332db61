import importlib.util
import sys
from types import ModuleType

import pytest

from stages.train.key import _hash_code


def test_the_module_that_was_started_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    started = ModuleType("__main__")  # as `python -m stages.train` has it
    started.__spec__ = importlib.util.find_spec("stages.train.__main__")
    monkeypatch.setitem(sys.modules, "__main__", started)
    monkeypatch.delitem(sys.modules, "stages.train.__main__", raising=False)
    assert {"stages.train.__main__", "stages.train.key"} <= set(_hash_code())
