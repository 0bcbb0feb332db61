"""The report in clones of a small pipeline under real DVC, without its cache and its outputs."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.common.errors import UserError
from tests.project import Project
from tools.report import git
from tools.report.__main__ import PAGE, PICTURE, STALE, main
from tools.report.comparison import compare
from tools.report.freshness import Freshness, check_freshness
from tools.report.git import Revision

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own

PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p data/prepared && cp ${data.photos}/* code/prepare.txt data/prepared
    deps: ["${data.photos}", code/prepare.txt]
    params: [data, prepare]
    outs: [data/prepared]
  train:
    cmd: cp data/prepared/prepare.txt model.txt && cp code/loss.csv loss.csv
    deps: [data/prepared, code/train]
    params: [train]
    outs: [model.txt]
    plots: [loss.csv: {cache: false}]
  evaluate:
    cmd: cp code/evaluation.json evaluation.json
    deps: [model.txt]
    metrics: [evaluation.json: {cache: false}]
"""
DEMO = """\
stages:
  garden:
    wdir: ..
    cmd: mkdir -p data/demo && echo photo > data/demo/1.jpg
    params: [garden]
    outs: [data/demo]
"""
FILES = {
    "params.yaml": "data:\n  photos: data/demo\ngarden:\n  seed: 0\nprepare:\n  side: 32\n"
    "train:\n  lr: 0.00001\n  epochs: 2\n",
    "dvc.yaml": PIPELINE,
    "data/dvc.yaml": DEMO,
    ".gitignore": "/model.txt\n",
    "data/.gitignore": "/*\n!/.gitignore\n!/dvc.*\n!/*.dvc\n",
    "code/prepare.txt": "prepare\n",
    "code/train/loop.txt": "loop\n",
    "code/loss.csv": "epoch,train_loss,val_loss\n1,2,2\n2,1,1\n",
    "code/evaluation.json": '{"accuracy": 0.5, "images": 4}',
}


def run(folder: Path, *command: str) -> str:
    return Project(folder).run(*command)


