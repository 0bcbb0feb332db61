"""A store is trusted only after it was checked."""

import json
from pathlib import Path

import numpy as np
import pytest

from stages.common.errors import UserError
from stages.common.store import Store, open_store
from stages.prepare.stage import prepare_store
from tests.hazards import plant_clean, settings


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    root: Path = tmp_path_factory.mktemp("store")
    plant_clean(root / "photos", classes=("007", "12"))
    (root / "store").mkdir()
    prepare_store(root / "photos", settings(), root / "store", workers=1)
    return root / "store"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    copy = tmp_path / "prepared"
    copy.mkdir()
    for file in finished.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def change_meta(folder: Path, **changes) -> None:
    path = folder / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_whole_store_opens_read_only(folder: Path):
    store = open_store(folder)
    assert store.images.shape == (20, 32, 32, 3)
    assert not store.images.flags.writeable
    assert sum(len(store.indices(split)) for split in ("train", "validation", "test")) == 20


def test_class_names_that_look_like_numbers_stay_text(folder: Path):
    assert sorted(set(open_store(folder).manifest["class"])) == ["007", "12"]


def test_class_names_that_look_like_gaps_stay_text(tmp_path: Path):
    plant_clean(tmp_path / "photos", classes=("NA", "None"))
    (tmp_path / "store").mkdir()
    prepare_store(tmp_path / "photos", settings(), tmp_path / "store", workers=1)
    assert sorted(set(open_store(tmp_path / "store").manifest["class"])) == ["NA", "None"]


@pytest.mark.parametrize("name", ["meta.json", "manifest.csv", "images.npy"])
def test_a_missing_file_is_named_with_the_remedy(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name}.*dvc repro --force prepare"):
        open_store(folder)


@pytest.mark.parametrize("name", ["manifest.csv", "images.npy"])
def test_a_flipped_bit_is_noticed(folder: Path, name: str):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}.*damaged.*dvc repro --force prepare"):
        open_store(folder)


@pytest.mark.parametrize("name", ["manifest.csv", "images.npy"])
def test_a_file_cut_short_is_noticed(folder: Path, name: str):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(UserError, match=rf"{name}.*damaged"):
        open_store(folder)


def test_another_schema_is_named(folder: Path):
    change_meta(folder, schema_version=2)
    with pytest.raises(UserError, match="schema_version must be 1, got 2"):
        open_store(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema_version": 1}'])
def test_meta_that_is_no_meta_is_refused(folder: Path, content: str):
    (folder / "meta.json").write_text(content)
    with pytest.raises(UserError, match=r"meta\.json"):
        open_store(folder)


def test_files_that_do_not_fit_each_other_are_refused(folder: Path):
    change_meta(folder, image_size_px=16)
    with pytest.raises(UserError, match="do not fit each other"):
        open_store(folder)


def test_mean_and_std_are_those_of_the_train_split(folder: Path):
    store = open_store(folder)
    train = store.images[store.indices("train")] / 255
    np.testing.assert_allclose(store.meta.mean, train.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(store.meta.std, train.std((0, 1, 2)), rtol=1e-9)


def test_manifest_says_what_stands_in_each_row(folder: Path):
    store = open_store(folder)
    assert (store.manifest["width"] == 96).all()
    assert (store.manifest["height"] == 72).all()
    assert [store.meta.classes[label] for label in store.labels] == list(store.manifest["class"])
    assert store.manifest["path"].is_monotonic_increasing


def test_only_one_process_of_a_machine_need_read_every_byte(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "prepared/images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert len(open_store(tmp_path / "prepared", check_digests=False).images) == len(store.images)
    with pytest.raises(UserError, match=r"images\.npy: is damaged"):
        open_store(tmp_path / "prepared")
