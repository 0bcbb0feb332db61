"""The pull-request workflow: its shell steps under real DVC, with a bare repository as origin."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.project import Project
from tools.report.__main__ import PAGE, STALE
from tools.report.page import MARKER

TEXT = (ROOT / ".github/workflows/pipeline.yml").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
OURS, THEIRS = "github-actions[bot]", "somebody"

GATE = "Report; fails when dvc.lock is stale"
RERUN = "Run what is stale, where a remote has the data"
PUBLISH = "Publish the report"
COMMENT = "Write the report into one comment"

FAKE_GH = """\
#!/bin/sh
# Writes down its arguments; a list of comments is filtered as GitHub's client would.
for argument in "$@"; do printf '%s\\0' "$argument"; done >> "$CALLS"
printf '\\n' >> "$CALLS"
case "$*" in *--paginate*) eval "filter=\\${$#}"; jq --raw-output "$filter" "$COMMENTS" ;; esac
"""


class Runner:
    """Runs the workflow's steps in a clone, as GitHub's runner does."""

    def __init__(self, clone: Project, folder: Path) -> None:
        self.clone = clone
        self.summary, self.output = folder / "summary", folder / "output"
        self.context = {"github.base_ref": "main", "secrets.DVC_CONFIG_LOCAL": ""}

    def step(self, job: str, name: str, code: int = 0, **environment: str) -> str:
        """Run a step; return what it printed."""
        step = next(s for s in WORKFLOW["jobs"][job]["steps"] if s.get("name") == name)
        declared = WORKFLOW["jobs"][job].get("env", {}) | step.get("env", {})
        variables = {key: self.filled(value) for key, value in declared.items()}
        files = {"GITHUB_STEP_SUMMARY": str(self.summary), "GITHUB_OUTPUT": str(self.output)}
        bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
        return self.clone.run(*bash, step["run"], code=code, **variables, **files, **environment)

    def filled(self, text: str) -> str:
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: self.context[found[1]], text)

    def page(self) -> str:
        """Return the step's output, as the next job gets it."""
        first, *lines = self.output.read_text().splitlines(keepends=True)
        end = first.removeprefix("page<<")
        assert lines[-1] == end
        return "".join(lines[:-1])


@pytest.fixture
def developer(finished: Project, tmp_path: Path) -> Project:
    """A developer's clone with cache, on a new branch, of an origin that holds the first run."""
    developer = finished.copy(tmp_path / "developer")
    developer.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "origin.git"))
    developer.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    developer.run("git", "checkout", "--quiet", "-b", "slow")
    return developer


def push(developer: Project) -> None:
    developer.run("git", "add", "--all")
    developer.run("git", "commit", "--quiet", "--message", "a slower start")
    developer.run("git", "push", "--quiet", "origin", "slow")


def check_out(tmp_path: Path) -> Runner:
    """Clone as the workflow does: all history, on the merge of main and the branch."""
    clone = Project(tmp_path / "clone")
    clone.folder.mkdir()
    clone.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), ".")
    clone.run("git", "checkout", "--quiet", "--detach", "origin/main")
    clone.run("git", "merge", "--quiet", "--no-ff", "--message", "merge", "origin/slow")
    return Runner(clone, tmp_path)


def test_an_experiment_is_committed_and_reported(developer: Project, tmp_path: Path) -> None:
    developer.run("dvc", "exp", "run", "-S", "evaluate.answered_fraction=0.9")
    push(developer)
    runner = check_out(tmp_path)
    runner.step("report", GATE)
    runner.step("report", PUBLISH)
    page = runner.page()
    assert page == runner.summary.read_text()
    assert page.startswith(MARKER)
    assert "against `origin/main`" in page
    assert "**dvc.lock is up to date**" in page
    assert "| `evaluate.answered_fraction` | `0.95` | `0.9` |" in page
    assert "McNemar's exact test" in page or "none became right or wrong" in page
    assert "| `accuracy` | 0." in page
    assert "```mermaid" in page