def commit(folder: Path, message: str = "change") -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that has run, in a repository whose first commit has no results."""
    folder = tmp_path_factory.mktemp("origin")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "dvc", "init", "--quiet")
    commit(folder, "no results yet")
    run(folder, "git", "tag", "empty")
    run(folder, "dvc", "repro")
    commit(folder, "results")
    return folder


@pytest.fixture
def clone(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone without cache and outputs, which is the current folder."""
    run(tmp_path, "git", "clone", "--quiet", str(origin), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def stale() -> dict[str, tuple[str, ...]]:
    return {stage.name: stage.reasons for stage in check_freshness().stale}


# freshness


def test_a_clone_without_cache_and_outputs_is_up_to_date(clone: Path) -> None:
    assert not (clone / "data/demo").exists()
    assert not (clone / "model.txt").exists()
    assert check_freshness() == Freshness()


def test_the_place_where_it_ran_is_up_to_date_whatever_is_checked_out_from_the_cache(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(origin, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert check_freshness() == Freshness()
    for path in ("model.txt", "data/prepared/prepare.txt"):
        Path(path).unlink()
        Path(path).write_text("of another branch")
    assert check_freshness() == Freshness()


def test_another_way_to_write_a_number_is_up_to_date(clone: Path) -> None:
    edit("params.yaml", "0.00001", "1e-05")
    assert stale() == {}


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (
            "params.yaml",
            "lr: 0.00001",
            "lr: 0.1",
            {"train": ("`train.lr` is `0.1`, it ran with `1e-05`",), "evaluate": ()},
        ),
        (
            "params.yaml",
            "  epochs: 2\n",
            "",
            {"train": ("`train.epochs` is nothing, it ran with `2`",), "evaluate": ()},
        ),
        (
            "params.yaml",
            "seed: 0",
            "seed: 1",
            {
                "data/dvc.yaml:garden": ("`garden.seed` is `1`, it ran with `0`",),
                "prepare": (),
                "train": (),
                "evaluate": (),
            },
        ),
        ("code/train/loop.txt", "l", "L", {"train": ("`code/train` changed",), "evaluate": ()}),
        ("evaluation.json", "0.5", "1", {"evaluate": ("`evaluation.json` is not what it wrote",)}),
        ("dvc.yaml", "cp code/ev", "cp  code/ev", {"evaluate": ("its command changed",)}),
        (
            "dvc.yaml",
            "deps: [model.txt]",
            "deps: [model.txt, code/loss.csv]",
            {"evaluate": ("`code/loss.csv` is a new dependency",)},
        ),
        (
            "dvc.yaml",
            "outs: [model.txt]",
            "outs: [model.txt, more.txt]",
            {"train": ("`more.txt` is a new output",), "evaluate": ()},
        ),
    ],
)  # fmt: skip
def test_what_changed_is_named_with_what_would_run(
    clone: Path, path: str, old: str, new: str, expected: dict[str, tuple[str, ...]]
) -> None:
    edit(path, old, new)
    assert stale() == expected


def test_a_tracked_file_that_is_missing_would_run_its_stage(clone: Path) -> None:
    (clone / "loss.csv").unlink()
    assert stale() == {"train": ("`loss.csv` is missing",), "evaluate": ()}
    (clone / "code/prepare.txt").unlink()
    assert stale()["prepare"] == ("`code/prepare.txt` is missing",)


def test_two_branches_locks_merged_line_by_line_are_stale(clone: Path) -> None:
    """One branch's train with the other's prepare: neither ran with the other."""
    lock = (clone / "dvc.lock").read_text()
    at = lock.rindex("md5: ", 0, lock.index("  train:"))
    (clone / "dvc.lock").write_text(f"{lock[:at]}md5: 0{lock[at + 6 :]}")
    assert stale() == {
        "train": ("`data/prepared` is not the one that it ran with",),
        "evaluate": (),
    }


def test_a_lock_with_conflict_marks_is_stale(clone: Path) -> None:
    edit("dvc.lock", "stages:\n", "<<<<<<< HEAD\nstages:\n")
    assert stale() == {
        "all stages": ("`dvc.lock` is not valid YAML, as after a merge conflict: remove it",)
    }


def test_without_a_lock_nothing_has_run(clone: Path) -> None:
    (clone / "dvc.lock").unlink()
    assert stale() == dict.fromkeys(["prepare", "train", "evaluate"], ("it has not run yet",))


@pytest.mark.parametrize("photos", ["/nowhere/photos", "data/photos"])
def test_photos_that_are_not_here_are_named_not_judged(clone: Path, photos: str) -> None:
    for path in ("params.yaml", "dvc.lock"):
        edit(path, "data/demo", photos)
    assert check_freshness() == Freshness(unchecked=(photos,))


def test_photos_that_dvc_tracks_are_compared_by_their_hash(clone: Path) -> None:
    for path in ("params.yaml", "dvc.lock"):
        edit(path, "data/demo", "data/photos")
    lock = (clone / "dvc.lock").read_text()
    digest = lock.split("path: data/photos")[1].split("md5: ")[1].split()[0]
    dvc_file = clone / "data/photos.dvc"
    dvc_file.write_text(f"outs:\n- {{md5: {digest}, hash: md5, path: photos}}\n")
    assert check_freshness() == Freshness()
    edit("data/photos.dvc", digest[:4], "0000")
    assert stale()["prepare"] == ("`data/photos` is not the one that it ran with",)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("dvc.yaml", "stages: [", "dvc.yaml: is not valid YAML; mend it first"),
        ("dvc.yaml", "stages: 1", "DVC can't read the pipeline: "),
    ],
)
def test_a_broken_pipeline_is_one_clear_line(
    clone: Path, path: str, content: str, message: str
) -> None:
    (clone / path).write_text(content)
    with pytest.raises(UserError) as caught:
        check_freshness()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_folder_without_dvc_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run from the project's folder"):
        check_freshness()


