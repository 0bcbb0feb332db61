"""The story of two colleagues who share photos by S3: add, correct, review, release.

The server is moto's, on the loopback. It runs where that and the driver are installed:
``make setup EXTRAS=s3``, then ``pip install "moto[server]"`` with that lock's botocore.
"""

import csv
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import TINY
from tests.project import Project, make_project

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("moto", "dvc_s3"))), reason="needs moto and dvc-s3"
)

TABLE = "data/flowers/labels.csv"
WRONG = 15
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve S3 on the loopback, with one bucket; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "moto.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(port)
        make_bucket = (
            "import sys, botocore.session as s; "
            "s.get_session().create_client('s3', endpoint_url=sys.argv[1], region_name='us-east-1')"
            ".create_bucket(Bucket='flowers')"
        )
        subprocess.run(
            [sys.executable, "-c", make_bucket, address], env={**os.environ, **KEYS}, check=True
        )
        yield address
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError("moto's server does not answer")


def commit_and_push(project: Project, branch: str, message: str) -> None:
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", message)
    project.run("dvc", "push")
    project.run("git", "push", "--quiet", "origin", branch)


def draw_photos(project: Project) -> None:
    """Draw flowers into data/flowers/img, with a table in which the first 15 daisies are tulips."""
    project.run("dvc", "repro", "prepare")
    image_folder = project.folder / "data/flowers/img"
    image_folder.mkdir(parents=True)
    photos = sorted((project.folder / "data/demo").rglob("*.jpg"))
    with (project.folder / TABLE).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "label"])
        for number, photo in enumerate(photos):
            photo.rename(image_folder / f"{number:03}.jpg")
            table.writerow([f"img/{number:03}.jpg", photo.parent.name])


def correct(project: Project) -> None:
    """Give 15 photos another class, by the decisions that the review page would download."""
    photos = pd.read_csv(project.folder / "metrics/photos.csv").sort_values("path")
    wrong, other = photos.head(WRONG), photos["class"].iloc[-1]
    decisions = wrong[["path", "sha256"]].assign(
        label=wrong["class"], decision="relabel", **{"class": other}
    )
    decisions.to_csv(project.folder / "decisions.csv", index=False)
    project.run(sys.executable, "-m", "tools.relabel", "decisions.csv")
    (project.folder / "decisions.csv").unlink()


def test_two_colleagues_share_correct_review_and_release(server: str, tmp_path: Path) -> None:
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "-b", "main", tmp_path / "server.git"], check=True
    )
    sizes = {**TINY, "garden": {"photos_per_species": 20, "image_size_px": 64}}
    one = make_project(tmp_path / "one", sizes)
    one.extra = KEYS
    draw_photos(one)
    one.set("data", "photos", "data/flowers")

    one.run("git", "remote", "add", "origin", str(tmp_path / "server.git"))
    one.run("dvc", "remote", "add", "--default", "store", "s3://flowers/dvc")
    one.run("dvc", "remote", "modify", "store", "endpointurl", server)
    one.run("dvc", "add", "data/flowers/img")
    assert one.stages_run("dvc", "repro") == ["prepare", "train", "evaluate"]
    commit_and_push(one, "main", "Our photos")
    tracked = one.run("git", "ls-files", "data/flowers").split()
    assert tracked == ["data/flowers/.gitignore", "data/flowers/img.dvc", TABLE]

    subprocess.run(["git", "clone", "--quiet", "-b", "main", "server.git", "two"], cwd=tmp_path)
    two = Project(tmp_path / "two")
    two.extra = KEYS
    two.run("dvc", "pull")
    assert "up to date" in two.run("dvc", "status")
    assert two.outputs() == one.outputs()
    assert two.stages_run("dvc", "repro", "--force") == ["prepare", "train", "evaluate"]
    assert two.outputs() == one.outputs()
    assert not two.run("git", "status", "--porcelain")

    two.run("git", "checkout", "--quiet", "-b", "labels")
    correct(two)
    assert "data/flowers" in two.run("dvc", "status")
    assert two.stages_run("dvc", "repro") == ["prepare", "train", "evaluate"]
    two.run(sys.executable, "-m", "tools.report", "--base", "main")
    commit_and_push(two, "labels", "15 labels corrected")

    one.run("git", "fetch", "--quiet")
    one.run("git", "checkout", "--quiet", "labels")
    one.run("dvc", "pull")
    assert one.outputs() == two.outputs()
    printed = one.run(sys.executable, "-m", "tools.report", "--base", "main", "--strict")
    assert "**dvc.lock is up to date**" in printed
    page = (one.folder / "report/report.md").read_text()
    assert f"- **{WRONG} photos relabeled**: {WRONG} from `daisy` to `tulip`." in page
    one.run("git", "checkout", "--quiet", "main")
    one.run("git", "merge", "--quiet", "labels")
    one.run("git", "tag", "--annotate", "flower-classifier@v1.0.0", "--message", "First model")
    one.run("git", "push", "--quiet", "origin", "main", "flower-classifier@v1.0.0")

    user = Project(tmp_path / "user")
    user.folder.mkdir()
    user.extra = KEYS
    release = ("flower-classifier", "--rev", "v1.0.0", "--out", "models")
    user.run("dvc", "artifacts", "get", str(tmp_path / "server.git"), *release)
    for name in ("README.md", "calibration.json", "model.json", "model.safetensors"):
        assert (user.folder / "models" / name).read_bytes() == one.outputs()[f"models/{name}"]
