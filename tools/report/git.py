"""What the report asks Git: which commit a name means, and what a file holds there."""

import subprocess

from stages.common.errors import UserError
from stages.evaluate.markdown import plain


def find_commit(name: str) -> tuple[str, str]:
    """Return what this clone calls the commit that `name` means, and the commit itself.

    A branch that only the origin has, as in CI's clones, is looked up there. What is neither may
    be the name of a DVC experiment, refs/exps/.../name.
    """
    here = _run("rev-parse", "--git-dir")
    if here.returncode != 0:
        raise UserError(f"git: {plain(here.stderr.decode(errors='replace'), 200)}")
    newest_first = reversed(experiments())
    for candidate, shown in (
        (name, name),
        (f"origin/{name}", f"origin/{name}"),
        *((commit, name) for experiment, commit in newest_first if experiment == name),
    ):
        commit = _commit(candidate)
        if commit:
            return shown, commit
    raise UserError(
        f"--base {plain(name)}: no such commit in this clone; name a branch, a tag, a commit or an "
        "experiment, or fetch it first: `git fetch` (in a shallow clone `git fetch --unshallow`)"
    )


def experiments() -> list[tuple[str, str]]:
    """Return name and commit of this clone's DVC experiments, from the oldest to the newest."""
    form = "--format=%(refname) %(objectname)"
    refs = _ask("for-each-ref", "--sort=committerdate", form, "refs/exps/").splitlines()
    pairs = [ref.split(" ") for ref in refs]
    # refs/exps/<two digits>/<baseline>/<name>; the others are DVC's own
    return [(ref.rpartition("/")[2], commit) for ref, commit in pairs if ref.count("/") == 4]


def working_tree() -> str:
    """Name what is checked out, with a note when it differs from the commit."""
    branch = _ask("symbolic-ref", "--quiet", "--short", "HEAD") or _commit("HEAD")[:7]
    changed = _ask("status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{branch} + uncommitted changes" if changed else branch


def commits_behind(commit: str) -> int:
    """Count the commits up to `commit` that HEAD lacks; 0 where a shallow clone can't tell."""
    if _ask("rev-parse", "--is-shallow-repository") == "true":
        return 0
    if commit in {experiment for _, experiment in experiments()}:
        commit += "^"  # its own commit only holds its results
    return int(_ask("rev-list", "--count", f"HEAD..{commit}") or 0)


def file_at(commit: str, path: str) -> bytes | None:
    """Return what a file in this folder holds at a commit, None if there is no such file."""
    result = _run("cat-file", "blob", f"{commit}:./{path}")
    return result.stdout if result.returncode == 0 else None


def changed_files(commit: str, *paths: str) -> list[str]:
    """Return the tracked files below some paths that are not as they were at a commit."""
    result = _run("diff", "--name-only", "--relative", commit, "--", *paths)
    if result.returncode != 0:
        raise UserError(f"git: {plain(result.stderr.decode(errors='replace'), 200)}")
    return result.stdout.decode(errors="replace").splitlines()


def tracks(path: str) -> bool:
    """Tell whether Git would keep a path: it is in the repository and not ignored."""
    return _run("check-ignore", "--quiet", "--", path).returncode == 1


def _commit(name: str) -> str:
    """Return the commit that a name means; empty if it means none, a range or ``^main``."""
    commit = _ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return commit if commit.isalnum() else ""


def _ask(*arguments: str) -> str:
    """Return what Git answers, nothing if it fails."""
    result = _run(*arguments)
    return result.stdout.decode(errors="replace").strip() if result.returncode == 0 else ""


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True)
    except FileNotFoundError as error:
        raise UserError("git: not found; install Git, and run this in a clone") from error
