"""The report in clones of a small pipeline under real DVC, without its cache and its outputs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo

from stages.common.errors import UserError
from tests.conftest import ROOT
from tests.project import Project
from tools.report import git
from tools.report.__main__ import PAGE, STALE, main
from tools.report.comparison import compare_with_base
from tools.report.snapshot import file_here, read_snapshot
from tools.report.staleness import Staleness, check_staleness

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


@pytest.fixture(scope="module")
def fresh_clone(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    run(origin, "git", "clone", "--quiet", str(origin), str(folder))
    return folder


@pytest.fixture
def clone(fresh_clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone without cache and outputs, which is the current folder."""
    shutil.copytree(fresh_clone, tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def check() -> Staleness:
    return check_staleness(read_snapshot(file_here).params)


def stale() -> dict[str, list[str]]:
    return check().stale


# staleness


def test_a_clone_without_cache_and_outputs_is_up_to_date(clone: Path) -> None:
    assert not (clone / "data/demo").exists()
    assert not (clone / "model.txt").exists()
    assert check() == Staleness()


def test_the_place_where_it_ran_is_up_to_date_whatever_is_checked_out_from_the_cache(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(origin, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert check() == Staleness()
    for path in ("model.txt", "data/prepared/prepare.txt"):
        Path(path).unlink()
        Path(path).write_text("of another branch")
    assert check() == Staleness()


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
            {"train": ["`train.lr` modified"]},
        ),
        (
            "params.yaml",
            "  epochs: 2\n",
            "",
            {"train": ["`train.epochs` modified"]},
        ),
        (
            "params.yaml",
            "seed: 0",
            "seed: 1",
            {"data/dvc.yaml:garden": ["`garden.seed` modified"]},
        ),
        ("code/train/loop.txt", "l", "L", {"train": ["`code/train` modified"]}),
        ("evaluation.json", "0.5", "1", {"evaluate": ["`evaluation.json` modified"]}),
        ("dvc.yaml", "cp code/ev", "cp  code/ev", {"evaluate": ["changed command"]}),
        (
            "dvc.yaml",
            "deps: [model.txt]",
            "deps: [model.txt, code/loss.csv]",
            {"evaluate": ["`code/loss.csv` new"]},
        ),
        (
            "dvc.yaml",
            "deps: [model.txt]",
            "deps: [model.txt, data/prepared]",
            {"evaluate": ["`data/prepared` new"]},
        ),
        (
            "dvc.yaml",
            "outs: [model.txt]",
            "outs: [model.txt, more.txt]",
            {"train": ["`more.txt` new"]},
        ),
    ],
)  # fmt: skip
def test_what_changed_is_named_with_what_would_run(
    clone: Path, path: str, old: str, new: str, expected: dict[str, list[str]]
) -> None:
    edit(path, old, new)
    assert stale() == expected


def test_a_tracked_file_that_is_missing_would_run_its_stage(clone: Path) -> None:
    (clone / "loss.csv").unlink()
    assert stale() == {"train": ["`loss.csv` deleted"]}
    (clone / "code/prepare.txt").unlink()
    assert stale()["prepare"] == ["`code/prepare.txt` deleted"]


def test_two_branches_locks_merged_line_by_line_are_stale(clone: Path) -> None:
    """One branch's train with the other's prepare: neither ran with the other."""
    lock = (clone / "dvc.lock").read_text()
    at = lock.rindex("md5: ", 0, lock.index("  train:"))
    (clone / "dvc.lock").write_text(f"{lock[:at]}md5: 0{lock[at + 6 :]}")
    assert stale() == {"train": ["`data/prepared` is not what it ran with"]}


def test_a_lock_with_conflict_marks_is_stale(clone: Path) -> None:
    edit("dvc.lock", "stages:\n", "<<<<<<< HEAD\nstages:\n")
    (reason,) = stale()["all stages"]
    assert re.fullmatch("`.*dvc.lock.*possible merge conflicts.*`; remove that file", reason)


def test_the_gardens_lock_with_conflict_marks_is_stale(clone: Path) -> None:
    edit("data/dvc.lock", "stages:\n", "<<<<<<< HEAD\nstages:\n")
    assert [*stale()] == ["all stages"]


