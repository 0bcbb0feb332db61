import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import stages.evaluate.__main__ as evaluate
import stages.prepare.__main__ as prepare
import stages.train.__main__ as train
from stages.common.errors import PhotoError, UserError
from stages.common.files import new_folder, write_bytes, write_csv, write_json
from stages.common.reading import read_bytes, read_photo_file
from stages.train.checkpoints import KEYS_KEPT, Checkpoints
from tests.conftest import PARAMS, ROOT


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "loss.csv"
    write_bytes(path, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match=r"loss\.csv: cannot be written: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"metrics/loss\.csv: cannot be written"):
        write_bytes(tmp_path / "metrics" / "loss.csv", b"")


def test_a_folder_appears_only_when_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "models") as partial:
        (partial / "a").write_text("a")
        assert not (tmp_path / "models").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert (tmp_path / "models" / "a").read_text() == "a"


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "old").touch()
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "models"):
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_killed_runs_remains_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".models.partial").mkdir()
    (tmp_path / ".models.partial" / "half").touch()
    with new_folder(tmp_path / "models") as partial:
        (partial / "whole").touch()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["whole"]


KILLED_AT_EVERY_STEP = """
import os, shutil, sys
from pathlib import Path
from stages.common.files import new_folder

STEPS = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir")
left = 0

def deadly(step):
    def do(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return step(*arguments, **options)
    return do

def write(folder, text):
    (folder / "inner").mkdir()
    for name in ("a", "b", "inner/c"):
        (folder / name).write_text(text)

def whole(folder):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert names == ["a", "b", "inner", "inner/c"], names
    texts = {path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert len(texts) == 1, texts
    return texts.pop()

def in_child(action):
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def replace(kill_at):
    global left
    left = kill_at
    for name in STEPS:
        setattr(os, name, deadly(getattr(os, name)))
    with new_folder(path) as partial:
        write(partial, "new")

def fail():
    try:
        with new_folder(path) as partial:
            (partial / "a").write_text("half")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass

root = Path(sys.argv[1])
path = root / "models"
ends = []
step = 0
while not ends or ends[-1] == 9:
    step += 1
    shutil.rmtree(root)
    path.mkdir(parents=True)
    write(path, "old")
    ends.append(in_child(lambda: replace(step)))
    found = [whole(path)] if path.exists() else []
    if sys.argv[2] == "twice":  # killed again while it clears up
        in_child(lambda: replace(2))
    fail()  # the next run clears up, whatever becomes of it
    found.append(whole(path))
    assert found[0] == found[-1] or sys.argv[2] == "twice", found
    assert os.listdir(root) == ["models"], os.listdir(root)
print(step - 1)
"""


@pytest.mark.parametrize("kills", ["once", "twice"])
def test_a_folder_is_whole_whichever_step_of_its_replacement_is_the_last(
    tmp_path: Path, kills: str
) -> None:
    command = [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(tmp_path / "outputs"), kills]
    (tmp_path / "outputs").mkdir()
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 10  # two made, three renamed, three unlinked, two removed


def test_a_folder_that_cannot_take_its_name_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models"
    path.mkdir()
    (path / "old").touch()
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == path and self.name == ".models.partial":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match="models: cannot be written"), new_folder(path):
        pass
    assert [child.name for child in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_behind_a_link_is_replaced_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "disk" / "models").mkdir(parents=True)
    link = tmp_path / "models"
    link.symlink_to("disk/models")
    with new_folder(link) as partial:
        (partial / "new").touch()
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "disk" / "models").iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["models"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path, make) -> None:
    make(tmp_path / "place")
    before = (tmp_path / "place").stat().st_mode
    with pytest.raises(UserError, match="place: cannot be written: is not a regular file"):
        write_bytes(tmp_path / "place", b"content")
    assert (tmp_path / "place").stat().st_mode == before
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_pipe_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "place")
    with pytest.raises(UserError, match="place: cannot be written"), new_folder(tmp_path / "place"):
        pass
    assert (tmp_path / "place").is_fifo()


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with (
        pytest.raises(UserError, match="models: cannot be written: Not a directory"),
        new_folder(tmp_path / "models"),
    ):
        pytest.fail("found out too late")


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_csv_has_unix_lines_and_no_index(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25]}))
    assert (tmp_path / "a.csv").read_bytes() == b"epoch,loss\n1,0.5\n2,0.25\n"


