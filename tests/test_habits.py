"""What people do with Git and DVC around the pipeline."""

import shutil
from pathlib import Path

from tests.hazards import plant_clean
from tests.project import Project


def test_a_clone_with_windows_line_ends_has_the_same_bytes(
    finished: Project, tmp_path: Path
) -> None:
    finished.run("git", "clone", "--config", "core.autocrlf=true", ".", str(tmp_path / "clone"))
    names = finished.run("git", "ls-files").splitlines()
    assert {"dvc.lock", "params.yaml", "stages/train/loop.py"} <= set(names)
    for name in names:
        assert (tmp_path / "clone" / name).read_bytes() == (finished.folder / name).read_bytes()


def test_class_folders_can_be_tracked_one_by_one(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    plant_clean(project.folder / "data/photos", ("daisy", "rose"))
    project.run("dvc", "add", "data/photos/daisy", "data/photos/rose")
    project.run("git", "add", "--all")
    added = project.run("git", "diff", "--cached", "--name-only").splitlines()
    names = (".gitignore", "daisy.dvc", "rose.dvc")
    assert added == [f"data/photos/{name}" for name in names]
    assert "accepted 20" in project.run("dvc", "exp", "run", "-S", "data.photos=data/photos")


def test_an_imported_archive_below_a_folder_can_be_tracked(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    plant_clean(tmp_path / "photos")
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos")
    (project.folder / "data/raw").mkdir()
    project.run("dvc", "import-url", str(tmp_path / "photos.zip"), "data/raw/photos.zip")
    project.run("git", "add", "--all")
    added = project.run("git", "diff", "--cached", "--name-only").splitlines()
    assert "data/raw/photos.zip.dvc" in added
    assert "data/raw/photos.zip" not in added


def test_the_stages_leave_no_gitignore_changed(finished: Project) -> None:
    assert finished.run("git", "status", "--porcelain") == ""


def test_the_pipeline_runs_on_dvcs_symlinks(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    before = project.outputs()
    project.run("dvc", "config", "cache.type", "symlink")
    shutil.copytree(project.folder / "data/demo", project.folder / "data/photos")
    project.run("dvc", "add", "data/photos")
    project.set("data", "photos", "data/photos")
    for name in ("data/prepared", "models"):
        shutil.rmtree(project.folder / name)
    project.run("dvc", "checkout")
    assert next((project.folder / "data/photos").rglob("*.jpg")).is_symlink()
    project.forget_from("prepare")
    assert project.stages_run("dvc", "repro") == ["prepare", "train", "evaluate"]
    after = project.outputs()
    assert {name for name in before if after[name] != before[name]} == {"dvc.lock"}  # its photos
