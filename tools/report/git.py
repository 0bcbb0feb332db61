"""What the report asks Git: which commit a name means, and what a file holds there."""

import subprocess
from dataclasses import dataclass

from stages.common.errors import UserError
from tools.report.markdown import plain

EXPERIMENTS = "refs/exps/"


@dataclass(frozen=True)
class Revision:
    """A side of the comparison."""

    name: str
    """As a reader knows it: a branch, a tag or a short commit."""
    commit: str
    """The full commit; empty before the first one."""


def find_revision(name: str) -> Revision:
    """Return the commit that `name` means.

    A branch that this clone knows only from its origin, as CI's clones do, is taken from there.
    What is neither may be the name of a DVC experiment.

    Raises
    ------
    UserError
        If this is no Git repository, or it has no such commit.
    """
    _git("rev-parse", "--git-dir")
    for candidate in (name, f"origin/{name}", _experiment(name)):
        commit = _commit(candidate)
        if commit:
            return Revision(name if candidate.startswith(EXPERIMENTS) else candidate, commit)
    raise UserError(
        f"--base {plain(name)}: no such commit in this clone; name a branch, a tag, a commit or an "
        "experiment, or get it first: `git fetch` (in a shallow clone `git fetch --unshallow`)"
    )


def working_tree() -> Revision:
    """Name what is checked out here, with a note when it holds more than the commit does."""
    commit = _commit("HEAD")
    branch = _try("symbolic-ref", "--quiet", "--short", "HEAD") or commit[:7]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return Revision(f"{branch} + uncommitted changes" if changed else branch, commit)


def commits_behind(base: Revision) -> int:
    """Count the commits of `base` that are not in here; 0 where a shallow clone can't tell."""
    if _git("rev-parse", "--is-shallow-repository").strip() == b"true":
        return 0
    return int(_try("rev-list", "--count", f"HEAD..{base.commit}") or 0)


def file_at(commit: str, path: str) -> bytes | None:
    """Return what a file holds at a commit, None if there is no such file.

    Parameters
    ----------
    path : str
        Relative to this folder, which need not be the repository's top.
    """
    result = _run("cat-file", "blob", f"{commit}:./{path}")
    return result.stdout if result.returncode == 0 else None


def tracks(path: str) -> bool:
    """Tell whether Git would keep a path: it is in the repository and not ignored."""
    return _run("check-ignore", "--quiet", "--", path).returncode == 1


def _experiment(name: str) -> str:
    """Return the reference of a DVC experiment, refs/exps/.../name; empty if there is none."""
    references = _try("for-each-ref", "--format=%(refname)", EXPERIMENTS).splitlines()
    return next((each for each in references if each.endswith(f"/{name}")), "")


def _commit(name: str) -> str:
    """Return the commit that a name means; empty if it means none, a range or ``^main``."""
    found = _try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return found if found.isalnum() else ""


def _try(*arguments: str) -> str:
    """Run Git; return what it printed, nothing if it failed."""
    result = _run(*arguments)
    return result.stdout.decode(errors="replace").strip() if result.returncode == 0 else ""


def _git(*arguments: str) -> bytes:
    result = _run(*arguments)
    if result.returncode != 0:
        said = result.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"git {arguments[0]}: {plain(said[0], 200) if said else 'failed'}")
    return result.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True)
    except FileNotFoundError as error:
        raise UserError("git: not found; install Git, and run this in a clone") from error
