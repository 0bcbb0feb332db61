"""What a name tells: nothing that may be a photo is passed over by its name."""

import pytest

from stages.common.names import is_clutter, printable_name
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "name",
    [
        "copying-ink/1.jpg",
        "license-plates/1.jpg",
        "readme_flower/1.jpg",
        "LICENCE/1.jpg",
        "thumbs.db/1.jpg",
        "car/license_plate.jpg",
        "car/readme.jpg",
        "car/copying.2.png",
        "car/readme2",
        "../car/1.jpg",
        "car/1.jpg.ORIG",
        "car/swp",
        "car~/1.jpg",
    ],
)
def test_what_may_be_a_photo_is_no_clutter(name: str):
    assert not is_clutter(name)


@pytest.mark.parametrize(
    "name",
    [
        "README",
        "car/ReadMe.txt",
        "README.md",
        "README_de.html",
        "LICENSE.txt",
        "license-cc-by.pdf",
        "COPYING",
        "car/Thumbs.db",
        "car/desktop.ini",
        "car/.DS_Store",
        ".git/1.jpg",
        "car/.ipynb_checkpoints/1.jpg",
        "__MACOSX/car/1.jpg",
        "car/__pycache__/1.jpg",
        "car/notes.swp",
        "car/1.jpg~",
        "car/1.jpg.orig",
    ],
)
def test_what_nobody_means_as_a_photo_is_clutter(name: str):
    assert is_clutter(name)


def test_what_dvc_ignores_is_clutter():
    """So no file that DVC does not see becomes a photo."""
    lines = (ROOT / ".dvcignore").read_text().splitlines()
    patterns = [line for line in lines if line and line[0] not in "#/"]
    assert "*.pyc" in patterns
    for pattern in patterns:
        inside = "" if "*" in pattern else "/1.jpg"
        assert is_clutter(f"car/{pattern.replace('*', '1')}{inside}")


def test_what_no_terminal_prints_is_escaped():
    assert printable_name("a\nb\udcff") == r"a\nb\udcff"
    assert printable_name("cafe\u0301") == "caf\u00e9"