@pytest.mark.parametrize(
    "lock",
    [
        b"", b"[]", b"1", b"\0", b"\xff\xfe", b"stages: 1", b"stages: []", b"stages: {train: 1}",
        b"schema: '2.0'\nstages: {train: {deps: [1]}}", b"schema: '2.0'\nstages: &a {}",
        b"schema: '2.0'\nstages: {}\nstages: {}", b"schema: '3.0'\nstages: {}",
        b"schema: '2.0'\nstages: {train: {cmd: x, deps: [{path: a, md5: b, size: big}]}}",
    ],
)  # fmt: skip
def test_a_lock_that_dvc_did_not_write_is_stale(clone: Path, lock: bytes) -> None:
    (clone / "dvc.lock").write_bytes(lock)
    assert stale()


def test_a_git_checkout_that_no_dvc_checkout_followed_is_up_to_date(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other branch's outputs from the cache lie in the working tree."""
    shutil.copytree(origin, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    run(tmp_path / "copy", "git", "checkout", "--quiet", "-b", "other")
    edit("code/prepare.txt", "prepare", "other")
    run(tmp_path / "copy", "dvc", "repro")
    commit(tmp_path / "copy")
    assert check() == Staleness()
    run(tmp_path / "copy", "git", "checkout", "--quiet", "main")
    assert Path("model.txt").read_text() == "other\n"
    assert check() == Staleness()


def test_without_a_lock_nothing_has_run(clone: Path) -> None:
    (clone / "dvc.lock").unlink()
    assert stale() == {stage: ["it has not run yet"] for stage in ("prepare", "train", "evaluate")}


@pytest.mark.parametrize("photos", ["/nowhere/photos", "data/photos"])
def test_photos_that_are_not_here_are_named_not_judged(clone: Path, photos: str) -> None:
    for path in ("params.yaml", "dvc.lock"):
        edit(path, "data/demo", photos)
    assert check() == Staleness(unchecked=[photos])


def test_photos_that_nothing_makes_are_compared_where_they_are(clone: Path) -> None:
    for path in ("params.yaml", "dvc.lock"):
        edit(path, "data/demo", "data/photos")
    (clone / "data/photos").mkdir()
    (clone / "data/photos/1.jpg").write_text("another photo\n")
    assert stale() == {"prepare": ["`data/photos` modified"]}


def test_photos_that_dvc_tracks_are_compared_by_their_hash(clone: Path) -> None:
    for path in ("params.yaml", "dvc.lock"):
        edit(path, "data/demo", "data/photos")
    lock = (clone / "dvc.lock").read_text()
    digest = lock.split("path: data/photos")[1].split("md5: ")[1].split()[0]
    dvc_file = clone / "data/photos.dvc"
    dvc_file.write_text(f"outs:\n- {{md5: {digest}, hash: md5, path: photos}}\n")
    assert check() == Staleness()
    edit("data/photos.dvc", digest[:4], "0000")
    assert stale()["prepare"] == ["`data/photos` is not what it ran with"]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("dvc.yaml", "stages: [", "DVC can't read the pipeline: unable to read: 'dvc.yaml', YAML"),
        ("dvc.yaml", "stages: 1", "DVC can't read the pipeline: "),
        ("dvc.yaml", "stages: {\x1b[2J: {}}", "DVC can't read the pipeline: "),
        ("dvc.yaml", "stages: {'a\u202e': 1}", "DVC can't read the pipeline: "),
        ("dvc.yaml", "stages: {a: {cmd: 'echo ${\u202e\u009b}'}}", "DVC can't read the pipeline: "),
        ("dvc.yaml", "", "dvc.yaml: holds no stages; "),
        ("dvc.yaml", "stages: {}", "dvc.yaml: holds no stages; "),
        ("dvc.yaml", "vars: [params.yaml]", "dvc.yaml: holds no stages; "),
        ("params.yaml", "a: [", "DVC can't read the pipeline: "),
        ("params.yaml", "a: 1\na: 2", "DVC can't read the pipeline: "),
    ],
)
def test_a_broken_pipeline_is_one_clear_line(
    clone: Path, path: str, content: str, message: str
) -> None:
    (clone / path).write_text(content)
    with pytest.raises(UserError) as caught:
        check()
    assert str(caught.value).startswith(message)
    assert str(caught.value).isprintable()


