"""Folds found, pooled and judged; labels doubted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from stages.common.errors import UserError
from tests.conftest import ROOT, TINY
from tests.project import Project, make_project
from tools.crossval.__main__ import compare_with
from tools.crossval.page import compare, measure_folds, measure_pool, summarize, write_page
from tools.crossval.pool import Pool, pool_folds
from tools.crossval.runs import FoldRun, choose_runs, digest, find_runs
from tools.crossval.suspects import draw_suspects, find_suspects
from tools.report.comparison import compare_predictions

PARAMS = {"train.lr": 0.1, "prepare.seed": 0}


def run_of(fold: int, name: str = "run", lr: float = 0.1, photos: str = "1") -> FoldRun:
    return FoldRun(name, "abc", fold, {**PARAMS, "train.lr": lr}, {"photos": photos})


def make_pool(labels: list[int], probabilities: list[list[float]]) -> Pool:
    names, values = ["daisy", "rose"], np.array(probabilities)
    photos = pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(len(labels))],
            "actual": np.array(names)[labels],
            "predicted": np.array(names)[values.argmax(axis=1)],
            "confidence": values.max(axis=1),
            "fold": np.arange(len(labels)) % 2,
        }
    )
    return Pool(photos, names, np.array(labels), values)


# which runs belong together


def test_the_newest_run_of_each_fold_counts() -> None:
    found = choose_runs([run_of(0, "new"), run_of(1), run_of(0, "old")], PARAMS)
    assert {fold: run.name for fold, run in found.items()} == {0: "new", 1: "run"}


def test_a_run_of_other_parameters_or_photos_does_not_count() -> None:
    others = [run_of(1, lr=0.2), run_of(2, photos="2")]
    assert set(choose_runs([run_of(0), *others], PARAMS)) == {0}


def test_what_differs_is_named() -> None:
    run = run_of(1, lr=0.2, photos="2")
    wanted = {**PARAMS, "garden.seed": 3, "train.new": 1}
    assert run.differences(wanted, {"photos": "1"}) == ["train.lr", "train.new", "photos"]


def test_a_folders_digest_is_dvcs_own() -> None:
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())
    deps = {dep["path"]: dep["md5"] for dep in lock["stages"]["evaluate"]["deps"]}
    found = {path: digest(ROOT / path) for path in deps if path.startswith("stages/")}
    same = [path for path, md5 in found.items() if deps[path] == md5]
    assert "stages/__init__.py" in same  # a file; a folder is compared below, in a project


# pooling


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """What each fold predicted, by fold."""
    found: dict[int, Any] = {}
    monkeypatch.setattr("tools.crossval.pool.read_probabilities", lambda run: found[run.fold])
    return found


def table_of(*paths: str, classes: tuple[str, ...] = ("daisy", "rose")) -> Any:
    photos = pd.DataFrame({"path": paths, "actual": "rose"})
    return photos, list(classes), np.tile([0.3, 0.7], (len(paths), 1))


def test_photos_are_pooled_by_path(tables: dict[int, Any]) -> None:
    tables |= {0: table_of("b", "d"), 1: table_of("a", "c")}
    pool = pool_folds({0: run_of(0), 1: run_of(1)})
    assert pool.photos["path"].tolist() == ["a", "b", "c", "d"]
    assert pool.photos["fold"].tolist() == [1, 0, 1, 0]
    assert pool.photos["predicted"].unique().tolist() == ["rose"]
    assert pool.labels.tolist() == [1] * 4


def test_a_photo_tested_twice_is_an_error(tables: dict[int, Any]) -> None:
    tables |= {0: table_of("a", "b"), 1: table_of("b")}
    with pytest.raises(UserError, match=r"b was tested in two folds \(1 such photos\)"):
        pool_folds({0: run_of(0), 1: run_of(1)})


def test_folds_of_other_classes_are_an_error(tables: dict[int, Any]) -> None:
    tables |= {0: table_of("a"), 1: table_of("b", classes=("oak", "elm"))}
    with pytest.raises(UserError, match=r"has the classes oak, elm, other folds daisy, rose"):
        pool_folds({0: run_of(0), 1: run_of(1)})


# figures


def test_figures_of_a_pool_by_hand() -> None:
    pool = make_pool([0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.8, 0.2]])
    figures = measure_pool(pool)
    assert (figures["accuracy"], figures["images"]) == (0.75, 4)
    assert figures["folds"] == measure_folds(pool)
    assert figures["folds"]["0"] | {"accuracy_low": 0, "accuracy_high": 0} == {
        "accuracy": 0.5,
        "accuracy_low": 0,
        "accuracy_high": 0,
        "images": 2,
    }
    text = summarize(figures)
    assert "**Accuracy 75.0%** of 4 photos" in text
    assert "2 folds from 50.0% to 100.0%, standard deviation 35.4 points" in text


def test_another_pool_is_compared_photo_by_photo() -> None:
    good = make_pool([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    bad = make_pool([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    paired = compare_predictions(bad.photos, good.photos)
    text = compare("main", paired)
    assert "Against `main`, on 3 photos of both: 2 became right, 0 became wrong." in text
    page = write_page(measure_pool(good), 5, "main", paired)
    assert text in page
    assert "The network confidently doubts 5 labels" in page


# doubtful labels


def noisy_pool(photos: int = 1000, wrong: int = 50) -> tuple[Pool, set[str]]:
    """Return a pool of a good network, and the paths of photos whose label was swapped."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, photos)
    right = random.beta(10, 1.5, photos)
    probabilities = np.stack([1 - right, right], axis=1)
    probabilities[truth == 0] = probabilities[truth == 0][:, ::-1]
    labels = truth.copy()
    labels[:wrong] = 1 - labels[:wrong]
    pool = make_pool(labels.tolist(), probabilities.tolist())
    return pool, set(pool.photos["path"][:wrong])


