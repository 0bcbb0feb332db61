import errno
import os
from pathlib import Path

import pandas as pd
import pytest

from stages.common.errors import UserError
from stages.common.files import new_folder, write_bytes, write_csv, write_json


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


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_csv_has_unix_lines_and_no_index(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25]}))
    assert (tmp_path / "a.csv").read_bytes() == b"epoch,loss\n1,0.5\n2,0.25\n"
