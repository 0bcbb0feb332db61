"""The whole chain under real DVC, on a tiny garden in a Git repository of its own."""

import io
import json
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from stages.common.store import open_store
from tests.conftest import TINY
from tests.project import KILL_POINTS, OUTPUTS, Project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project to experiment with."""
    return finished.copy(tmp_path / "flowerbed")


def test_outputs_are_complete_and_fit_each_other(finished: Project) -> None:
    store = open_store(finished.folder / "data/prepared")
    assert store.images.shape == (len(store.manifest), 32, 32, 3)
    losses = pd.read_csv(finished.folder / "metrics/loss.csv")
    assert list(losses) == ["epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate"]
    assert len(losses) == TINY["train"]["epochs"]
    evaluation = json.loads((finished.folder / "metrics/evaluation.json").read_text())
    predictions = pd.read_csv(finished.folder / "metrics/predictions.csv")
    right = (predictions["actual"] == predictions["predicted"]).mean()
    assert evaluation["accuracy"] == round(right, 4)
    assert evaluation["images"] == len(store.indices("test")) == len(predictions)


def test_nothing_that_git_tracks_names_this_machine(finished: Project) -> None:
    for name, content in finished.outputs().items():
        assert str(finished.folder).encode() not in content, name


def test_a_run_leaves_no_file_that_git_does_not_know(finished: Project) -> None:
    assert finished.run("git", "status", "--porcelain") == ""


def test_a_second_repro_runs_nothing(finished: Project) -> None:
    printed = finished.run("dvc", "repro")
    assert "Running stage" not in printed
    assert "Data and pipelines are up to date." in printed


@pytest.mark.parametrize(
    ("section", "key", "value", "stage"),
    [
        ("evaluate", "answered_fraction", 0.9, "evaluate"),
        ("train", "lr", 0.001, "train"),
        ("prepare", "seed", 1, "prepare"),
        ("garden", "seed", 1, "prepare"),
    ],
)
def test_a_changed_parameter_reruns_from_the_first_stage_that_reads_it(
    project: Project, section: str, key: str, value: object, stage: str
) -> None:
    project.set(section, key, value)
    assert project.stages_run("dvc", "repro", "--dry")[0] == stage


def test_a_fresh_run_gives_the_same_bytes_also_where_the_store_is_a_link(
    project: Project, tmp_path: Path
) -> None:
    before = project.outputs()
    store = project.folder / "data/prepared"
    store.rename(tmp_path / "store")
    store.symlink_to(tmp_path / "store")
    shutil.rmtree(project.folder / "data/demo")
    # By itself, so with another hash seed.
    project.run("dvc", "repro", "--force", FLOWERBED_FRESH="1", PATH=project.path())
    assert store.is_symlink()
    assert project.outputs() == before


def test_an_experiment_killed_elsewhere_resumes_and_equals_one_in_the_workspace(
    project: Project,
) -> None:
    before = project.outputs()
    experiment = ("dvc", "exp", "run", "-S", "train.lr=0.00001", "--name")
    kill = {**KILL_POINTS, "KILL_STAGE": "train", "KILL_AT": "26"}
    project.run(*experiment, "there", "--temp", code=255, **kill)
    assert "resuming at epoch" in project.run(*experiment, "there", "--temp")
    project.forget_from("train")
    printed = project.run(*experiment, "here")
    assert "resuming at epoch" not in printed
    assert printed.count("Running stage") == 2
    for name in OUTPUTS:
        # What Git does not hold, dvc.lock has the digests of.
        if not name.startswith(("models", "data/test_probabilities")):
            assert content_in(project, "there", name) == content_in(project, "here", name), name

    shown = project.run("dvc", "exp", "show", "--csv", "--no-pager")
    table = pd.read_csv(io.StringIO(shown), index_col="Experiment")
    assert table["train.lr"]["there"] == 1e-5
    printed = project.run("dvc", "metrics", "diff", "--all", "HEAD", "there")
    rows = [line.split() for line in printed.splitlines()]
    assert next(row[1] for row in rows if row[:1] == ["metrics/evaluation.json"]) == "accuracy"

    undo = ("git", "checkout", "--quiet", "params.yaml", "dvc.lock", "metrics")
    project.run(*undo)
    project.run("dvc", "checkout", "--quiet")
    assert project.outputs() == before
    project.set("train", "lr", 1e-5)
    printed = project.run("dvc", "repro")
    assert printed.count("is cached - skipping run") == 2
    assert "Running stage" not in printed


def content_in(project: Project, experiment: str, name: str) -> str:
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    ref = next(ref for ref in refs if ref.endswith(f"/{experiment}"))
    return project.run("git", "show", f"{ref}:{name}")


def test_plots_render(finished: Project, tmp_path: Path) -> None:
    printed = finished.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    assert "index.html" in printed
    page = (tmp_path / "plots/index.html").read_text()
    titles = ["Loss", "Validation accuracy", "Learning rate", "Test photos", "Reliability"]
    for title in [*titles, "Photos of each class and split", "F1 of each class"]:
        assert title in page
    assert "share of the actual class" in page
    for picture in ("photos", "mistakes", "augmented"):
        assert f"metrics_{picture}.png" in page
    assert page.count("vega-embed") or page.count("vegaEmbed")


def test_a_bad_parameter_stops_before_any_work(project: Project) -> None:
    before = project.outputs()
    project.set("train", "batch_size", 0)
    printed = project.run("dvc", "repro", code=255)
    assert "params.yaml: train.batch_size must be at least 1, got 0" in printed
    assert "Traceback" not in printed
    project.run("git", "checkout", "--quiet", "params.yaml")
    project.run("dvc", "repro")
    assert project.outputs() == before


def test_killed_stopped_and_its_parameters_edited_a_training_ends_in_the_same_bytes(
    project: Project,
) -> None:
    before = project.everything()
    project.forget_from("train")
    strike = {**KILL_POINTS, "KILL_STAGE": "train"}
    project.run("dvc", "repro", code=255, **strike, KILL_AT="24")
    printed = project.run("dvc", "repro", code=255, **strike, KILL_AT="10", KILL_SIGNAL="SIGTERM")
    assert "resuming at epoch" in printed
    assert "stopped by SIGTERM" in printed

    dvc = project.start("dvc", "repro", **strike, KILL_AT="10", KILL_SIGNAL="SIGSTOP")
    trainer = wait_for_stopped(dvc)
    project.set("train", "lr", 0.001)
    trainer.resume()
    printed, _ = dvc.communicate()
    assert dvc.returncode == 255
    assert "params.yaml: train.lr changed from 0.004 to 0.001 while the stage ran" in printed
    project.run("git", "checkout", "--quiet", "params.yaml")
    printed = project.run("dvc", "repro")
    assert f"resuming at epoch {TINY['train']['epochs'] + 1}, batch 1" in printed
    assert project.everything() == before


def wait_for_stopped(dvc: "subprocess.Popen[str]") -> psutil.Process:
    """Return the process started by `dvc` that has stopped itself."""
    while dvc.poll() is None:
        for child in psutil.Process(dvc.pid).children(recursive=True):
            if child.status() == psutil.STATUS_STOPPED:
                return child
        time.sleep(0.02)
    raise AssertionError(dvc.communicate()[0])


def test_a_tagged_model_can_be_got_by_its_name(project: Project) -> None:
    project.run("git", "tag", "--annotate", "flower-classifier@v1.0.0", "--message", "first")
    project.run("dvc", "artifacts", "get", ".", "flower-classifier", "--out", "copy")
    copied = (project.folder / "copy/model.safetensors").read_bytes()
    assert copied == project.outputs()["models/model.safetensors"]


def test_what_changes_no_result_runs_nothing_again(project: Project) -> None:
    for key, value in (("save_every_seconds", 7), ("loader_workers", 1)):
        project.set("runtime", key, value)
    assert project.stages_run("dvc", "repro") == []


def test_changed_weights_train_again_and_a_killed_probe_resumes(project: Project) -> None:
    weights = project.folder / "data/weights"
    shutil.copytree(project.folder / "models", weights / "mine")
    project.set("model", "weights", "mine")
    project.set("train", "epochs", 0)
    assert project.stages_run("dvc", "repro", "train") == ["prepare", "train"]
    (losses,) = pd.read_csv(project.folder / "metrics/loss.csv").to_dict("records")
    assert losses["epoch"] == 0
    trained = load_file(project.folder / "models/model.safetensors")
    first = load_file(weights / "mine/model.safetensors")
    changed = {name for name in first if not torch.equal(first[name], trained[name])}
    assert changed == {"head.weight", "head.bias"}

    whole = (project.folder / "models/model.safetensors").read_bytes()
    project.forget_from("train")
    project.set("runtime", "save_every_seconds", 0.001)
    kill = {**KILL_POINTS, "KILL_STAGE": "train", "KILL_AT": "28"}
    project.run("dvc", "repro", "train", code=255, **kill)
    assert "resuming with the features of" in project.run("dvc", "repro", "train")
    assert (project.folder / "models/model.safetensors").read_bytes() == whole

    shutil.copytree(weights / "mine", weights / "another")
    assert project.stages_run("dvc", "repro", "train") == []
    first["stem.0.0.weight"] += 0.01
    save_file(first, weights / "mine/model.safetensors")
    assert project.stages_run("dvc", "repro", "--dry", "train") == ["train"]
    assert project.run("git", "status", "--porcelain", "data/weights") == ""
