"""Say in ten lines whether this machine and this clone are fine, and what to do where not.

Each line is ``ok``, ``note`` for what is worth knowing, or ``BAD`` for what keeps the pipeline from
running; with one of those the exit code is 1. It changes nothing. Run it with ``make doctor``.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from stages.common.errors import UserError, first_line, run_stage

if TYPE_CHECKING:
    from dvc.repo import Repo

OLDEST_PYTHON = (3, 11)

PLACEHOLDERS = (".gitignore", "DEFAULT", "none")
"""Files in data/weights that hold no weights."""

FOR_GPUS = ("cuda-", "nvidia-", "triton")
"""How packages begin that PyTorch's builds for the CPU do without."""

EXTRAS = ("azure", "gs", "s3", "ssh", "webdav")
"""Kinds of remotes whose drivers the Makefile installs; the others need none, or pip."""

FREE_GIGABYTES = 2
"""What a training on some thousand photos may need, beside the environment."""


class Finding(NamedTuple):
    """A line of the report, without its subject."""

    level: Literal["ok", "note", "BAD"]
    text: str


def python() -> Finding:
    """Check the interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Finding(
            "BAD", f"{version}; 3.11 or newer is needed: make setup PYTHON=/path/to/python3"
        )
    return Finding("ok", f"{version}, {sys.executable}")


def installed(package: str) -> str | None:
    """Return a package's version, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def environment(lock: Path = Path("requirements.lock")) -> Finding:
    """Compare the installed packages with the lock."""
    from packaging.requirements import Requirement

    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line]
    wanted = [Requirement(line.rstrip("\\ ")) for line in lines if line[0].isalnum()]
    here = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    if (installed("torch") or "").endswith("+cpu"):
        here = [each for each in here if not each.name.startswith(FOR_GPUS)]
    wrong = []
    for requirement in here:
        version = installed(requirement.name)
        if version is None:
            wrong.append(f"no {requirement.name}")
        elif version not in requirement.specifier:
            wrong.append(f"{requirement.name} {version}")
    if wrong:
        return Finding(
            "note",
            f"{len(wrong)} of {len(here)} packages are not as in {lock} ({', '.join(wrong[:3])}"
            f"{', ...' if len(wrong) > 3 else ''}); for the same results: rm -r .venv; make setup",
        )
    return Finding("ok", f"all {len(here)} packages are as in {lock}")


def pytorch() -> Finding:
    """Import PyTorch and torchvision, and use both."""
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0, 1, 1]])
    torchvision.ops.nms(boxes, torch.ones(1), 0.5)  # fails if the two do not fit
    return Finding("ok", f"torch {torch.__version__}, torchvision {torchvision.__version__}")


def parameters() -> Finding:
    """Read params.yaml."""
    from stages.common.params import load_params

    params = load_params()
    return Finding("ok", f"params.yaml: {params.model.name}, weights {params.model.weights}")


def device() -> Finding:
    """Say what a training would compute on, and how precisely."""
    import torch

    from stages.common.params import load_params
    from stages.common.workers import cores
    from stages.model.device import choose_device, choose_precision
    from stages.model.networks import build_network
    from stages.train.key import device_name

    params = load_params()
    chosen = choose_device(params.train.device, "train.device")
    network = build_network(params.model.name, params.model.width, classes=2)
    precision = choose_precision(params.train.precision, chosen, network)
    cpu = torch.cpu.get_capabilities()
    processor = cpu.get("cpu_name") or cpu.get("architecture")
    text = f"{device_name(chosen)}, {processor}, {cores()} cores; trains in {precision}"
    if chosen.type == "cpu" and cores() < params.train.threads:
        return Finding("note", f"{text}; train.threads is {params.train.threads}, more than that")
    return Finding("ok", text)


def dvc() -> Finding:
    """Read DVC's lock files, and its cache."""
    from dvc.exceptions import DvcException

    try:
        with repository() as repo:
            stages = [stage for stage in repo.index.stages if stage.cmd]  # reads the lock files
            cache = Path(repo.cache.local.path)
    except DvcException as error:
        return Finding("BAD", f"{error!s:.200}; if a lock file is damaged: `git checkout` it")
    if cache.exists() and not os.access(cache, os.R_OK | os.W_OK | os.X_OK):
        return Finding("BAD", f"no permission for the cache {cache}; `chmod -R u+rwX` it")
    return Finding("ok", f"{metadata.version('dvc')}, {len(stages)} stages, cache {cache}")


@contextmanager
def repository() -> "Iterator[Repo]":
    """Open DVC's repository, and leave no trace: in a fresh clone DVC makes a folder."""
    from dvc.repo import Repo

    trace = Path(Repo.find_root(), ".dvc/tmp")
    was_there = trace.exists()
    try:
        with Repo() as repo:
            yield repo
    finally:
        if not was_there:
            shutil.rmtree(trace, ignore_errors=True)


def disk() -> Finding:
    """Look at the free space, and at the folders that the stages write to."""
    from stages.common.files import check_output_folders

    check_output_folders()
    free = shutil.disk_usage(".").free / 1e9
    if free < FREE_GIGABYTES:
        return Finding("BAD", f"{free:.1f} GB free; a training needs about {FREE_GIGABYTES} GB")
    return Finding("ok", f"{free:,.0f} GB free")


