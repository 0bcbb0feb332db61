"""Folds found, pooled and judged; labels doubted."""

import dataclasses
import hashlib
import json
import os
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
from tools.crossval import __main__ as command
from tools.crossval.__main__ import pair_with
from tools.crossval.pool import (
    Pool,
    describe_difference,
    measure_folds,
    measure_pool,
    pool_folds,
    summarize,
    write_page,
)
from tools.crossval.runs import FoldRun, choose_runs, digests_here, find_runs
from tools.crossval.suspects import draw_suspects, find_suspects
from tools.report.comparison import compare_predictions
from tools.report.git import changed_files

CLASSES = ["daisy", "rose"]

PARAMS = {"train.lr": 0.1, "prepare.seed": 0}


def run_of(fold: int, name: str = "run", lr: float = 0.1, photos: str = "1") -> FoldRun:
    return FoldRun(name, "abc", fold, {**PARAMS, "train.lr": lr}, {"photos": photos}, "")


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


@pytest.fixture
def changed_code(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files of code that are not as in any run; none at first."""
    files: list[str] = []
    monkeypatch.setattr("tools.crossval.runs.changed_files", lambda *_: files)
    return files


def test_the_newest_run_of_each_fold_counts(changed_code: list[str]) -> None:
    chosen = choose_runs([run_of(0, "new"), run_of(1), run_of(0, "old")], PARAMS, {})
    assert {fold: run.name for fold, run in chosen.items()} == {0: "new", 1: "run"}


def test_a_run_of_other_parameters_photos_or_code_does_not_count(changed_code: list[str]) -> None:
    runs = [run_of(0), run_of(1, lr=0.2), run_of(2, photos="2")]
    assert set(choose_runs(runs, PARAMS, {})) == {0}  # which says what the photos are
    assert set(choose_runs(runs, PARAMS, {"photos": "2"})) == {2}
    changed_code.append("dvc.yaml")
    assert choose_runs(runs, PARAMS, {}) == {}


def test_what_differs_is_named(changed_code: list[str]) -> None:
    run = run_of(1, lr=0.2, photos="2")
    params = {**PARAMS, "garden.seed": 3, "train.new": 1}
    assert run.differences(params, {"photos": "1"}) == ["train.lr", "train.new", "photos"]
    changed_code.append("stages/train/loop.py")
    assert run_of(1).differences(PARAMS, {}) == ["code in stages/train/loop.py"]


def test_a_run_with_a_parameter_that_is_no_more_does_not_count(changed_code: list[str]) -> None:
    old = FoldRun("old", "abc", 0, {**PARAMS, "prepare.folds": 5}, {}, "")
    assert old.differences(PARAMS, {}) == ["prepare.folds"]


# pooling


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """What each fold predicted, by fold."""
    of_fold: dict[int, Any] = {}
    monkeypatch.setattr("tools.crossval.pool.read_probabilities", lambda run, _: of_fold[run.fold])
    return of_fold


def table_of(*paths: str) -> Any:
    photos = pd.DataFrame({"path": paths, "actual": "rose"})
    return photos, np.tile([0.3, 0.7], (len(paths), 1))


def test_photos_are_pooled_by_path(tables: dict[int, Any]) -> None:
    tables |= {0: table_of("b", "d"), 1: table_of("a", "c")}
    pool = pool_folds({0: run_of(0), 1: run_of(1)}, CLASSES)
    assert pool.photos["path"].tolist() == ["a", "b", "c", "d"]
    assert pool.photos["fold"].tolist() == [1, 0, 1, 0]
    assert pool.photos["predicted"].unique().tolist() == ["rose"]
    assert pool.labels.tolist() == [1] * 4


def test_a_photo_tested_twice_is_an_error(tables: dict[int, Any]) -> None:
    tables |= {0: table_of("a", "b"), 1: table_of("b")}
    with pytest.raises(UserError, match=r"b was tested in two folds \(1 such photos\)"):
        pool_folds({0: run_of(0), 1: run_of(1)}, CLASSES)


@pytest.mark.parametrize(
    ("table", "md5_of", "message"),
    [
        ("path,actual,rose,daisy\na,rose,0.7,0.3\n", None, "has the classes rose and daisy, data"),
        ("path,actual,daisy,rose\na,rose,0.3,0.7\n", "another", "is not what dvc.lock names"),
        ("", None, "has no table of probabilities"),
        ("path,actual,daisy,rose\na,rose,0.3\n", None, "has no table of probabilities"),
        ("path,actual,daisy,rose\na,rose,x,y\n", None, "has no table of probabilities"),
        ("path,actual,daisy,rose\na,rose,0,0\n", None, "has no table of probabilities"),
        ("path,actual,daisy,rose\na,elm,0.3,0.7\n", None, "has no table of probabilities"),
    ],
)
def test_a_fold_is_pooled_only_if_its_table_is_proved(
    monkeypatch: pytest.MonkeyPatch, table: str, md5_of: str | None, message: str
) -> None:
    monkeypatch.setattr("dvc.api.read", lambda *_, **__: table.encode())
    md5 = hashlib.md5((md5_of or table).encode()).hexdigest()
    run = dataclasses.replace(run_of(0), probabilities_md5=md5)
    with pytest.raises(UserError, match=f"^run: data/test_probabilities.csv: {message}"):
        pool_folds({0: run}, CLASSES)


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
    text = describe_difference("main", paired)
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
    return project.run("python", "-m", "tools.crossval", "--folds", "2", *options, code=code)


def pages(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("metrics/crossval").iterdir()}


@pytest.fixture
def run_here(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run the command in this process and the project's folder; return what it said."""
    monkeypatch.chdir(project.folder)

    def run(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["crossval", *options])
        try:
            command.main()
        except UserError as error:
            return str(error)
        return capsys.readouterr().out

    return run


def test_folds_are_run_pooled_and_compared(project: Project, run_here: Any) -> None:
    """The tests below need its experiments."""
    printed = run_here("--folds", "2")
    assert "2 folds of 2 missing: 0 and 1; run them with\n  dvc exp run --queue" in printed
    assert "-S prepare.test_fraction=0.5 -S 'prepare.fold=0,1'" in printed

    project.run("dvc", "repro", "--quiet", "prepare")
    Path("stages/train/training.py.orig").touch()  # as a merge leaves it: no experiment holds it
    Path("stages/train/draft.py").touch()
    printed = crossval(project, "--run")
    assert "fold 1 of 2, 2 of 2 to run, about" in printed
    figures = json.loads(Path("metrics/crossval/crossval.json").read_text())
    assert figures["images"] == 72
    assert [fold["images"] for fold in figures["folds"].values()] == [36, 36]
    predictions = pd.read_csv("metrics/crossval/predictions.csv")
    assert predictions["path"].is_unique
    assert pages(project)["suspects.png"].startswith(b"\x89PNG")
    before = pages(project)

    # Nothing is left to run, and nothing changes.
    again = run_here("--folds", "2", "--run")
    assert "to run" not in again
    assert pages(project) == before

    # An experiment that does not count keeps its name; DVC's run cache has what it lacks.
    head = project.run("git", "rev-parse", "HEAD").strip()
    project.run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/crossval-1-of-2", "HEAD")
    printed = crossval(project, "--run")
    assert printed.count("is cached - skipping run") >= 2
    assert "Ran experiment(s): crossval-1-of-2-2\n" in printed
    assert pages(project) == before


def test_another_revisions_pool_is_a_base(project: Project, run_here: Any) -> None:
    project.run("git", "add", "metrics/crossval")
    project.run("git", "commit", "--quiet", "--message", "pool")
    printed = run_here("--folds", "2", "--base", "main")
    for shown in (printed, Path("metrics/crossval/crossval.md").read_text()):
        assert "Against `main`, on 72 photos of both: 0 became right, 0 became wrong" in shown
    first = project.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    said = run_here("--folds", "2", "--base", first)
    assert "has no metrics/crossval/predictions.csv: cross-validate there, and commit" in said


@pytest.mark.parametrize(
    ("path", "old", "new", "name"),
    [
        ("params.yaml", "lr: 0.004", "lr: 0.005", "train.lr"),
        ("stages/train/loop.py", '"""', '"""Changed. ', "code in stages/train/loop.py"),
        ("dvc.yaml", "Train the", "Train a", "code in dvc.yaml"),
    ],
)
def test_folds_of_other_parameters_or_code_do_not_count(
    project: Project, run_here: Any, path: str, old: str, new: str, name: str
) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))
    said = run_here("--folds", "2")
    Path(path).write_text(text)
    assert "2 folds of 2 missing" in said
    assert f"(fold 0 of crossval-0-of-2 has other inputs: {name})" in said
    assert "the complete page" in run_here("--folds", "2")


