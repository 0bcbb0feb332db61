"""The README's promises about itself."""

import re

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
MODULES = [
    path.relative_to(ROOT)
    for room in ("stages", "tools", "garden")
    for path in sorted((ROOT / room).rglob("*.py"))
    if not path.name.startswith("__")
]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_tree_names_every_module(module) -> None:
    tree = README[README.index("    params.yaml  dvc.yaml") :]
    named = module.parent.name if module.parent.name == "species" else module.stem
    assert re.search(rf"\b{named}\b", tree)


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 130
