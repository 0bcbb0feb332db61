import dataclasses
import hashlib
import http.server
import math
import pickle
import re
import threading
import urllib.error
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torchvision.models as zoo
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from stages.common.errors import UserError
from stages.common.files import write_guarded
from stages.common.schema import Model, Params
from stages.common.store import Store
from stages.model.classifier import ModelMeta
from stages.model.flowernet import build_flowernet
from stages.model.networks import DefaultWeights, build_network
from stages.train.initial import build_initial_model
from stages.train.pretrained import load_pretrained, load_pretrained_into
from tests.conftest import save_flowernet


@pytest.fixture(autouse=True)
def weights_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.train.pretrained.WEIGHTS", tmp_path)


def model(weights: Path | str, name: str = "flowernet") -> Model:
    return Model(name=name, width=8, weights=Path(weights).name)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A trained flowernet for three classes, as a models folder has it."""
    folder = tmp_path / "mine"
    save_flowernet(
        folder,
        classes=["daisy", "rose", "tulip"],
        image_size_px=64,
        input_size_px=48,
        mean=[0.1] * 3,
        std=[0.2] * 3,
    )
    return folder


def test_no_weights_are_nothing_to_load() -> None:
    assert load_pretrained(model("none")) is None


def test_all_weights_but_a_head_for_other_classes_are_taken(saved: Path) -> None:
    pretrained = load_pretrained(model(saved))
    assert pretrained is not None
    assert (pretrained.mean, pretrained.size_px) == ([0.1] * 3, 48)
    network = build_flowernet(8, 5)
    known = load_pretrained_into(network, pretrained)
    assert set(network.state_dict()) - known == {"head.weight", "head.bias"}
    assert torch.equal(
        network.state_dict()["stem.0.0.weight"], pretrained.weights["stem.0.0.weight"]
    )


def test_what_other_programs_put_before_all_names_is_taken_off(saved: Path) -> None:
    pretrained = load_pretrained(model(saved))
    assert pretrained is not None
    weights = {f"model._orig_mod.{name}": value for name, value in pretrained.weights.items()}
    network = build_flowernet(8, 5)
    known = load_pretrained_into(network, dataclasses.replace(pretrained, weights=weights))
    assert set(network.state_dict()) - known == {"head.weight", "head.bias"}


def test_a_head_for_as_many_classes_is_taken_too_but_learns_as_a_new_one(saved: Path) -> None:
    pretrained = load_pretrained(model(saved))
    assert pretrained is not None
    network = build_flowernet(8, 3)
    known = load_pretrained_into(network, pretrained)
    assert set(network.state_dict()) - known == {"head.weight", "head.bias"}
    assert torch.equal(network.state_dict()["head.weight"], pretrained.weights["head.weight"])


@pytest.mark.parametrize("meta", ["[]", "3", '{"mean": null, "std": [1], "input_size_px": "x"}'])
def test_a_description_of_no_model_is_refused(saved: Path, meta: str) -> None:
    (saved / "model.json").write_text(meta)
    with pytest.raises(UserError, match=r"model\.json is not there or does not describe a model"):
        load_pretrained(model(saved))


ODD_TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "complex": lambda weight: weight.to(torch.complex64),
    "sparse": lambda weight: weight.to_sparse(),
    "sparse rows": lambda weight: weight.flatten(1).to_sparse_csr(),
    "meta": lambda weight: weight.to("meta"),
    "quantized": lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
}


@pytest.mark.parametrize("kind", ODD_TENSORS)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_no_plain_numbers_are_refused(saved: Path, kind: str) -> None:
    weights = build_flowernet(8, 3).state_dict()
    weights["stem.0.0.weight"] = ODD_TENSORS[kind](weights["stem.0.0.weight"])
    torch.save(weights, saved.parent / "odd.pth")
    with pytest.raises(
        UserError, match=r"odd\.pth.* (not a plain tensor|no plain weights)"
    ) as caught:
        load_pretrained(model("odd.pth", "squeezenet1_1"))
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_no_weights(saved: Path) -> None:
    weights = build_flowernet(8, 3).state_dict()
    weights["stem.0.0.weight"] = weights["stem.0.0.weight"].to(torch.int8)
    save_file(weights, saved / "model.safetensors")
    pretrained = load_pretrained(model(saved))
    assert pretrained is not None
    with pytest.raises(UserError, match=r"stem\.0\.0\.weight is torch\.int8, in the network"):
        load_pretrained_into(build_flowernet(8, 3), pretrained)


def test_weights_that_are_not_finite_are_refused(saved: Path) -> None:
    weights = build_flowernet(8, 3).state_dict()
    weights["stem.0.1.running_mean"][2] = float("nan")
    save_file(weights, saved / "model.safetensors")
    with pytest.raises(UserError, match=r"stem\.0\.1\.running_mean is not finite"):
        load_pretrained(model(saved))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # inception_v3, of its first weights
@pytest.mark.parametrize("name", ["densenet121", "maxvit_t", "googlenet", "inception_v3"])
def test_the_names_in_the_files_of_torchvision_fit(tmp_path: Path, name: str) -> None:
    with torch.device("meta"):
        theirs = zoo.get_model(name)  # with its auxiliary heads, as its weights have them
    weights = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", weight): torch.zeros(value.shape)
        for weight, value in theirs.state_dict().items()
    }
    torch.save(weights, tmp_path / "weights.pth")
    pretrained = load_pretrained(model(tmp_path / "weights.pth", name))
    assert pretrained is not None
    assert len(load_pretrained_into(build_network(name, 8, 5), pretrained)) > 100


def test_a_wrong_shape_is_named(saved: Path) -> None:
    pretrained = load_pretrained(model(saved))
    assert pretrained is not None
    with pytest.raises(UserError, match=r"shape \[8, 3, 3, 3\], in the network \[16, 3, 3, 3\]"):
        load_pretrained_into(build_flowernet(16, 3), pretrained)


def test_weights_of_another_network_are_refused(saved: Path) -> None:
    pretrained = load_pretrained(model(saved))
    assert pretrained is not None
    with pytest.raises(UserError, match=r"holds another network than model\.name: .* is missing"):
        load_pretrained_into(build_network("squeezenet1_1", 8, 3), pretrained)


def test_weights_of_a_torchvision_network_come_with_its_colors(tmp_path: Path) -> None:
    theirs = build_network("squeezenet1_1", 8, 7)
    torch.save(theirs.state_dict(), tmp_path / "squeezenet.pth")
    pretrained = load_pretrained(model(tmp_path / "squeezenet.pth", "squeezenet1_1"))
    assert pretrained is not None
    assert pretrained.mean == [0.485, 0.456, 0.406]
    ours = build_network("squeezenet1_1", 8, 5)
    known = load_pretrained_into(ours, pretrained)
    assert set(ours.state_dict()) - known == {"classifier.1.weight", "classifier.1.bias"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (nn.Linear(2, 2), "holds no plain weights"),
        (
            {"epoch": 3, "state_dict": {"a": torch.zeros(1)}},
            r"holds more than a network's weights \(perhaps they are its 'state_dict', as in",
        ),
    ],
)
def test_a_file_that_is_no_plain_state_is_refused(
    tmp_path: Path, content: Any, problem: str
) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=problem):
        load_pretrained(model("weights.pth", "squeezenet1_1"))


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "caught")


def test_nothing_in_a_weight_file_is_run(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"a": Trap(tmp_path / "mark")}, protocol=2))
    with pytest.raises(UserError, match="holds no plain weights"):
        load_pretrained(model("weights.pth", "squeezenet1_1"))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"hello", b"epoch,loss\n1,2\n", b"\x08" + bytes(7) + b"{}"]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_garbage_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"params.yaml: model.weights: {path}"):
        load_pretrained(model(path, "squeezenet1_1"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must be none, DEFAULT .*; .*lost\.pth cannot be read"):
        load_pretrained(model("lost.pth", "squeezenet1_1"))
    with pytest.raises(UserError, match=r"must be none or the name of a folder .*, got lost"):
        load_pretrained(model("lost"))


@pytest.mark.parametrize(("trained_on", "warns"), [("", False), ("ab", True), ("same", False)])
def test_weights_of_another_store_may_know_the_test_photos(
    saved: Path, store: Store, params: Params, trained_on: str, warns: bool
) -> None:
    digest = store.meta.manifest_sha256 if trained_on == "same" else trained_on
    meta = ModelMeta.model_validate_json((saved / "model.json").read_bytes())
    meta = meta.model_copy(update={"store_manifest_sha256": digest})
    write_guarded(saved / "model.json", meta)
    chosen = params.model_copy(update={"model": model(saved)})
    warnings = build_initial_model(chosen, store.meta, torch.device("cpu")).warnings
    assert [text[:28] for text in warnings] == ["was trained on another store"] * warns


def test_rounded_weights_are_said(saved: Path, store: Store, params: Params) -> None:
    path = saved / "model.safetensors"
    save_file({name: value.half() for name, value in load_file(path).items()}, path)
    chosen = params.model_copy(update={"model": model(saved)})
    (text,) = build_initial_model(chosen, store.meta, torch.device("cpu")).warnings
    assert text.startswith("holds weights rounded to torch.float16; those in full may")


def test_a_file_of_a_flowernet_has_no_colors(saved: Path) -> None:
    (saved / "model.safetensors").rename(saved.with_name("loose.safetensors"))
    with pytest.raises(UserError, match=r"folder .* that holds a trained flowernet, got loose"):
        load_pretrained(model("loose.safetensors"))


@pytest.mark.parametrize(("name", "width"), [("flowernet", 16), ("squeezenet1_1", 8)])
def test_a_folder_of_another_network_is_refused(saved: Path, name: str, width: int) -> None:
    wanted = Model(name=name, width=width, weights=saved.name)
    with pytest.raises(UserError, match=r"set model\.name to flowernet and model\.width to 8, got"):
        load_pretrained(wanted)


def test_a_folder_of_any_trained_network_is_taken(saved: Path) -> None:
    meta = ModelMeta.model_validate_json((saved / "model.json").read_bytes())
    meta = meta.model_copy(update={"architecture": "squeezenet1_1"})
    write_guarded(saved / "model.json", meta)
    save_file(build_network("squeezenet1_1", 8, 3).state_dict(), saved / "model.safetensors")
    pretrained = load_pretrained(model(saved, "squeezenet1_1"))
    assert pretrained is not None
    assert (pretrained.mean, pretrained.size_px) == ([0.1] * 3, 48)


@pytest.mark.parametrize("outside", ["/x/weights.pth", "../weights.pth", "a/../../weights.pth"])
def test_weights_that_dvc_would_not_see_are_refused(outside: str) -> None:
    with pytest.raises(ValueError, match=r"name of a file in data/weights, .* ln -s"):
        Model(name="squeezenet1_1", width=8, weights=outside)


def test_damaged_default_weights_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    url = zoo.get_model_weights("squeezenet1_1")["DEFAULT"].url
    path = tmp_path / "checkpoints" / Path(url).name
    path.parent.mkdir()
    path.write_bytes(b"half")
    with pytest.raises(UserError, match=rf"{path.name} is damaged: its sha256 does not start"):
        load_pretrained(model("DEFAULT", "squeezenet1_1"))


def test_default_weights_offline_say_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"put it at .*checkpoints/squeezenet1_1-[0-9a-f]+\.pth"):
        load_pretrained(model("DEFAULT", "squeezenet1_1"))


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a server on this machine has the files of tmp_path / "served"."""
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def offer(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None = None
) -> Path:
    """Put weights on the server as the default ones; return the file."""
    torch.save(build_network("squeezenet1_1", 8, 1000).state_dict(), tmp_path / "new")
    digest = digest or hashlib.sha256((tmp_path / "new").read_bytes()).hexdigest()[:8]
    file = (tmp_path / "new").rename(tmp_path / "served" / f"net-{digest}.pth")
    weights = DefaultWeights(f"{address}/{file.name}", [0.5] * 3, [0.5] * 3, 224)
    monkeypatch.setattr("stages.train.pretrained.default_weights", lambda _: weights)
    return file