def test_folds_of_other_photos_do_not_count_and_a_new_one_is_refused_at_once(
    project: Project, run_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos as the lock of the last `dvc repro prepare` has them."""
    text = Path("dvc.lock").read_text()
    photos, *_ = yaml.safe_load(text)["stages"]["prepare"]["deps"]
    Path("dvc.lock").write_text(text.replace(photos["md5"], "f" * 32))
    said = run_here("--folds", "2")
    assert f"(fold 0 of crossval-0-of-2 has other inputs: {photos['path']})" in said
    (run,) = [run for run in find_runs() if run.name == "crossval-0-of-2"]
    monkeypatch.setattr(command, "run_fold", lambda *_: run)
    behind = run_here("--folds", "2", "--run")
    monkeypatch.setattr(command, "check_experiments_see", lambda _: None)  # changed since
    said = run_here("--folds", "2", "--run")
    Path("dvc.lock").write_text(text)
    assert behind.startswith("data/prepared is behind the photos or the parameters; `dvc repro")
    assert said == (
        f"fold 0 of crossval-0-of-2 has other inputs: {photos['path']}; `dvc repro prepare`, then "
        "run the same command again"
    )


def test_weights_changed_in_place_are_other_weights(project: Project, run_here: Any) -> None:
    weights = project.folder / "data/weights/mine"
    project.set("model", "weights", "mine")
    assert "data/weights/mine" not in digests_here({"model.weights": "mine"})
    for content in (b"first", b"second"):
        weights.write_bytes(content)
        md5 = hashlib.md5(content).hexdigest()
        assert digests_here({"model.weights": "mine"})["data/weights/mine"] == md5
    weights.unlink()
    project.run("git", "checkout", "--quiet", "params.yaml")


def test_a_fold_that_fails_says_that_the_others_are_kept(
    project: Project, run_here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CompletedProcess[bytes]("dvc", 255)
    monkeypatch.setattr(command, "find_runs", list)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(command, "experiments", list)
    monkeypatch.setattr(command, "tracks", lambda _: True)
    said = run_here("--folds", "2", "--run")
    assert said.startswith("fold 0 ended with exit code 255; finished folds are kept: run the same")


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        ({"scratch": 0.142857143, "pretrained": 0.2}, "--queue -S 'prepare.fold=0,1,2,3,4,5,6'"),
        (0.15, "--queue -S prepare.test_fraction=0.142857 -S 'prepare.fold=0,1,2,3,4,5,6'"),
        (0.7, "prepare.test_fraction is 0.7, which makes 1 folds; set it to 1 / folds, from 2 to"),
        (1e-9, "prepare.test_fraction is 1e-09, which makes 1,000,000,000 folds; set it to"),
    ],
)
def test_the_fraction_says_how_many_folds_there_are(
    project: Project, run_here: Any, fraction: Any, expected: str
) -> None:
    project.set("prepare", "test_fraction", fraction)
    said = run_here()
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert expected in said


@pytest.mark.parametrize("folds", ["1", "1001"])
def test_a_wrong_number_of_folds_says_what_is_allowed(
    run_here: Any, folds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_here("--folds", folds)
    assert ended.value.code == 2
    assert f"--folds: must be from 2 to 1000, got {folds}" in capsys.readouterr().err


def test_a_commit_that_git_cannot_compare_with_is_one_line(run_here: Any) -> None:
    with pytest.raises(UserError, match=r"^git diff: .*nowhere"):
        changed_files("nowhere", "stages")


def test_outside_of_a_project_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.crossval", "--folds", "5"]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert ended.stderr.startswith("params.yaml: not found")


HEADER = b"path,actual,predicted,confidence\n"


def test_numbers_and_odd_tables_as_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class may be called 1; a table of another kind is a line."""
    tables = {"main": HEADER + b"a.jpg,1,2,0.9\n", "old": b"path,actual\na.jpg,1\n"}
    monkeypatch.setattr("tools.crossval.__main__.find_commit", lambda name: (name, name))
    monkeypatch.setattr("tools.crossval.__main__.file_at", lambda commit, path: tables[commit])
    row = {"path": ["a.jpg"], "actual": ["1"], "predicted": ["1"], "confidence": [0.8]}
    paired = pair_with("main", pd.DataFrame(row))
    assert (paired.shared, paired.count("now right")) == (1, 1)
    with pytest.raises(UserError, match=r"--base: .*old:metrics/crossval/predictions.csv.*again"):
        pair_with("old", pd.DataFrame(row))
