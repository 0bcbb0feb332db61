"""What is compared: the working tree, a base, and whether results are stale."""

import subprocess
from pathlib import Path

import pytest

from tools.report.comparison import compare
from tools.report.staleness import Staleness


def test_the_working_tree_is_compared_with_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    asked = []

    def check(params: dict[str, object] | None) -> Staleness:
        asked.append(params)
        return Staleness({"train": ["train.lr"]})

    monkeypatch.setattr("tools.report.comparison.check_staleness", check)
    monkeypatch.chdir(tmp_path)
    evaluation = Path("metrics/evaluation.json")
    evaluation.parent.mkdir()
    evaluation.write_text('{"accuracy": 0.5}')
    Path("params.yaml").write_text("train: {lr: 1}")
    run_git("init", "--initial-branch", "main")
    run_git("add", ".")
    run_git("commit", "--message", "first")
    run_git("switch", "--create", "wide")
    evaluation.write_text('{"accuracy": 0.75}')
    Path("metrics/loss.csv").write_text("nonsense")
    run_git("switch", "main")
    run_git("commit", "--allow-empty", "--message", "second")
    run_git("switch", "wide")
    both = compare("main")
    assert (both.base, both.here, both.behind) == ("main", "wide + uncommitted changes", 1)
    assert (both.before.evaluation, both.after.evaluation) == (
        {"accuracy": 0.5},
        {"accuracy": 0.75},
    )
    assert both.metrics["accuracy"].verdict == "better"
    assert both.after.problems[0].startswith("`metrics/loss.csv`")
    assert asked == [{"train.lr": 1}]
    assert both.staleness.stale == {"train": ["train.lr"]}
    evaluation.write_text('{"accuracy": 0.5}')
    run_git("add", "metrics/loss.csv")
    run_git("commit", "--message", "odd")
    assert compare("wide").before.problems[0].startswith("`wide:metrics/loss.csv`")
    run_git("commit", "--allow-empty", "--message", "results of an experiment")
    run_git("update-ref", "refs/exps/ab/cdef/bold", "HEAD")
    run_git("reset", "--hard", "HEAD^")
    assert (compare("bold").base, compare("bold").behind) == ("bold", 0)
