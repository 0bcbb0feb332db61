"""The whole chain under real DVC, on a tiny garden in a Git repository of its own."""

import io
import json
import shutil
import subprocess
import sys
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


def test_a_changed_learning_rate_trains_again_and_the_old_one_comes_from_the_run_cache(
    project: Project,
) -> None:
    before = project.outputs()
    project.set("train", "lr", 0.001)
    assert project.stages_run("dvc", "repro") == ["train", "evaluate"]
    assert project.outputs()["metrics/loss.csv"] != before["metrics/loss.csv"]
    project.run("git", "checkout", "--quiet", "params.yaml")
    printed = project.run("dvc", "repro")
    assert printed.count("is cached - skipping run") == 2
    assert "Running stage" not in printed
    assert project.outputs() == before


def test_a_changed_evaluation_evaluates_only(project: Project) -> None:
    project.set("evaluate", "device", "cpu")
    assert project.stages_run("dvc", "repro") == ["evaluate"]


def test_a_changed_split_prepares_again_but_draws_nothing(project: Project) -> None:
    project.set("prepare", "seed", 1)
    assert project.stages_run("dvc", "repro") == ["prepare", "train", "evaluate"]


def test_the_same_parameters_give_the_same_bytes(project: Project) -> None:
    before = project.outputs()
    project.run("dvc", "repro", "--force")
    assert project.outputs() == before


def test_an_experiment_killed_elsewhere_goes_on_and_equals_one_in_the_workspace(
    project: Project,
) -> None:
    experiment = ("dvc", "exp", "run", "-S", "train.lr=0.00001", "--name")
    kill = {**KILL_POINTS, "KILL_STAGE": "train", "KILL_AT": "20"}
    project.run(*experiment, "there", "--temp", code=255, **kill)
    assert "resuming at epoch" in project.run(*experiment, "there", "--temp")
    project.forget_from("train")
    assert "resuming at epoch" not in project.run(*experiment, "here")
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


def content_in(project: Project, experiment: str, name: str) -> str:
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    ref = next(ref for ref in refs if ref.endswith(f"/{experiment}"))
    return project.run("git", "show", f"{ref}:{name}")


def test_plots_render(finished: Project, tmp_path: Path) -> None:
    printed = finished.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    assert "index.html" in printed
    page = (tmp_path / "plots/index.html").read_text()
    for title in ("Loss", "Validation accuracy", "Learning rate", "Test photos", "Reliability"):
        assert title in page
    assert "as shares of each actual class" in page
    for picture in ("photos", "mistakes", "augmented"):
        assert f"metrics_{picture}.png" in page
    assert page.count("vega-embed") or page.count("vegaEmbed")


def test_own_photos_swap_the_data_set_in_one_experiment(project: Project, tmp_path: Path) -> None:
    photos = tmp_path / "own photos"
    for species in ("rose", "tulip"):
        shutil.copytree(project.folder / "data/demo" / species, photos / species)
    ran = project.stages_run("dvc", "exp", "run", "-S", f"data.photos={photos}")
    assert ran == ["prepare", "train", "evaluate"]
    assert open_store(project.folder / "data/prepared").meta.classes == ["rose", "tulip"]


def test_a_bad_parameter_stops_before_any_work(project: Project) -> None:
    before = project.outputs()
    project.set("train", "batch_size", 0)
    printed = project.run("dvc", "repro", code=255)
    assert "params.yaml: train.batch_size must be at least 1, got 0" in printed
    assert "Traceback" not in printed
    project.run("git", "checkout", "--quiet", "params.yaml")
    project.run("dvc", "repro")
    assert project.outputs() == before


def test_the_store_may_be_a_link(project: Project, tmp_path: Path) -> None:
    before = project.outputs()
    store = project.folder / "data/prepared"
    store.rename(tmp_path / "store")
    store.symlink_to(tmp_path / "store")
    project.run("dvc", "repro", "--force")
    assert store.is_symlink()
    assert project.outputs() == before