def test_default_weights_are_downloaded_once_with_a_bar(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = offer(address, tmp_path, monkeypatch)
    first = load_pretrained(model("DEFAULT", "squeezenet1_1"))
    assert "100%" in capfd.readouterr().err
    file.unlink()
    again = load_pretrained(model("DEFAULT", "squeezenet1_1"))
    assert first is not None
    assert again is not None
    assert first.sha256 == again.sha256 == hashlib.sha256(again.path.read_bytes()).hexdigest()


def test_a_download_of_another_content_leaves_no_file(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = offer(address, tmp_path, monkeypatch, digest="0123abcd")
    with pytest.raises(UserError, match=r"cannot be downloaded: invalid hash"):
        load_pretrained(model("DEFAULT", "squeezenet1_1"))
    assert not (tmp_path / "checkpoints" / file.name).exists()


def test_default_weights_of_flowernet_do_not_exist() -> None:
    with pytest.raises(ValueError, match="flowernet has no default weights"):
        model("DEFAULT")


def test_weights_of_timm_are_taken_but_for_the_head(tmp_path: Path) -> None:
    theirs = build_network("timm/test_resnet", 8, 7).state_dict()
    save_file(theirs, tmp_path / "mine.safetensors")
    pretrained = load_pretrained(model("mine.safetensors", "timm/test_resnet"))
    assert pretrained is not None
    assert pretrained.size_px == 160
    ours = build_network("timm/test_resnet", 8, 5)
    known = load_pretrained_into(ours, pretrained)
    assert set(ours.state_dict()) - known == {"fc.weight", "fc.bias"}
    assert torch.equal(ours.state_dict()["conv1.0.weight"], theirs["conv1.0.weight"])


def test_both_heads_of_a_distilled_network_are_left_out(tmp_path: Path) -> None:
    name = "timm/deit_tiny_distilled_patch16_224"
    save_file(build_network(name, 8, 7).state_dict(), tmp_path / "mine.safetensors")
    pretrained = load_pretrained(model("mine.safetensors", name))
    assert pretrained is not None
    ours = build_network(name, 8, 5)
    left_out = set(ours.state_dict()) - load_pretrained_into(ours, pretrained)
    assert left_out == {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}


FAMILIES = [
    *(f"timm/{name}" for name in timm.list_models("test_*") if name != "test_vit4"),
    *("timm/tf_efficientnet_lite0", "timm/levit_128s", "timm/deit_tiny_distilled_patch16_224"),
    *("squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "resnet18"),
    *("regnet_y_400mf", "googlenet"),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_new_head_starts_without_an_opinion_and_learns(name: str, tmp_path: Path) -> None:
    theirs = build_network(name, 8, 7).state_dict()
    save_file({key: value.clone() for key, value in theirs.items()}, tmp_path / "mine.safetensors")
    pretrained = load_pretrained(model("mine.safetensors", name))
    assert pretrained is not None
    network = build_network(name, 8, 5)
    known = load_pretrained_into(network, pretrained)
    images = torch.randn(4, 3, pretrained.size_px, pretrained.size_px)
    loss = F.cross_entropy(network.eval()(images), torch.tensor([0, 1, 2, 3]))
    assert loss < 1.3 * math.log(5)
    torch.autograd.backward(loss)
    head = [weight for key, weight in network.named_parameters() if key not in known]
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in head)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hugging Face Hub's cache, with the content of one file; nothing can be downloaded."""
    content = tmp_path / "content.safetensors"
    save_file(build_network("timm/test_resnet", 8, 1000).state_dict(), content)
    blob = tmp_path / "blobs" / hashlib.sha256(content.read_bytes()).hexdigest()
    blob.parent.mkdir()
    content.rename(blob)
    (tmp_path / "model.safetensors").symlink_to(blob)

    def cached(repository: str, file: str) -> str | None:
        known = repository == "timm/test_resnet.r160_in1k"
        return str(tmp_path / file) if known and blob.exists() else None

    def refuse(*_: object) -> str:
        raise OSError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    return blob


def test_default_weights_of_timm_come_from_the_cache(hub: Path) -> None:
    pretrained = load_pretrained(model("DEFAULT", "timm/test_resnet"))
    assert pretrained is not None
    assert pretrained.sha256 == hub.name


def test_damaged_weights_of_timm_are_not_taken(hub: Path) -> None:
    hub.write_bytes(hub.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"{hub} is damaged: .* remove the file"):
        load_pretrained(model("DEFAULT", "timm/test_resnet"))


def test_weights_of_timm_are_downloaded_if_the_cache_has_none(
    hub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(hub.rename(tmp_path / "plain.safetensors"))  # as where links are not possible

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert load_pretrained(model("DEFAULT", "timm/test_resnet")) is not None
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors")]


def test_weights_of_timm_offline_say_where_to_put_a_file(hub: Path) -> None:
    hub.unlink()
    with pytest.raises(UserError, match=r"Hugging Face Hub: no network; get the file elsewhere"):
        load_pretrained(model("DEFAULT", "timm/test_resnet"))


def test_a_network_of_timm_without_weights_has_no_default() -> None:
    with pytest.raises(UserError, match="there are no weights of timm/test_vit4"):
        load_pretrained(model("DEFAULT", "timm/test_vit4"))
