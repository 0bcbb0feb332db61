"""What tests of several tools need."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import PARAMS, change_params


@pytest.fixture
def own_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project the current folder; return where its photos will be."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(PARAMS, tmp_path)
    change_params(tmp_path / "params.yaml", {"data": {"photos": "data/photos"}})
    return Path("data/photos")
