"""What the doctor says of a fine clone, and of broken ones."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PARAMS, ROOT
from tests.project import Project
from tools import doctor
from tools.doctor import CHECKS


def lines(shown: str) -> dict[str, tuple[str, str]]:
    """Return level and text of each subject."""
    parts = [line.split(maxsplit=2) for line in shown.splitlines()]
    return {subject: (level, text) for level, subject, text in parts}


@pytest.fixture
def clone(finished: Project, tmp_path: Path) -> Project:
    project = finished.copy(tmp_path / "clone")
    shutil.copy(ROOT / "requirements.lock", project.folder)
    return project


def examine(clone: Project, code: int = 0) -> dict[str, tuple[str, str]]:
    return lines(clone.run(sys.executable, "-m", "tools.doctor", code=code))


def test_a_fine_clone_has_ten_good_lines(clone: Project) -> None:
    found = examine(clone)
    assert list(found) == list(CHECKS)
    assert len(found) == 10
    assert {level for level, _ in found.values()} <= {"ok", "note"}
    assert found["parameters"] == ("ok", "params.yaml: flowernet, weights none")
    assert "no training is unfinished" in found["state"][1]


def test_what_is_broken_is_said_on_its_line(clone: Project) -> None:
    clone.set("data", "photos", "lost/photos")
    clone.set("model", "weights", "lost")
    (clone.folder / "dvc.lock").write_text("<<<<<<< HEAD\n")
    (clone.folder / ".train_state/abc").mkdir(parents=True)
    (clone.folder / ".train_state/abc/checkpoint").write_bytes(b"0" * 1_000_000)
    found = examine(clone, code=1)
    assert found["photos"] == (
        "BAD",
        "data.photos: lost/photos does not exist; name a folder or an archive",
    )
    assert found["weights"][1].startswith("model.weights is lost, not found (nothing in")
    assert found["DVC"][0] == "BAD"
    assert "dvc.lock" in found["DVC"][1]
    assert found["state"][1].startswith("unfinished trainings: 1 (1 MB")


def test_a_broken_parameter_file_is_said_once_and_stops_nothing(clone: Project) -> None:
    (clone.folder / "params.yaml").write_text("train: {lr: [}\n")
    found = examine(clone, code=1)
    assert found["parameters"][1].startswith("params.yaml: is not valid YAML: line 1:")
    assert found["device"] == found["photos"] == ("BAD", "as above")
    assert found["disk"][0] == "ok"


def test_without_packages_it_says_what_to_do() -> None:
    """The interpreter alone, as on a machine where nothing is installed yet."""
    shown = subprocess.run(
        [sys.executable, "-S", "-m", "tools.doctor"], cwd=ROOT, capture_output=True, text=True
    )
    found = lines(shown.stdout)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert found["Python"][0] == "ok"
    assert found["PyTorch"][1].startswith("No module named 'torch'; make the environment again")


def test_a_package_that_the_lock_has_otherwise_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# made by hand\n"
        "numpy==0.1 \\\n    --hash=sha256:00\n"
        "nowhere-to-be-found==1 ; python_version >= '3' \\\n    --hash=sha256:00\n"
        "only-elsewhere==1 ; sys_platform == 'nowhere' \\\n    --hash=sha256:00\n"
    )
    found = doctor.environment(lock)
    assert found.level == "note"
    assert found.text.startswith("2 of 2 packages are not as in")
    assert "no nowhere-to-be-found" in found.text


def test_pytorch_for_the_cpu_needs_no_libraries_for_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.0.0\nnvidia-cublas==13\ntriton==3.9\n")
    builds = {"torch": "2.0.0"}
    monkeypatch.setattr(doctor, "installed", builds.get)
    assert doctor.environment(lock).text.startswith("2 of 3 packages are not as in")
    builds["torch"] = "2.0.0+cpu"
    assert doctor.environment(lock).text.startswith("all 1 packages are as in")


def test_little_space_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_GIGABYTES", 10**9)
    assert doctor.disk().level == "BAD"


def test_an_old_python_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OLDEST_PYTHON", (99, 0))
    assert doctor.python().level == "BAD"


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (lambda path: path.with_suffix(".rar").touch(), "must be a folder or a .tar"),
        (lambda path: path.mkdir(), "photos is empty; put one folder per class into it"),
        (lambda path: path.with_suffix(".zip").write_text("x"), "is not an archive that can be"),
    ],
)
def test_what_holds_no_photos_is_not_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path], None], message: str
) -> None:
    plant(tmp_path / "photos")
    (name,) = (path.name for path in tmp_path.iterdir())
    text = PARAMS.read_text().replace("photos: garden", f"photos: {name}")
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    finding = doctor.examine(doctor.photos)
    assert finding.level == "BAD"
    assert message in finding.text


def test_a_linked_output_folder_is_not_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert doctor.examine(doctor.disk).text.startswith("models: is a link")


@pytest.mark.parametrize(
    ("url", "extra"), [("s3://bucket/path", "s3"), ("webdavs://host/path", "webdav")]
)
def test_a_remote_without_its_driver_is_not_ok_and_nothing_changes(
    clone: Project, monkeypatch: pytest.MonkeyPatch, url: str, extra: str
) -> None:
    clone.run("dvc", "remote", "add", "--default", "near", "/somewhere")
    clone.run("dvc", "remote", "add", "far", url)
    shutil.rmtree(clone.folder / ".dvc/tmp")
    before = sorted(clone.folder.rglob("*"))
    monkeypatch.chdir(clone.folder)
    monkeypatch.setitem(sys.modules, f"dvc_{extra}", None)  # cannot be imported
    scheme = url.split(":")[0]
    assert doctor.state() == (
        "BAD",
        f"remote far: no driver for {scheme}://; make setup EXTRAS={extra}",
    )
    assert doctor.dvc().level == "ok"
    assert sorted(clone.folder.rglob("*")) == before
