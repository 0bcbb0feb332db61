"""DVC does not follow imports: a stage's deps must name exactly the modules that it imports."""

import ast
from pathlib import Path

import pytest
import yaml

from stages.common.schema import Params
from tests.conftest import ROOT

STAGES: dict[str, dict[str, list[str]]] = {
    **yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"],
    **yaml.safe_load((ROOT / "data/dvc.yaml").read_text())["stages"],
}


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
        if dep.split("/")[0] in ("stages", "garden"):
            assert path.exists(), f"{stage}: {dep} is not there"
            files |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return files


def is_docstring_only(path: Path) -> bool:
    body = ast.parse(path.read_text()).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_exactly_the_imports(stage: str) -> None:
    imported = closure(main_of(stage))
    expected = {path for path in imported if not is_docstring_only(path)}
    found = {path for path in listed(stage) if not is_docstring_only(path)}
    assert sorted(map(str, expected - found)) == [], "imported, but missing in deps"
    assert sorted(map(str, found - expected)) == [], "in deps, but not imported"


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
    assert declared == read - {"runtime"}  # it changes no result


def test_what_reviewers_read_is_in_git_and_keeps_the_run_cache() -> None:
    for stage in ("prepare", "train", "evaluate"):
        for kind in ("metrics", "plots"):
            for entry in STAGES[stage].get(kind, []):
                ((path, options),) = entry.items()  # type: ignore[attr-defined]
                assert path.startswith("metrics/")
                assert options["cache"] is False


def test_no_stage_is_run_with_anothers_python() -> None:
    assert {stage["cmd"] for stage in STAGES.values()} == {  # type: ignore[comparison-overlap]
        "python -m garden",
        *(f"python -m stages.{name}" for name in ("prepare", "train", "evaluate")),
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
