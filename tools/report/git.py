"""What the report asks Git: which commit a name means, and what a file holds there."""

import os
import subprocess
from pathlib import Path

from stages.common.errors import UserError
from stages.evaluate.markdown import plain
from tools.report.snapshot import largest


def find_commit(name: str) -> tuple[str, str]:
    """Return what this clone calls the commit that `name` means, and the commit itself.

    A branch comes before a tag of its name. One that only the origin has, as in CI's clones, is
    looked up there. What is none may be the name of a DVC experiment, refs/exps/.../name.
    """
    _ask("rev-parse", "--git-dir")
    newest_first = reversed(experiments())
    for candidate, shown in (
        (f"refs/heads/{name}", name),
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
    branch = _ask("symbolic-ref", "--quiet", "--short", "HEAD", no=1) or _commit("HEAD")[:7]
    changed = _ask("status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{branch} + uncommitted changes" if changed else branch


def commits_behind(commit: str) -> int:
    """Count the commits up to `commit` that HEAD lacks; 0 where a shallow clone can't tell."""
    if _ask("rev-parse", "--is-shallow-repository") == "true":
        return 0
    if commit in {experiment for _, experiment in experiments()}:
        commit += "^"  # its own commit only holds its results
    return int(_ask("rev-list", "--count", f"HEAD..{commit}"))


def file_at(commit: str, path: str) -> bytes | None:
    """Return what a file in this folder holds at a commit, None if there is no such file.

    Raises
    ------
    ValueError
        If it is a link, or too large.
    """
    entry = _ask("ls-tree", commit, "--", f"./{path}")
    if not entry:
        return None
    mode, kind, digest, *_ = entry.split()
    if kind != "blob" or mode == "120000":
        raise ValueError("is a link or a folder")
    size = int(_ask("cat-file", "-s", digest))
    if size > largest(path):
        raise ValueError(f"has {size:,} bytes, more than {largest(path):,}")
    return _run("cat-file", "blob", digest).stdout


def changed_files(commit: str, *paths: str) -> list[str]:
    """Return the tracked files below some paths that are not as they were at a commit."""
    return _ask("diff", "--name-only", "--relative", commit, "--", *paths).splitlines()


def tracks(path: str) -> bool:
    """Tell whether Git would keep a path: it is in the repository and not ignored."""
    top = _ask("rev-parse", "--show-toplevel")
    if not Path(os.path.normpath(Path.cwd() / path)).is_relative_to(top):
        return False
    return _run("check-ignore", "--quiet", "--", path, no=1).returncode == 1


def lists(*paths: str) -> bool:
    """Tell whether Git has one of some files, or one below them."""
    return bool(_ask("ls-files", "--", *paths))


def _commit(name: str) -> str:
    """Return the commit that a name means; empty if it means none, a range or ``^main``."""
    revision = f"{name}^{{commit}}"
    commit = _ask("rev-parse", "--verify", "--quiet", "--end-of-options", revision, no=1)
    return commit if commit.isalnum() else ""


def _ask(*arguments: str, no: int = 0) -> str:
    """Return what Git answers; nothing where its exit code is `no`, which says that it is none."""
    result = _run(*arguments, no=no)
    return result.stdout.decode(errors="replace").strip() if result.returncode == 0 else ""


def _run(*arguments: str, no: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Ask Git; that it cannot tell is an error, and no answer."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True)
    except FileNotFoundError as error:
        raise UserError("git: not found; install Git, and run this in a clone") from error
    if result.returncode not in (0, no):
        reason = plain(result.stderr.decode(errors="replace"), 300)
        raise UserError(f"git {arguments[0]}: {reason}; `git fsck` may say more")
    return result
