"""A store is trusted only after it was checked."""

import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.common.errors import UserError
from stages.common.store import Store, open_store
from stages.prepare.stage import prepare_store
from tests.conftest import change_guarded
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
    change_guarded(folder / "meta.json", **changes)


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
    change_meta(folder, schema_version=1)
    with pytest.raises(UserError, match=r"meta\.json: schema_version: Input should be 2; make "):
        open_store(folder)


def test_a_store_without_a_schema_is_refused(folder: Path):
    path = folder / "meta.json"
    meta = json.loads(path.read_text())
    del meta["schema_version"]
    path.write_text(json.dumps(meta))
    with pytest.raises(UserError, match=r"meta\.json: schema_version: Field required; make "):
        open_store(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema_version": 2}'])
def test_meta_that_is_no_meta_is_refused(folder: Path, content: str):
    (folder / "meta.json").write_text(content)
    with pytest.raises(UserError, match=r"meta\.json"):
        open_store(folder)


def test_files_that_do_not_fit_each_other_are_refused(folder: Path):
    change_meta(folder, image_size_px=16)
    with pytest.raises(UserError, match="do not fit each other"):
        open_store(folder)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change_manifest(folder: Path, text: str) -> None:
    """Write a manifest whose digest is right."""
    (folder / "manifest.csv").write_text(text)
    change_meta(folder, manifest_sha256=digest(folder / "manifest.csv"))


SENSELESS = {
    "": "cannot be read: No columns",
    "path,label\na,0\n": "has no column class",
    '\0\n"': "manifest",
}


@pytest.mark.parametrize("text", SENSELESS)
def test_a_manifest_without_sense_is_refused_whatever_its_digest(folder: Path, text: str):
    change_manifest(folder, text)
    with pytest.raises(UserError, match=rf"{SENSELESS[text]}.*; make .* again") as caught:
        open_store(folder)
    assert "\n" not in str(caught.value)


def without_validation(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(split=table["split"].replace("validation", "train"))


CONTRADICTIONS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "labels and classes are not those": lambda table: table.assign(label=1 - table["label"]),
    "labels and classes are not those of": lambda table: table.assign(label=7),
    "splits do not have the photos": without_validation,
    "splits do not have the photos that": lambda table: table.assign(split="tset"),
    "splits do not have": lambda table: table.iloc[1:],
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_a_manifest_that_contradicts_the_meta_data_is_refused(folder: Path, message: str):
    table = pd.read_csv(folder / "manifest.csv", dtype={"class": str})
    change_manifest(folder, CONTRADICTIONS[message](table).to_csv(index=False))
    with pytest.raises(UserError, match=rf"manifest\.csv: {message}"):
        open_store(folder)


def test_a_store_without_validation_photos_is_refused(folder: Path):
    table = without_validation(pd.read_csv(folder / "manifest.csv", dtype={"class": str}))
    change_manifest(folder, table.to_csv(index=False))
    counts = table.groupby(["split", "class"]).size().unstack(fill_value=0).to_dict("index")
    change_meta(folder, counts=counts)
    with pytest.raises(UserError, match=r"manifest\.csv: there are no validation photos"):
        open_store(folder)


@pytest.mark.parametrize("kind", ["npz", "cut", "pickle"])
def test_an_array_of_another_kind_is_refused_whatever_its_digest(folder: Path, kind: str):
    path = folder / "images.npy"
    images = np.load(path)
    if kind == "npz":
        np.savez(folder / "images.npz", images=images)
        (folder / "images.npz").rename(path)
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        np.save(path, np.array([{"a": 1}], dtype=object))
    change_meta(folder, images_sha256=digest(path))
    with pytest.raises(UserError, match=r"cannot be read: .*; make .* again"):
        open_store(folder)


@pytest.mark.parametrize("name", ["meta.json", "manifest.csv", "images.npy"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, partial(os.symlink, "/dev/zero")])
def test_what_is_no_file_is_refused_and_not_waited_for(folder: Path, name: str, make):
    (folder / name).unlink()
    make(folder / name)
    with pytest.raises(UserError, match=rf"{name}: cannot be read: is not a regular file"):
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
