"""DVC does not follow imports: the folder that a module is in decides which stages rerun."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from stages.common.schema import GARDEN, Params
from tests.conftest import ROOT

STAGES: dict[str, dict[str, list[str]]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

LISTED_BUT_NOT_IMPORTED = {"evaluate": {ROOT / "stages/common/workers.py"}}
"""What reruns a stage for nothing, for the sake of a short list; evaluate takes seconds."""

NOTHING_BUT_A_DOCSTRING = {ROOT / "stages/train/__init__.py"}
"""Runs before evaluate imports the training's augmentation."""


def modules_of(name: str) -> set[Path]:
    """Return the files that ``import name`` runs: packages on the way included."""
    parts = name.split(".")
    folders = [ROOT.joinpath(*parts[: i + 1]) for i in range(len(parts))]
    inits = [folder / "__init__.py" for folder in folders]
    found = {path for path in [*inits, folders[-1].with_suffix(".py")] if path.is_file()}
    return found if parts[0] in ("stages", "garden") else set()


def imports_of(path: Path) -> set[Path]:
    """Return the first-party files that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not followed here"
            assert node.module is not None
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set().union(*map(modules_of, names))


def main_of(stage: str) -> Path:
    """Return the file that a stage's command runs."""
    module = STAGES[stage]["cmd"].removeprefix("python -m ")  # type: ignore[attr-defined]
    return ROOT.joinpath(*module.split("."), "__main__.py")


def closure(path: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = {path} | modules_of(".".join(path.relative_to(ROOT).parent.parts))
    while waiting:
        current = waiting.pop()
        seen.add(current)
        waiting |= imports_of(current) - seen
    return seen


def listed(stage: str) -> set[Path]:
    files: set[Path] = set()
    for dep in STAGES[stage]["deps"]:
        path = ROOT / dep
        if dep.startswith("stages/"):
            assert path.exists(), f"{stage}: {dep} is not there"
            files |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return files


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_exactly_the_imports(stage: str) -> None:
    imported, in_deps = closure(main_of(stage)), listed(stage)
    assert imported - in_deps <= NOTHING_BUT_A_DOCSTRING
    assert in_deps - imported == LISTED_BUT_NOT_IMPORTED.get(stage, set())


def test_common_holds_what_prepare_and_train_both_import() -> None:
    shared = closure(main_of("prepare")) & closure(main_of("train"))
    assert shared - {ROOT / "stages/__init__.py"} == set((ROOT / "stages/common").rglob("*.py"))


def test_prepare_depends_on_all_that_draws_the_garden() -> None:
    drawn_by = closure(ROOT / "garden/__main__.py")
    assert drawn_by - listed("prepare") == set((ROOT / GARDEN).rglob("*.py"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_vouches_for_what_dvc_records(stage: str) -> None:
    main = import_module(f"stages.{stage}.__main__")
    assert set(main.SECTIONS) == set(STAGES[stage]["params"])
    assert set(main.CODE) == {dep for dep in STAGES[stage]["deps"] if dep.startswith("stages/")}


def is_params(node: ast.expr) -> bool:
    """Tell whether an expression is ``params`` or ``load_params()``."""
    return ast.unparse(node) in ("params", "load_params()")


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_exactly_the_sections_read(stage: str) -> None:
    declared = {name.split(".")[0] for name in STAGES[stage]["params"]}
    read = set()
    for path in closure(main_of(stage)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and is_params(node.value):
                read |= {node.attr} & set(Params.model_fields)
    if read & {"prepare", "train"}:
        read |= {"model"}  # model.weights decides between a parameter's two values
    if stage == "prepare":
        read |= {"garden"}  # which it has drawn
    assert declared == read - {"runtime"}  # it changes no result


def test_what_reviewers_read_is_in_git_and_keeps_the_run_cache() -> None:
    for stage in ("prepare", "train", "evaluate"):
        for kind in ("metrics", "plots"):
            for entry in STAGES[stage].get(kind, []):
                ((path, options),) = entry.items()  # type: ignore[attr-defined]
                assert path.startswith("metrics/")
                assert options["cache"] is False
        # DVC's run cache has no stage with other outputs that it does not keep.
        assert all(isinstance(out, str) for out in STAGES[stage].get("outs", []))


def test_no_stage_is_run_with_anothers_python() -> None:
    assert {stage["cmd"] for stage in STAGES.values()} == {  # type: ignore[comparison-overlap]
        f"python -m stages.{name}" for name in ("prepare", "train", "evaluate")
    }


def test_arrows_point_inwards() -> None:
    """Stages import only stages; the tools and the garden import stages, never each other."""
    for room, allowed in (("stages", set()), ("garden", {"garden"}), ("tools", {"tools"})):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
                rooms = {name.split(".")[0] for name in names} & {
                    "garden",
                    "tools",
                    "benchmarks",
                    "tests",
                }
                assert rooms <= allowed, path
