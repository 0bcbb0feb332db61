from dataclasses import replace

import pytest
import torch

from stages.common.errors import UserError
from stages.common.schema import Params
from stages.common.store import Store
from stages.train.distributed import World
from stages.train.initial import build_initial_model
from stages.train.key import (
    CPU_VARIABLES,
    check_same_training,
    cpu_features,
    describe_training,
    device_name,
)
from tests.conftest import ROOT
from tests.test_dvc_yaml import closure

CPU = torch.device("cpu")


def key(params: Params, store: Store) -> dict[str, object]:
    return describe_training(params, store, build_initial_model(params, store.meta, CPU), CPU)


def changed(params: Params, **values: object) -> Params:
    return params.model_copy(update={"train": params.train.model_copy(update=values)})


def test_every_module_that_the_stage_imports_is_in_the_key(params: Params, store: Store) -> None:
    imported = closure(ROOT / "stages/train/__main__.py")
    code = key(params, store)["code"]
    assert isinstance(code, dict)
    assert {path.relative_to(ROOT).as_posix() for path in imported} == set(code)


def test_parameters_that_change_no_result_are_not_in_the_key(params: Params, store: Store) -> None:
    before = key(params, store)
    same = {"device": "cpu", "precision": before["precision"]}
    assert key(changed(params, **same), store) == before
    for other in ({"lr": 0.5}, {"threads": 3}, {"processes": 2}, {"class_balance": 1}):
        assert key(changed(params, **other), store) != before


def test_how_photos_fit_and_mirror_is_in_the_key_and_in_the_model(
    params: Params, store: Store
) -> None:
    before = key(params, store)
    for other in ({"fit": "pad"}, {"mirror_keeps_class": False}):
        meta = store.meta.model_copy(update=other)
        assert key(params, replace(store, meta=meta)) != before
        said = build_initial_model(params, meta, CPU).meta.model_dump()
        assert other.items() <= said.items()


def test_a_checkpoint_in_another_precision_is_another_training(
    params: Params, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    cpu = {**torch.cpu.get_capabilities(), "amx_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)
    automatic = changed(params, precision="auto")
    with_amx = key(automatic, store)
    assert with_amx["precision"] == "bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    capped = key(automatic, store)
    assert {name for name, value in capped.items() if value != with_amx[name]} == {
        "precision",
        "cpu_variables",
    }


@pytest.mark.parametrize("name", CPU_VARIABLES)
def test_a_capped_processor_is_another_key(
    params: Params, store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    before = key(params, store)
    monkeypatch.setenv(name, "AVX2")
    assert key(params, store) != before


def test_the_instruction_sets_of_this_processor_are_named() -> None:
    assert cpu_features() == sorted(cpu_features())
    assert not {"num_logical_cores", "l2_cache_size", "cpu_name"} & set(cpu_features())


def test_two_models_of_gpu_have_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Model A")
    assert device_name(torch.device("cuda")) == "Model A"
    assert device_name(CPU) == "cpu"


def test_a_process_with_other_photos_is_refused(params: Params, store: Store) -> None:
    class Second(World):
        def broadcast(self, value: dict[str, object]) -> dict[str, object]:
            return {**value, "store": "another", "cpu": "another"}

    document = key(params, store)
    check_same_training(document, World(CPU))
    message = r"process 1 and process 0 do not have the same store; give"
    with pytest.raises(UserError, match=message):
        check_same_training(document, Second(CPU, rank=1, size=2))