def photos() -> Finding:
    """Look for the photos."""
    from stages.common.names import printable_name
    from stages.common.params import load_params
    from stages.common.schema import GARDEN
    from stages.prepare.sources import open_source

    path = Path(load_params().data.photos)
    shown = printable_name(str(path))
    if str(path) == GARDEN:
        return Finding("ok", "the built-in garden; `dvc repro` draws it")
    if not path.exists():
        return Finding("BAD", f"data.photos: {shown} does not exist; name a folder or an archive")
    if not os.access(path, os.R_OK):
        return Finding("BAD", f"data.photos: no permission to read {shown}")
    source = open_source(path)  # or it says what is allowed
    is_empty = next(source.entries(), None) is None  # of an archive, it reads all of the directory
    if is_empty:
        return Finding("BAD", f"data.photos: {shown} is empty; put one folder per class into it")
    what = "folder" if path.is_dir() else f"archive of {path.stat().st_size / 1e6:,.0f} MB"
    return Finding("ok", f"{shown}, a {what}")


def weights() -> Finding:
    """Look for the pretrained weights."""
    from stages.common.names import printable_name
    from stages.common.params import load_params
    from stages.train.pretrained import WEIGHTS

    name = load_params().model.weights
    there = sorted(path.name for path in WEIGHTS.glob("*") if path.name not in PLACEHOLDERS)
    shown = ", ".join(map(printable_name, there[:5]))
    at_hand = f"in {WEIGHTS}: {shown}" if there else f"nothing in {WEIGHTS}"
    if name == "none":
        return Finding("ok", f"none needed; {at_hand}")
    if name == "DEFAULT":
        return Finding("note", f"DEFAULT: downloaded once, unless they are here; {at_hand}")
    shown = printable_name(name)
    if not (WEIGHTS / name).exists():
        return Finding("BAD", f"model.weights is {shown}, not found ({at_hand}); copy it there")
    return Finding("ok", f"{WEIGHTS}/{shown}")


def missing_driver(repo: "Repo") -> str | None:
    """Import the driver of each remote; return what to do about the first that is missing."""
    from stages.common.names import printable_name

    for name, options in repo.config["remote"].items():
        try:
            for module in repo.cloud.get_remote(name).fs.REQUIRES.values():
                import_module(module)
        except ImportError as error:
            scheme = options["url"].partition("://")[0]
            extra = "webdav" if scheme == "webdavs" else scheme
            fix = f"no driver for {scheme}://; make setup EXTRAS={extra}"
            return f"remote {printable_name(name)}: {fix if extra in EXTRAS else error}"
    return None


def state() -> Finding:
    """Look for checkpoints that are left over, and for a remote."""
    from stages.common.names import printable_name
    from stages.train.checkpoints import FINISHED

    saved = [
        path
        for path in Path(".train_state").glob("*/checkpoint")
        if path.is_file() and not path.with_name(FINISHED).exists()
    ]
    with repository() as repo:
        remote = printable_name(repo.config["core"].get("remote", ""))
        missing = missing_driver(repo)
    if missing:
        return Finding("BAD", missing)
    shared = f"remote {remote}" if remote else "no remote: `dvc remote add -d NAME PLACE` to share"
    if not saved:
        return Finding("ok", f"no training is unfinished; {shared}")
    hours = (time.time() - max(path.stat().st_mtime for path in saved)) / 3600
    size = sum(file.stat().st_size for path in saved for file in path.parent.iterdir()) / 1e6
    return Finding(
        "note",
        f"unfinished trainings: {len(saved)} ({size:,.0f} MB, the last {hours:,.1f} h ago); `dvc "
        f"repro` resumes, `rm -r .train_state` forgets; {shared}",
    )


Check = Callable[[], Finding]

CHECKS: dict[str, Check] = {
    "Python": python,
    "packages": environment,
    "PyTorch": pytorch,
    "parameters": parameters,
    "device": device,
    "DVC": dvc,
    "disk": disk,
    "photos": photos,
    "weights": weights,
    "state": state,
}


def main() -> None:
    """Print a line for each check."""
    findings = [examine(check) for check in CHECKS.values()]
    told: set[str] = set()
    for subject, finding in zip(CHECKS, findings, strict=True):
        text = "as above" if finding.text in told else finding.text
        told.add(finding.text)
        print(f"{finding.level:4}  {subject:12}{text}", flush=True)
    if any(finding.level == "BAD" for finding in findings):
        sys.exit(1)


def examine(check: Check) -> Finding:
    """Return what a check finds; a check that fails is a finding."""
    try:
        return check()
    except ImportError as error:
        return Finding("BAD", f"{error}; make the environment again: rm -r .venv; make setup")
    except UserError as error:
        return Finding("BAD", first_line(error))
    except Exception as error:
        return Finding("BAD", f"this check failed: {type(error).__name__}: {error!s:.200}")


if __name__ == "__main__":
    run_stage(main)