def test_two_writers_of_one_folder_never_meet(tmp_path: Path) -> None:
    """The second is told at once; the first one's folder is complete."""
    with new_folder(tmp_path / "prepared") as partial:
        (partial / "a").write_text("a")
        code = (
            "import sys; from pathlib import Path; from stages.common.files import new_folder\n"
            "from stages.common.errors import run_stage\n"
            "def main():\n    with new_folder(Path(sys.argv[1])):\n        pass\n"
            "run_stage(main)\n"
        )
        second = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "prepared")],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert second.returncode == 1
        assert "prepared: another process is writing into" in second.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["prepared", "a"]


def test_a_read_only_folder_is_replaced_too(tmp_path: Path) -> None:
    for text in ("old", "new", "newest"):
        with new_folder(tmp_path / "prepared") as partial:
            (partial / "sub").mkdir()
            (partial / "sub/a").write_text(text)
        (tmp_path / "prepared/sub").chmod(0o500)
        (tmp_path / "prepared").chmod(0o500)
    assert [path.name for path in tmp_path.iterdir()] == ["prepared"]
    assert (tmp_path / "prepared/sub/a").read_text() == "newest"
    for path in ("prepared", "prepared/sub"):
        (tmp_path / path).chmod(0o700)


@pytest.mark.parametrize("name", ["data", "metrics", "models"])
@pytest.mark.parametrize("stage", [prepare, train, evaluate])
def test_a_linked_folder_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Any, name: str
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    (tmp_path / name).symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as raised:
        stage.main()
    assert str(raised.value) == (
        f"{name}: is a link, and DVC keeps nothing behind one; make it a folder again. For "
        "another disk, link data/prepared or the photos, and see `dvc cache dir`"
    )


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_share_that_flushes_no_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Its folders answer with a code; what files answer still counts."""
    whole = os.fsync
    refuses: list[bool] = []

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}") or refuses:  # noqa: PTH112
            raise OSError(code, os.strerror(code))
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with new_folder(tmp_path / "prepared") as folder:
        write_bytes(folder / "a", b"content")
    assert (tmp_path / "prepared/a").read_bytes() == b"content"
    refuses.append(True)
    with pytest.raises(UserError, match="cannot be written"):
        write_bytes(tmp_path / "b", b"content")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_share_without_locks_has_soft_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = tmp_path / "prepared"
    busy = pytest.raises(UserError, match="another process is writing")
    with new_folder(folder), busy, new_folder(folder):
        pass
    with new_folder(tmp_path / "prepared"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["prepared"]
    checkpoints = Checkpoints(tmp_path / "states", {})
    with checkpoints.locked():
        checkpoints.save({"step": 1})
    assert checkpoints.load() == {"step": 1}
    for number in range(KEYS_KEPT):
        with Checkpoints(tmp_path / "states", {"key": number}).locked():
            pass
    assert not checkpoints.folder.exists()  # also there, the oldest goes


def fill(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (fill(b"1" * 11), "has over 10 bytes"),
        (os.mkfifo, "is not a regular file"),
        (Path.mkdir, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    ],
)
def test_a_file_is_read_without_waiting_and_without_end(
    tmp_path: Path, plant: Callable[[Path], object], message: str
) -> None:
    plant(tmp_path / "file")
    with pytest.raises(OSError, match=message):
        read_bytes(tmp_path / "file", 10)


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (fill(b"1" * 11), "too_many_bytes"),
        (os.mkfifo, "special_file"),
        (lambda path: path.symlink_to("/etc/hostname"), "link_outside"),
        (lambda path: None, "vanished"),
    ],
)
def test_a_photo_that_is_something_else_by_now_is_rejected(
    tmp_path: Path, plant: Callable[[Path], object], reason: str
) -> None:
    plant(tmp_path / "1.jpg")
    with pytest.raises(PhotoError) as raised:
        read_photo_file(tmp_path / "1.jpg", 10)
    assert raised.value.reason == reason


def test_a_link_into_dvcs_cache_is_a_photo(tmp_path: Path) -> None:
    cached = tmp_path / "files/md5/ab" / ("0" * 30)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"photo")
    (tmp_path / "1.jpg").symlink_to(cached)
    assert read_photo_file(tmp_path / "1.jpg", 10) == b"photo"
