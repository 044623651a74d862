"""Imports point one way: metarl -> agents, envs; those two know nothing of each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"envs": {"envs"}, "agents": {"agents"}, "metarl": {"metarl", "agents", "envs"}}


def imported(path: Path) -> set[str]:
    """The project's packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names & set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert imported(path) <= MAY_IMPORT[package], path


def test_only_the_simulator_and_its_contact_forces_know_the_batch():
    users = [p.name for p in (ROOT / "envs").rglob("*.py") if "mujoco.batch" in p.read_text()]
    assert sorted(users) == ["contact_forces.py", "simulator.py"]
