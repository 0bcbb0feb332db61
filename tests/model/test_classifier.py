import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from stages.common.errors import UserError
from stages.model.classifier import Calibration, Classifier, ModelMeta, normalize, to_input
from stages.model.flowernet import build_flowernet
from stages.model.folder import load_classifier, save_classifier
from tests.conftest import change_guarded

CPU = torch.device("cpu")
Images = npt.NDArray[np.uint8]
META = ModelMeta(
    architecture="flowernet",
    width=8,
    classes=["daisy", "rose", "tulip"],
    image_size_px=32,
    input_size_px=32,
    mean=[0.5, 0.4, 0.3],
    std=[0.2, 0.25, 0.3],
)


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(build_flowernet(8, 3).eval(), META)


@pytest.fixture
def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def models(classifier: Classifier, tmp_path: Path) -> Path:
    save_classifier(classifier, tmp_path / "models")
    return tmp_path / "models"


def test_a_saved_classifier_predicts_the_same(
    classifier: Classifier, images: Images, models: Path
) -> None:
    again = load_classifier(models, CPU)
    np.testing.assert_array_equal(again.probabilities(images), classifier.probabilities(images))
    assert again.meta.classes == META.classes


def test_the_same_classifier_is_the_same_bytes(classifier: Classifier, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_classifier(classifier, tmp_path / name)
    for file in ("model.safetensors", "model.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_probabilities_sum_to_one(classifier: Classifier, images: Images) -> None:
    np.testing.assert_allclose(classifier.probabilities(images).sum(axis=1), 1, rtol=1e-12)


def test_a_mirrored_photo_gets_the_same_prediction(classifier: Classifier, images: Images) -> None:
    mirrored = classifier.probabilities(images[:, :, ::-1])
    np.testing.assert_allclose(mirrored, classifier.probabilities(images), rtol=1e-5)


def test_where_a_mirror_image_is_of_another_class_none_is_seen(
    classifier: Classifier, images: Images
) -> None:
    meta = META.model_copy(update={"mirror_keeps_class": False})
    alone = replace(classifier, meta=meta)
    with torch.inference_mode():
        expected = classifier.network(to_input(torch.from_numpy(images), META)).softmax(dim=1)
    np.testing.assert_allclose(alone.probabilities(images), expected.numpy(), rtol=1e-4)
    assert not np.allclose(alone.probabilities(images[:, :, ::-1]), expected.numpy(), rtol=1e-4)


def test_a_second_view_is_averaged_in(classifier: Classifier, images: Images) -> None:
    both = replace(classifier, calibration=Calibration(second_view_scale=1.5))
    with torch.inference_mode():
        seen = to_input(torch.from_numpy(images), META)
        enlarged = F.interpolate(seen, size=(48, 48), mode="bilinear")
        every = [seen, seen.flip(3), enlarged, enlarged.flip(3)]
        expected = sum(classifier.network(view).softmax(dim=1) for view in every) / 4
    np.testing.assert_allclose(both.probabilities(images), expected.numpy(), rtol=1e-4)
    assert not np.allclose(both.probabilities(images), classifier.probabilities(images), rtol=1e-4)


@pytest.mark.parametrize("scale", [1, 1.5])
def test_a_photos_prediction_depends_on_that_photo_alone(
    classifier: Classifier, images: Images, scale: float
) -> None:
    classifier = replace(classifier, calibration=Calibration(second_view_scale=scale))
    together = classifier.probabilities(images)
    alone = np.concatenate([classifier.probabilities(images[i : i + 1]) for i in range(70)])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(classifier.probabilities(images[::-1])[::-1], together)
    np.testing.assert_array_equal(classifier.probabilities(images[37:]), together[37:])


def test_normalize_by_hand() -> None:
    image = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    expected = torch.tensor([(0 - 0.5) / 0.2, (1 - 0.4) / 0.25, (0.2 - 0.3) / 0.3])
    torch.testing.assert_close(normalize(image, META.mean, META.std).flatten(), expected)


def test_a_flipped_weight_byte_is_detected(models: Path) -> None:
    path = models / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: is damaged"):
        load_classifier(models, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, r"model\.json: schema_version"),
        ({"architecture": "resnet"}, r"model\.json: architecture"),
        ({"width": 16}, r"model\.safetensors does not fit model\.json"),
        ({"unknown": 1}, r"model\.json: unknown"),
        ({"width": 100_000}, r"model\.json: width"),
        ({"image_size_px": 10**9}, r"model\.json: image_size_px"),
        ({"input_size_px": 10**9}, r"model\.json: input_size_px"),
        ({"mean": [0.5]}, r"model\.json: mean"),
    ],
)
def test_meta_data_that_does_not_fit_is_refused(
    models: Path, change: dict[str, object], message: str
) -> None:
    change_guarded(models / "model.json", **change)
    with pytest.raises(UserError, match=message) as caught:
        load_classifier(models, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.complex64])
def test_weights_of_another_type_are_refused(models: Path, dtype: torch.dtype) -> None:
    weights = load_file(models / "model.safetensors")
    weights["head.weight"] = weights["head.weight"].to(dtype)
    save_file(weights, models / "model.safetensors")
    digest = hashlib.sha256((models / "model.safetensors").read_bytes()).hexdigest()
    change_guarded(models / "model.json", weights_sha256=digest)
    with pytest.raises(UserError, match=rf"head\.weight is {dtype}, not torch\.float32"):
        load_classifier(models, CPU)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "calibration.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(models: Path, name: str, make) -> None:
    (models / name).unlink(missing_ok=True)
    make(models / name)
    with pytest.raises(UserError, match=rf"{name}: cannot be read: is not a regular file"):
        load_classifier(models, CPU)


def test_a_missing_file_is_named(models: Path) -> None:
    (models / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read"):
        load_classifier(models, CPU)
    (models / "model.json").unlink()
    with pytest.raises(UserError, match=r"model\.json: not found"):
        load_classifier(models, CPU)


def test_photos_are_scaled_to_what_the_network_sees() -> None:
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    plain = normalize(images, META.mean, META.std)
    assert torch.equal(to_input(images, META), plain)
    larger = to_input(images, META.model_copy(update={"input_size_px": 64}))
    assert larger.shape == (2, 3, 64, 64)
    torch.testing.assert_close(larger.mean(dim=(2, 3)), plain.mean(dim=(2, 3)), atol=0.02, rtol=0)