def test_a_stale_lock_fails_and_what_is_stale_is_run_where_a_remote_is(
    developer: Project, tmp_path: Path
) -> None:
    config = f"['remote \"store\"']\n    url = {tmp_path / 'store'}\n[core]\n    remote = store"
    (developer.folder / ".dvc/config.local").write_text(config)
    developer.run("dvc", "push", "--run-cache")
    developer.set("evaluate", "answered_fraction", 0.9)
    push(developer)
    runner = check_out(tmp_path)
    printed = runner.step("report", GATE, code=STALE)
    assert "dvc.lock is stale: `dvc repro`, then commit dvc.lock and metrics/" in printed
    page = runner.clone.folder / "report" / PAGE
    assert "would run `evaluate` (`evaluate.answered_fraction` modified)" in page.read_text()

    assert "no DVC remote for this pull request" in runner.step("report", RERUN)
    runner.context["secrets.DVC_CONFIG_LOCAL"] = config
    printed = runner.step("report", RERUN)
    assert [line for line in printed.splitlines() if "Running stage" in line] == [
        "Running stage 'evaluate':"
    ]
    assert "**dvc.lock is up to date**" in page.read_text()
    assert page.read_text().endswith("and they are not committed.\n")


def test_the_remotes_drivers_are_installed_before_the_pull(
    developer: Project, tmp_path: Path
) -> None:
    (developer.folder / "Makefile").write_text("setup:\n\t@echo asked for $(EXTRAS); exit 1\n")
    developer.run("dvc", "remote", "add", "other", "webdavs://server/path")
    push(developer)
    runner = check_out(tmp_path)
    runner.context["secrets.DVC_CONFIG_LOCAL"] = "['remote \"store\"']\n    url = s3://bucket/path"
    assert "asked for s3 webdav\n" in runner.step("report", RERUN, code=2)


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq")
@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        ([], ["repos/o/r/issues/7/comments"]),
        ([(5, THEIRS, MARKER), (6, OURS, "else")], ["repos/o/r/issues/7/comments"]),
        (
            [(5, THEIRS, MARKER), (8, OURS, f"{MARKER}\nold"), (9, OURS, MARKER)],
            ["--method", "PATCH", "repos/o/r/issues/comments/8"],
        ),
    ],
)
def test_the_comment_is_written_once_then_kept_up(
    tmp_path: Path, comments: list[tuple[int, str, str]], expected: list[str]
) -> None:
    runner = Runner(Project(tmp_path), tmp_path)
    page = f"{MARKER}\n\n$(false) `a` \"b\" 'c' @d\n"
    runner.context |= {
        "github.token": "token",
        "github.event.pull_request.number": "7",
        "needs.report.outputs.page": page,
    }
    (tmp_path / "gh").write_text(FAKE_GH)
    (tmp_path / "gh").chmod(0o755)
    listed = [{"id": i, "user": {"login": who}, "body": body} for i, who, body in comments]
    (tmp_path / "comments.json").write_text(json.dumps(listed))
    # The project's tools come first in PATH, so the fake is put where the shell looks even earlier.
    step = next(s for s in WORKFLOW["jobs"]["comment"]["steps"] if s["name"] == COMMENT)
    environment: dict[str, str] = {key: runner.filled(value) for key, value in step["env"].items()}
    environment |= {
        "GITHUB_REPOSITORY": "o/r",
        "CALLS": str(tmp_path / "calls"),
        "COMMENTS": str(tmp_path / "comments.json"),
    }
    script = f'PATH="{tmp_path}{os.pathsep}$PATH"\n{step["run"]}'
    runner.clone.run("bash", "-eo", "pipefail", "-c", script, code=0, **environment)
    *_, last = (tmp_path / "calls").read_text().split("\0\n")[:-1]
    arguments = last.split("\0")
    assert arguments == ["api", "--silent", *expected, "--raw-field", f"body={page}"]


# What GitHub would do with it


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_leave_no_credentials(path: Path) -> None:
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_a_fork_reaches_neither_secrets_nor_a_token_that_writes() -> None:
    assert set(WORKFLOW[True]) == {"pull_request"}  # YAML 1.1 reads `on` as true
    assert WORKFLOW["permissions"] == {}
    report, comment = WORKFLOW["jobs"]["report"], WORKFLOW["jobs"]["comment"]
    assert report["permissions"] == {"contents": "read"}
    assert comment["permissions"] == {"pull-requests": "write"}
    assert [step.get("uses") for step in comment["steps"]] == [None]
    assert "head.repo.full_name == github.repository" in comment["if"]


def test_nothing_that_a_pull_requests_author_chose_is_in_a_script() -> None:
    for job in WORKFLOW["jobs"].values():
        assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]


def test_the_comment_is_found_by_the_pages_first_line() -> None:
    assert f'startswith("{MARKER}")' in TEXT
    assert f"hashFiles('report/{PAGE}')" in TEXT
