"""Maps of where the network looked, on drawn photos whose flowers have a known place."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageDraw

from garden import scene
from garden.photograph import photograph
from stages.evaluate.explain import activation_maps, spotlight
from stages.model.classifier import Classifier, ModelMeta, to_input
from stages.model.flowernet import build_flowernet
from stages.model.networks import build_network
from stages.photos.pixels import fit_square

SIDE = 64
SPECIES = ("dandelion", "tulip")
CPU = torch.device("cpu")


def draw_photo(
    species: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return a drawn photo, (SIDE, SIDE, 3), and where its flowers are, (SIDE, SIDE)."""
    seen = []
    place = scene._heads

    def remember(*arguments):
        seen.append(place(*arguments))
        return seen[-1]

    monkeypatch.setattr(scene, "_heads", remember)
    content = photograph(species, number, seed=0, image_size_px=96)
    monkeypatch.setattr(scene, "_heads", place)
    near, _ = seen  # the others are far behind
    path = Path(f"{species}{number}.jpg").absolute()
    path.write_bytes(content)
    with Image.open(path) as image:
        mask = Image.new("L", image.size)
        for head in near:
            x, y, radius = head.center[0], image.height - head.center[1], head.radius  # y goes up
            ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), 255)
        photo, disc = (fit_square(each, *each.size, SIDE, "crop") for each in (image, mask))
    return np.asarray(photo), np.asarray(disc) > 127


@pytest.fixture(scope="module")
def garden(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Photos of two species, their labels, and where the flowers are."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("garden"))
        drawn = [
            draw_photo(name, number, monkeypatch) for number in range(1, 41) for name in SPECIES
        ]
    photos, masks = (np.stack(each) for each in zip(*drawn, strict=True))
    return photos, np.arange(len(photos)) % 2, masks


@pytest.fixture(scope="module")
def trained(garden) -> Classifier:
    """A flowernet that tells the two species apart, after a few steps."""
    photos, labels, _ = garden
    meta = ModelMeta(
        architecture="flowernet",
        width=16,
        classes=list(SPECIES),
        image_size_px=SIDE,
        input_size_px=SIDE,
        mean=[0.4] * 3,
        std=[0.25] * 3,
    )
    torch.manual_seed(0)
    network = build_flowernet(16, 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.002)
    inputs, wanted = to_input(torch.from_numpy(photos), meta), torch.from_numpy(labels)
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(inputs), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.1
    return Classifier(network.eval(), meta)


def share_on_flowers(maps, masks) -> float:
    """Return how much of the maps is on flowers, against the flowers' share of the area."""
    return float((maps * masks).sum() / maps.sum() / masks.mean())


def test_the_maps_are_on_the_flowers(garden, trained: Classifier) -> None:
    photos, labels, masks = garden
    maps = activation_maps(trained, photos, labels)
    assert maps.shape == masks.shape
    assert maps.min() >= 0
    assert maps.max() == 1
    random = np.random.default_rng(0).random(maps.shape)
    assert share_on_flowers(random, masks) == pytest.approx(1, abs=0.05)
    assert share_on_flowers(np.roll(maps, 2, axis=0), masks) < 1.2  # another photo's maps
    assert share_on_flowers(maps, masks) > 1.25


def test_a_map_depends_on_the_class_that_is_looked_for(garden, trained: Classifier) -> None:
    photos, labels, _ = garden
    right, wrong = (activation_maps(trained, photos[:4], each[:4]) for each in (labels, 1 - labels))
    assert np.abs(right - wrong).mean() > 0.1


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "densenet121", "timm/test_resnet"])
def test_any_convolutional_network_has_maps(name: str) -> None:
    meta = ModelMeta(
        architecture=name,
        width=8,
        classes=["a", "b"],
        image_size_px=48,
        input_size_px=64,
        mean=[0.5] * 3,
        std=[0.2] * 3,
    )
    torch.manual_seed(0)
    classifier = Classifier(build_network(name, 8, 2).eval(), meta)
    photos = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    maps = activation_maps(classifier, photos, np.array([0, 1, 0]))
    assert maps.shape == (3, 48, 48)
    assert np.isfinite(maps).all()
    assert maps.max() > 0


def test_a_spotlight_dims_what_does_not_count() -> None:
    photo = np.full((2, 2, 3), 200, np.uint8)
    seen = spotlight(photo, np.array([[0, 0.5], [1, 1]], np.float32))
    assert seen[..., 0].tolist() == [[40, 120], [200, 200]]