def test_planted_labels_are_found_first() -> None:
    pool, planted = noisy_pool()
    suspects = find_suspects(pool)
    first = suspects.head(75)
    assert len(planted & set(first["path"])) >= 35
    margins = suspects["better_probability"] - suspects["label_probability"]
    assert margins.is_monotonic_decreasing
    assert (first["label"] != first["better_label"]).all()
    sure = first[first["confident"]]["better_probability"]
    assert sure.min() >= pool.probabilities[pool.labels == 0, 0].mean() - 0.05
    assert not suspects["confident"].iloc[-1]


def test_a_network_without_doubt_has_no_suspects() -> None:
    pool = make_pool([0, 1], [[1, 0], [0, 1]])
    suspects = find_suspects(pool)
    assert suspects.empty
    assert draw_suspects(suspects, lambda _: np.zeros((4, 4, 3), np.uint8)).height < 100


def test_doubt_for_a_class_without_photos_is_not_confident() -> None:
    suspects = find_suspects(make_pool([0, 0, 0], [[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]]))
    assert suspects["path"].tolist() == ["2.jpg"]
    assert not suspects["confident"].any()


# the whole chain


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one commit, nothing run."""
    changes = {name: dict(section) for name, section in TINY.items()}
    changes["train"]["epochs"] = 1
    project = make_project(tmp_path_factory.mktemp("crossval") / "project", changes)
    project.run("git", "add", ".")
    project.run("git", "commit", "--quiet", "--message", "start")
    return project


def crossval(project: Project, *options: str, code: int = 0) -> str:
    return project.run("python", "-m", "tools.crossval", "--folds", "3", *options, code=code)


def test_folds_are_run_pooled_and_compared(project: Project) -> None:
    printed = crossval(project, code=1)
    assert "3 folds of 3 missing: 0, 1 and 2; run them with\n  dvc exp run --queue" in printed
    assert "-S prepare.folds=3 -S prepare.test_fraction=0.333333 -S 'prepare.fold=0,1,2'" in printed

    project.run("dvc", "repro", "--quiet", "prepare")
    printed = crossval(project, "--run")
    assert "fold 2 of 3, 3 of 3 to run, about" in printed
    folder = project.folder / "metrics/crossval"
    figures = json.loads((folder / "crossval.json").read_text())
    assert figures["images"] == 72
    assert [fold["images"] for fold in figures["folds"].values()] == [24, 24, 24]
    predictions = pd.read_csv(folder / "predictions.csv")
    assert predictions["path"].is_unique
    assert (folder / "suspects.png").read_bytes().startswith(b"\x89PNG")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    # Nothing is left to run, and nothing changes.
    again = crossval(project, "--run")
    assert "to run" not in again
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    project.run("git", "add", "metrics/crossval")
    project.run("git", "commit", "--quiet", "--message", "pool")
    printed = crossval(project, "--base", "main")
    page = (folder / "crossval.md").read_text()
    for shown in (printed, page):
        assert "Against `main`, on 72 photos of both: 0 became right, 0 became wrong" in shown

    # A changed module, or parameter, makes the folds others.
    project.set("train", "lr", 0.005)
    printed = crossval(project, code=1)
    assert re.search(r"fold \d of crossval-\d-of-3 has other inputs: train\.lr\)", printed)
    project.set("train", "lr", 0.004)
    module_file = project.folder / "stages/train/loop.py"
    text = module_file.read_text()
    module_file.write_text(text + "\n# changed\n")
    assert "has other inputs: stages/train)" in crossval(project, code=1)
    module_file.write_text(text)
    crossval(project)

    # Other photos, too, once they are prepared.
    project.set("garden", "seed", 8)
    project.run("dvc", "repro", "--quiet", "prepare")
    assert "has other inputs: data/demo)" in crossval(project, code=1)
    project.set("garden", "seed", 0)
    project.run("dvc", "repro", "--quiet", "prepare")
    crossval(project)


def test_probabilities_that_dvc_lock_does_not_know_are_not_pooled(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("dvc", "repro", "--quiet")
    monkeypatch.chdir(project.folder)
    assert find_runs()[0].name == "the working tree"
    path = project.folder / "data/test_probabilities.csv"
    content = path.read_bytes()
    path.unlink()  # it may be a link into DVC's cache
    path.write_bytes(content.replace(b"rose", b"nose"))
    assert find_runs()[0].name != "the working tree"


def test_a_share_is_not_rounded_and_may_be_one_of_two(project: Project) -> None:
    project.set("prepare", "folds", 7)
    project.set("prepare", "test_fraction", {"scratch": 0.142857143, "pretrained": 0.2})
    printed = project.run("python", "-m", "tools.crossval", code=1)
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert "-S prepare.folds=7 -S prepare.test_fraction=0.142857143" in printed


def test_outside_of_a_project_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.crossval", "--folds", "5"]
    told = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (told.returncode, len(told.stderr.splitlines())) == (1, 1)
    assert told.stderr.startswith("params.yaml: not found")


HEADER = b"path,actual,predicted,confidence\n"


def test_numbers_and_odd_tables_as_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class may be called 1; a table of another kind is a line."""
    tables = {"main": HEADER + b"a.jpg,1,2,0.9\n", "old": b"path,actual\na.jpg,1\n"}
    monkeypatch.setattr("tools.crossval.__main__.find_commit", lambda name: (name, name))
    monkeypatch.setattr("tools.crossval.__main__.file_at", lambda commit, path: tables[commit])
    row = {"path": ["a.jpg"], "actual": ["1"], "predicted": ["1"], "confidence": [0.8]}
    paired = compare_with("main", pd.DataFrame(row))
    assert (paired.shared, paired.count("now right")) == (1, 1)
    with pytest.raises(UserError, match=r"--base: .*old:metrics/crossval/predictions.csv.*again"):
        compare_with("old", pd.DataFrame(row))


def test_a_base_without_a_pool_is_one_line(project: Project) -> None:
    first = project.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    printed = crossval(project, "--base", first, code=1)
    assert "has no metrics/crossval/predictions.csv: cross-validate there, and commit" in printed