def test_what_dvc_says_reaches_the_terminal_without_escapes(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(*_: object, **__: object) -> None:
        raise DvcException("\x1b[2Jno '\u202e'\nmore")

    monkeypatch.setattr(Repo, "status", status)
    with pytest.raises(UserError) as caught:
        check_staleness({})
    shown = r"DVC can't read the pipeline: \x1b[2Jno '\u202e'; try `dvc status`"
    assert str(caught.value) == shown


def test_a_folder_without_dvc_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run from the project's folder"):
        check()


def test_a_folder_inside_the_project_is_one_clear_line(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone / "code")
    with pytest.raises(UserError, match=r"dvc.yaml: not found; run from the project's folder"):
        check()


def test_parameters_that_cannot_be_read_are_one_clear_line(clone: Path) -> None:
    (clone / "params.yaml").unlink()
    (clone / "params.yaml").mkdir()
    with pytest.raises(UserError, match=r"DVC can't read the pipeline: .*params.yaml") as caught:
        compare_with_base("main")
    assert "\n" not in str(caught.value)


# revisions


def test_a_branch_that_is_only_at_the_origin_is_found(clone: Path) -> None:
    run(clone, "git", "checkout", "--quiet", "-b", "mine")
    run(clone, "git", "branch", "--delete", "--quiet", "main")
    assert git.find_commit("main")[0] == "origin/main"
    assert git.find_commit("HEAD~1")[1] == git.find_commit("empty")[1]


def test_an_experiment_is_found_by_its_name(clone: Path) -> None:
    _, head = git.find_commit("HEAD")
    run(clone, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/slow-one", "HEAD~1")
    assert git.find_commit("slow-one") == ("slow-one", git.find_commit("HEAD~1")[1])


NO_COMMITS = [
    "nowhere", "--all", "-x", "", " ", "HEAD:dvc.yaml", "*", "^main", "^HEAD", "main..HEAD",
    "main...HEAD", "..", "HEAD^!", "HEAD^@", "main\n", "\x1b[2J", "a" * 5000,
]  # fmt: skip


def test_a_base_that_is_no_commit_is_one_clear_line(clone: Path) -> None:
    for name in NO_COMMITS:
        with pytest.raises(UserError, match=r"--base .*: no such commit in this clone; ") as caught:
            git.find_commit(name)
        assert "\n" not in str(caught.value), name


def test_a_folder_without_git_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="not a git repository"):
        git.find_commit("main")


def test_commits_of_the_base_that_are_not_here_are_counted(clone: Path) -> None:
    run(clone, "git", "checkout", "--quiet", "-b", "old", "HEAD~1")
    assert git.commits_behind(git.find_commit("main")[1]) == 1
    assert git.commits_behind(git.find_commit("HEAD")[1]) == 0


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
        "- **No accuracy:** run `dvc repro`, then commit dvc.lock and metrics/.",
        "",
        f"the complete report: out/{PAGE}",
    ]
    page = (clone / "out" / PAGE).read_text()
    assert "### Parameters\n\nNo parameter changed." in page


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
    assert "**Accuracy 50.0%**; `empty` has none." in report("--base", "empty")
    assert "line [2.0000, 1.0000]" in (clone / "report" / PAGE).read_text()


