"""What several test modules need: a tiny parameter file, a tiny store, a tiny finished project."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import settings
from safetensors.torch import save_file

from stages.common.files import write_guarded
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import SPLITS, Split, Store, StoreMeta, open_store
from stages.model.classifier import ModelMeta
from stages.model.flowernet import build_flowernet

if TYPE_CHECKING:
    from tests.project import Project

ROOT = Path(__file__).parents[1]

PARAMS = ROOT / "tests/params.yaml"
"""What the tests know of parameters; params.yaml is the user's."""

LONGEST = ("test_pipeline.py", "test_crossval.py", "test_makefile.py", "test_distributed.py")
"""Files that start first, so that at the end no worker waits for another."""

torch.set_num_threads(1)  # tiny networks gain nothing from a second thread

# Loaded here, before pytest reads its --hypothesis-profile.
for profile, examples, repeats in (("default", 100, True), ("thorough", 10_000, False)):
    settings.register_profile(profile, max_examples=examples, derandomize=repeats, deadline=None)
settings.load_profile("default")

TINY: dict[str, dict[str, Any]] = {
    "garden": {"photos_per_species": 12, "image_size_px": 64},
    "prepare": {"image_size_px": 32},
    "model": {"width": 8},
    "train": {
        "threads": 1,
        "epochs": 3,
        "warmup_fraction": 0.3,
        "batch_size": 16,
        "first_image_size_px": 16,
        "precision": "fp32",  # auto depends on the processor
    },
}
"""What makes params.yaml small enough for a test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; within a file, the order stays."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def change_params(path: Path, changes: dict[str, dict[str, Any]]) -> None:
    content = yaml.safe_load(path.read_text())
    for section, values in changes.items():
        content[section] |= values
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def params_file(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text())
    change_params(path, TINY)
    return path


@pytest.fixture
def params(params_file: Path) -> Params:
    return load_params(params_file)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "prepared")


def make_store(folder: Path) -> Store:
    """Write a store of 60 photos of two classes that anyone can tell apart: dark and light."""
    folder.mkdir()
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = (random.integers(0, 128, (60, 32, 32, 3)) + 127 * labels[:, None, None, None]).astype(
        np.uint8
    )
    splits = np.repeat(["train", "validation", "test"], [40, 10, 10])
    classes = np.array(["dark", "light"])
    manifest = pd.DataFrame(
        {
            "path": [f"{classes[label]}/{i:02}.png" for i, label in enumerate(labels)],
            "class": classes[labels],
            "label": labels,
            "split": splits,
            "sha256": "0" * 64,
            "width": 32,
            "height": 32,
            "group": range(60),
        }
    )
    np.save(folder / "images.npy", images)
    manifest.to_csv(folder / "manifest.csv", index=False)
    counts: dict[Split, dict[str, int]] = {
        split: {
            name: int(((splits == split) & (classes[labels] == name)).sum()) for name in classes
        }
        for split in SPLITS
    }
    meta = StoreMeta(
        schema_version=2,
        classes=classes.tolist(),
        image_size_px=32,
        mean=[0.5, 0.5, 0.5],
        std=[0.25, 0.25, 0.25],
        counts=counts,
        images_sha256=digest(folder / "images.npy"),
        manifest_sha256=digest(folder / "manifest.csv"),
    )
    write_guarded(folder / "meta.json", meta)
    return open_store(folder)


def meta_of(store: Store, width: int = 8) -> ModelMeta:
    """Describe a flowernet for a store's photos."""
    meta = store.meta
    return ModelMeta(
        architecture="flowernet",
        width=width,
        classes=meta.classes,
        image_size_px=meta.image_size_px,
        input_size_px=meta.image_size_px,
        mean=meta.mean,
        std=meta.std,
        store_images_sha256=meta.images_sha256,
        store_manifest_sha256=meta.manifest_sha256,
    )


def save_flowernet(folder: Path, **meta: Any) -> None:
    """Write a folder with a random flowernet of three classes, as a models folder has it."""
    folder.mkdir()
    save_file(build_flowernet(8, 3).state_dict(), folder / "model.safetensors")
    size = {"image_size_px": 32, "input_size_px": 32, "mean": [0.5] * 3, "std": [0.25] * 3}
    described = {"architecture": "flowernet", "width": 8, **size, **meta}
    write_guarded(folder / "model.json", ModelMeta(**described))


def change_guarded(path: Path, **changes: object) -> None:
    """Change fields of a small file, and its digest with them."""
    content = {**json.loads(path.read_text()), **changes}
    content.pop("sha256", None)
    text = json.dumps(content, sort_keys=True)
    path.write_text(json.dumps({**content, "sha256": hashlib.sha256(text.encode()).hexdigest()}))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> "Project":
    """The tiny project after its first `dvc repro`, committed; experiment with copies of it."""
    from tests.project import make_project  # which needs this module

    project = make_project(tmp_path_factory.mktemp("project") / "flowerbed", TINY)
    assert project.stages_run("dvc", "repro") == ["prepare", "train", "evaluate"]
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "first run")
    return project