@pytest.mark.parametrize("name", ["data", "metrics", "models"])
def test_a_linked_folder_is_refused_before_the_work(
    project: Project, tmp_path: Path, name: str
) -> None:
    (project.folder / name).rename(tmp_path / name)
    (project.folder / name).symlink_to(tmp_path / name)
    for stage in ("prepare", "train", "evaluate"):
        printed = project.run(sys.executable, "-m", f"stages.{stage}", code=1)
        assert printed == (
            f"{name}: is a link, and DVC keeps nothing behind one; make it a folder again. For "
            "another disk, link data/prepared or the photos, and see `dvc cache dir`\n"
        )


@pytest.mark.parametrize("stage", ["prepare", "evaluate"])
def test_a_stage_that_was_killed_ends_in_the_same_bytes(project: Project, stage: str) -> None:
    before = project.everything()
    project.forget_from(stage)
    project.run("dvc", "repro", code=255, **KILL_POINTS, KILL_STAGE=stage, KILL_AT="4")
    project.run("dvc", "repro")
    assert project.everything() == before


def test_a_training_that_was_killed_and_stopped_ends_in_the_same_bytes(project: Project) -> None:
    before = project.everything()
    project.forget_from("train")
    strike = {**KILL_POINTS, "KILL_STAGE": "train"}
    project.run("dvc", "repro", code=255, **strike, KILL_AT="24")
    printed = project.run("dvc", "repro", code=255, **strike, KILL_AT="10", KILL_SIGNAL="SIGTERM")
    assert "resuming at epoch" in printed
    assert "stopped by SIGTERM" in printed
    printed = project.run("dvc", "repro", code=255, **strike, KILL_AT="10", KILL_SIGNAL="SIGINT")
    assert "stopped by SIGINT" in printed
    assert "resuming at epoch" in project.run("dvc", "repro")
    assert project.everything() == before


def test_a_second_trainer_waits_for_one_that_outlived_its_dvc(project: Project) -> None:
    before = project.everything()
    project.forget_from("train")
    strike = {**KILL_POINTS, "KILL_STAGE": "train", "KILL_AT": "12", "KILL_SIGNAL": "SIGSTOP"}
    dvc = project.start("dvc", "repro", **strike)
    trainer = wait_for_stopped(dvc)
    dvc.kill()
    dvc.wait()
    second = project.start("dvc", "repro")
    assert second.stdout is not None
    waiting = f"process {trainer.pid} is already running this training: waiting for it to end"
    assert any(waiting in line for line in second.stdout)
    trainer.resume()
    dvc.communicate()  # the trainer's end closes the pipe
    second.communicate()
    assert second.returncode == 0
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


def test_changed_weights_train_again_and_other_files_beside_them_do_not(project: Project) -> None:
    weights = project.folder / "data/weights"
    shutil.copytree(project.folder / "models", weights / "mine")
    project.set("model", "weights", "mine")
    project.set("train", "epochs", 0)
    assert project.stages_run("dvc", "repro") == ["prepare", "train", "evaluate"]
    (losses,) = pd.read_csv(project.folder / "metrics/loss.csv").to_dict("records")
    assert losses["epoch"] == 0
    trained = load_file(project.folder / "models/model.safetensors")
    first = load_file(weights / "mine/model.safetensors")
    changed = {name for name in first if not torch.equal(first[name], trained[name])}
    assert changed == {"head.weight", "head.bias"}

    shutil.copytree(weights / "mine", weights / "another")
    assert project.stages_run("dvc", "repro") == []
    first["stem.0.0.weight"] += 0.01
    save_file(first, weights / "mine/model.safetensors")
    assert project.stages_run("dvc", "repro") == ["train", "evaluate"]
    assert project.run("git", "status", "--porcelain", "data/weights") == ""


def test_a_probe_that_is_killed_ends_in_the_same_bytes(project: Project) -> None:
    shutil.copytree(project.folder / "models", project.folder / "data/weights/mine")
    for section, key, value in (
        ("model", "weights", "mine"),
        ("train", "epochs", 0),
        ("runtime", "save_every_seconds", 0.001),
    ):
        project.set(section, key, value)
    project.run("dvc", "repro")
    whole = project.outputs()
    for moment in ("18", "28", "38"):  # the last one after the fit
        project.forget_from("train")
        project.run("dvc", "repro", code=255, **KILL_POINTS, KILL_STAGE="train", KILL_AT=moment)
        assert "resuming with the features of" in project.run("dvc", "repro")
        assert project.outputs() == whole