def test_a_strangers_branch_reaches_neither_the_page_nor_the_terminal_raw(
    clone: Path, report: Callable[..., str]
) -> None:
    hostile = "\x1b[2J\u202e@octocat <img src=x>"
    run(clone, "git", "checkout", "--quiet", "-b", "<b>@x\u202e")
    (clone / "metrics").mkdir()
    metrics = {"accuracy": 0.5, hostile: 1, "classes": {hostile: {"f1": 1}}}
    (clone / "metrics/evaluation.json").write_text(json.dumps(metrics))
    (clone / "metrics/prepare.json").write_text(json.dumps({hostile: "x"}))
    (clone / "params.yaml").write_text(f"{FILES['params.yaml']}'@octocat <img>': '[x](y)'\n")
    commit(clone)
    printed = report("--base", "main")
    page = (clone / "report" / PAGE).read_text()
    for text in (printed, page):
        assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]
        outside = re.sub(r"`[^`\n]+`", "", text)
        assert not re.search("octocat|img|<b>|@x", outside)
    assert r"## `<b>@x\u202e` against `main`" in page
    assert r"| `\x1b[2J\u202e@octocat <img src=x>` |  | 1 |" in page


def test_a_link_out_of_the_project_is_not_followed_into_a_device(clone: Path) -> None:
    (clone / "metrics").mkdir()
    (clone / "metrics/evaluation.json").symlink_to("/dev/zero")
    (clone / "metrics/loss.csv").mkdir()
    assert compare_with_base("main").after.problems == (
        "`metrics/evaluation.json`: `is a link, or behind one`",
        "`metrics/loss.csv`: `is not a regular file`",
    )


def test_a_folder_in_a_files_place_at_the_base_is_no_file(clone: Path) -> None:
    (clone / "metrics/loss.csv").mkdir(parents=True)
    (clone / "metrics/loss.csv/x").touch()
    commit(clone)
    with pytest.raises(ValueError, match="is a link or a folder"):
        git.file_at("HEAD", "metrics/loss.csv")
    assert git.file_at("HEAD", "dvc.yaml") == PIPELINE.encode()


def damage_index(clone: Path) -> None:
    content = bytearray((clone / ".git/index").read_bytes())
    content[0] ^= 0xFF
    (clone / ".git/index").write_bytes(content)


def lose_object(clone: Path) -> None:
    """Lose the commit of an experiment."""
    ref = clone / ".git/refs/exps/ab/cdef/lost"
    ref.parent.mkdir(parents=True)
    ref.write_text("1" * 40 + "\n")


def lose_blob(clone: Path) -> None:
    edit("params.yaml", "seed: 0", "seed: 1")
    commit(clone)
    digest = run(clone, "git", "rev-parse", "HEAD:params.yaml").strip()
    (clone / f".git/objects/{digest[:2]}/{digest[2:]}").unlink()


def belong_to_another(clone: Path) -> None:
    os.environ["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (damage_index, r"^git \S+: .*index file corrupt"),
        (lose_object, r"^git for-each-ref: .*missing object 1{40} for refs/exps/ab/cdef/lost"),
        (lose_blob, r"^git \S+: .*([0-9a-f]{40}|could not get object info)"),
        (belong_to_another, r"^git rev-parse: .*dubious ownership"),
        (lambda clone: shutil.rmtree(clone / ".git"), r"^git rev-parse: .*not a git repository"),
    ],
)
def test_what_git_cannot_tell_is_no_empty_answer(
    clone: Path, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[Path], None], message: str
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "0")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(clone.parent))
    break_it(clone)
    with pytest.raises(UserError, match=message) as raised:
        compare_with_base("main")
    assert len(str(raised.value).splitlines()) == 1


def test_a_branch_comes_before_a_tag_of_its_name(clone: Path) -> None:
    run(clone, "git", "tag", "main", "empty")
    branch = run(clone, "git", "rev-parse", "refs/heads/main").strip()
    assert git.find_commit("main") == ("main", branch)


def test_a_frozen_stage_with_other_parameters_is_said_to_be_frozen(clone: Path) -> None:
    edit("dvc.yaml", "  prepare:\n", "  prepare:\n    frozen: true\n")
    assert check().frozen == {}
    edit("params.yaml", "side: 32", "side: 64")
    assert stale() == {}
    assert check().frozen == {"prepare": ["prepare.side"]}


def test_a_wrong_base_ends_with_1_in_one_line(clone: Path) -> None:
    command = [sys.executable, "-m", "tools.report", "--base=-x"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"--base .*: no such commit in this clone; .*\n", done.stderr)
