"""A stage notices what changed while it ran."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages import STARTED
from stages.common import inputs as module
from stages.common.errors import UserError
from stages.common.inputs import Inputs
from tests.conftest import PARAMS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    for name in ("code/a.py", "code/deep/b.py", "photos/daisy/1.jpg", "photos/daisy/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("content")
        os.utime(tmp_path / name, (0, 0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    return tmp_path


def replace(old: str, new: str) -> Callable[[], object]:
    path = Path("params.yaml")
    return lambda: path.write_text(path.read_text().replace(old, new, 1))


EDITS = {
    "a parameter": (
        replace("lr: 0.004", "lr: 0.001"),
        r"^params\.yaml: train\.lr changed from 0\.004 to 0\.001 while the stage ran",
    ),
    "one of two values": (
        replace("scratch: 22", "scratch: 23"),
        r"^params\.yaml: train\.epochs\.scratch changed from 22 to 23 while",
    ),
    "a parameter that is gone": (
        replace("  lr: 0.004\n", ""),
        r"^params\.yaml: train\.lr changed from 0\.004 to None while",
    ),
    "a parameter file that cannot be read": (replace("train:", "train: ["), "not valid YAML"),
    "a module": (
        lambda: Path("code/deep/b.py").write_text("other"),
        r"^code/deep/b\.py changed while",
    ),
    "a new module": (lambda: Path("code/c.py").write_text(""), r"^code/c\.py changed"),
    "a photo": (
        lambda: Path("photos/daisy/1.jpg").write_text("!"),
        r"^photos/daisy/1\.jpg changed",
    ),
    "a new photo": (
        lambda: Path("photos/daisy/3.jpg").touch(),
        r"^photos/daisy/3\.jpg changed while",
    ),
    "two photos": (
        lambda: shutil.rmtree("photos"),
        r"^photos/daisy/\d\.jpg changed \(and 1 more\) while",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_changed_is_named(project: Path, name: str) -> None:
    inputs = Inputs(("model.weights", "train"), ("code/a.py", "code"))
    inputs.add(Path("photos"))
    inputs.check()
    edit, message = EDITS[name]
    edit()
    with pytest.raises(UserError, match=message) as raised:
        inputs.check()
    assert len(str(raised.value).splitlines()) == 1


def test_what_does_not_count_may_change(project: Path) -> None:
    inputs = Inputs(("model.weights", "train"), ("code",))
    inputs.add(Path("photos"))
    replace("width: 32", "width: 64")()  # only model.weights was noted
    replace("lr: 0.004", "lr: 0.00400 # the same")()
    Path("code/__pycache__").mkdir()
    Path("code/__pycache__/a.pyc").touch()
    Path("photos/.DS_Store").touch()
    inputs.check()


def test_a_module_saved_since_python_read_it_does_not_count(project: Path) -> None:
    os.utime("code/a.py", (STARTED + 1, STARTED + 1))
    with pytest.raises(UserError, match=r"^code/a\.py changed while"):
        Inputs((), ("code",)).check()


def test_a_change_that_is_undone_is_none(project: Path) -> None:
    inputs = Inputs(("train",), ())
    replace("lr: 0.004", "lr: 0.001")()
    replace("lr: 0.001", "lr: 0.004")()
    inputs.check()