def test_a_folder_inside_the_project_is_one_clear_line(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone / "code")
    with pytest.raises(UserError, match=r"dvc.yaml: not found; run from the project's folder"):
        check_freshness()


def test_a_file_that_cannot_be_read_is_one_clear_line(clone: Path) -> None:
    (clone / "params.yaml").unlink()
    (clone / "params.yaml").mkdir()
    with pytest.raises(UserError, match=r"params.yaml: cannot be read: Is a directory"):
        compare("main")


# revisions


def test_a_branch_that_is_only_at_the_origin_is_found(clone: Path) -> None:
    run(clone, "git", "checkout", "--quiet", "-b", "mine")
    run(clone, "git", "branch", "--delete", "--quiet", "main")
    assert git.find_revision("main").name == "origin/main"
    assert git.find_revision("HEAD~1").commit == git.find_revision("empty").commit


def test_an_experiment_is_found_by_its_name(clone: Path) -> None:
    head = git.find_revision("HEAD").commit
    run(clone, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/slow-one", "HEAD~1")
    assert git.find_revision("slow-one") == Revision("slow-one", git.find_revision("HEAD~1").commit)


@pytest.mark.parametrize("name", ["nowhere", "--all", "", "HEAD:dvc.yaml", "*"])
def test_a_base_that_is_no_commit_is_one_clear_line(clone: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such commit in this clone") as caught:
        git.find_revision(name)
    assert "\n" not in str(caught.value)


def test_a_folder_without_git_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="not a git repository"):
        git.find_revision("main")


def test_commits_of_the_base_that_are_not_here_are_counted(clone: Path) -> None:
    run(clone, "git", "checkout", "--quiet", "-b", "old", "HEAD~1")
    assert git.commits_behind(git.find_revision("main")) == 1
    assert git.commits_behind(git.find_revision("HEAD")) == 0


# the command


@pytest.fixture
def report(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the command in the clone; return what it printed."""

    def run_it(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["report", *options])
        main()
        return capsys.readouterr().out

    return run_it


def test_nothing_changed(clone: Path, report: Callable[..., str]) -> None:
    printed = report("--base", "main", "--strict", "--output", "out")
    assert printed.splitlines() == [
        "- **dvc.lock is up to date** with the code and the parameters.",
        "- **No results yet:** run `dvc repro` and commit dvc.lock and metrics/.",
        "",
        f"the whole report: out/{PAGE}",
    ]
    page = (clone / "out" / PAGE).read_text()
    assert "### Parameters\n\nNone changed." in page


def test_strict_ends_with_another_code_when_stale_but_writes_the_report(
    clone: Path, report: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    edit("params.yaml", "lr: 0.00001", "lr: 0.1")
    report()
    with pytest.raises(SystemExit) as ended:
        report("--strict")
    assert ended.value.code == STALE
    assert capsys.readouterr().err.startswith("dvc.lock is stale: `dvc repro`, then commit")
    page = (clone / "report" / PAGE).read_text()
    assert "## `main + uncommitted changes` against `main`" in page
    assert "| `train.lr` | `1e-05` | `0.1` |" in page


def test_a_base_without_results(clone: Path, report: Callable[..., str]) -> None:
    """Also where results are read, the curves are there: this pipeline writes the real names."""
    (clone / "metrics").mkdir()
    for name in ("loss.csv", "evaluation.json"):
        (clone / "metrics" / name).write_text((clone / "code" / name).read_text())
    assert "**Accuracy 50.0%**; `empty` has no results yet." in report("--base", "empty")
    page = (clone / "report" / PAGE).read_text()
    assert f"![Loss by epoch, before and after]({PICTURE})" in page
    assert (clone / "report" / PICTURE).read_bytes().startswith(b"\x89PNG")
    report("--base", "empty", "--mermaid")
    assert "line [2.0000, 1.0000]" in (clone / "report" / PAGE).read_text()
