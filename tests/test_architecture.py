"""The rooms of the house: what each may import, that no imports go in a circle, what is too long.

Every import counts, also those inside functions and those for type checkers only.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "metarl"
DOORS = "the doors"

LEARNER = {
    "learner",
    "pretrained",
    "algorithms",
    "sampling",
    "experience",
    "system",
    "agents",
    "envs",
}
SKILLS = LEARNER | {"skills"}
EVALUATION = SKILLS | {"evaluation", "bridges"}
COMPARING = EVALUATION | {"comparing"}
SHOWING = COMPARING | {"showing"}
MAY_IMPORT = {
    "envs": {"envs", "system"},
    "agents": {"agents"},
    "system": {"system"},
    "experience": {"experience", "agents"},
    "sampling": {"sampling", "experience", "system", "agents", "envs"},
    "algorithms": {"algorithms", "experience", "system", "agents"},
    "bridges": {"bridges", "system", "agents"},
    "pretrained": {"pretrained", "envs"},
    "learner": LEARNER,
    "skills": SKILLS,
    "evaluation": EVALUATION,
    "comparing": COMPARING,
    "showing": SHOWING,
    DOORS: SHOWING | {DOORS},
}
"""The rooms that a room's files may import from."""

FILES_IN_A_ROOM = 12
LINES_OF_A_FILE = 350
LINES_OF_A_BODY = 60
"""A body's first line to its last, without its docstring."""
PARAMETERS = 8
"""Of a function; self and cls of a method are not counted."""
TESTS_PER_SOURCE = 0.65
"""Lines of tests to a line of source, at least."""


def modules(root: Path) -> dict[str, Path]:
    """Every module below the package's folder, by its dotted name."""
    return {
        ".".join(("metarl", *path.relative_to(root).with_suffix("").parts)): path
        for room in (root, *(part for part in root.iterdir() if part.is_dir()))
        for path in (room.glob("*.py") if room == root else room.rglob("*.py"))
    }


def room_of(module: str) -> str:
    """The room that a module stands in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else DOORS


def imports(path: Path, known: set[str]) -> Iterator[str]:
    """The project's modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("metarl"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if (node.module or "").split(".")[0] == "metarl":
                for alias in node.names:
                    deeper = f"{node.module}.{alias.name}"
                    package = f"{deeper}.__init__"
                    yield next((n for n in (deeper, package) if n in known), f"{node.module}")


def arrows(root: Path) -> dict[str, set[str]]:
    """What each module imports of the project."""
    found = modules(root)
    known = set(found)
    result = {}
    for name, path in found.items():
        targets = imports(path, known)
        result[name] = {n if n in known else f"{n}.__init__" for n in targets} - {name}
    return result


def forbidden(root: Path) -> list[str]:
    """The imports that the table does not allow, in words."""
    return [
        f"{module} imports {target}: {room_of(module)} may not import {room_of(target)}"
        for module, targets in arrows(root).items()
        for target in sorted(targets)
        if room_of(target) not in MAY_IMPORT[room_of(module)]
    ]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Some modules that import each other in a circle, or none."""
    finished: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in finished:
            return []
        for target in sorted(graph.get(module, ())):
            found = walk(target, [*way, module])
            if found:
                return found
        finished.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def length(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text().splitlines())


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Every function of a file, with its number of parameters besides self and cls."""
    methods = {m for n in ast.walk(tree) if isinstance(n, ast.ClassDef) for m in n.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names += [a.arg for a in (given.vararg, given.kwarg) if a is not None]
            bound = node in methods and names[:1] in (["self"], ["cls"])
            yield node, len(names) - bound


def lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    code = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (code[-1].end_lineno or 0) - code[0].lineno + 1 if code else 0


def too_long(root: Path) -> list[str]:
    """The files and functions that are longer than allowed, and by how much, in words."""
    result = []
    for module, path in sorted(modules(root).items()):
        if length(path) > LINES_OF_A_FILE:
            result.append(f"{module}: {length(path)} lines, {LINES_OF_A_FILE} are allowed")
        for function, parameters in functions(ast.parse(path.read_text())):
            name = f"{module}.{function.name}"
            lines = lines_of_body(function)
            if lines > LINES_OF_A_BODY:
                result.append(f"{name}: {lines} lines in its body, {LINES_OF_A_BODY} are allowed")
            if parameters > PARAMETERS:
                result.append(f"{name}: {parameters} parameters, {PARAMETERS} are allowed")
    return result


def test_rooms_import_what_the_table_allows():
    assert len(arrows(ROOT)) > 80
    assert forbidden(ROOT) == []


def test_no_imports_go_in_a_circle():
    assert circle(arrows(ROOT)) == []


@pytest.mark.parametrize(
    "line",
    [
        "from metarl.learner.maml import MAML",
        "def later():\n    import metarl.sampling.sampler",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from metarl.envs import tasks",
        "from metarl import skills",
    ],
)
def test_a_forbidden_import_is_found_wherever_it_stands(line: str, tmp_path: Path):
    for name in ("learner", "sampling", "algorithms", "envs", "skills"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    for name in ("learner/maml", "sampling/sampler", "envs/tasks"):
        (tmp_path / f"{name}.py").touch()
    assert forbidden(tmp_path) == []
    (tmp_path / "algorithms" / "losses.py").write_text(line + "\n")
    (found,) = forbidden(tmp_path)
    assert found.startswith("metarl.algorithms.losses imports metarl.")


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_a_room_is_taken_in_at_a_glance():
    for room in MAY_IMPORT.keys() - {"envs", "agents", DOORS}:
        files = list((ROOT / room).glob("*.py"))
        assert 1 < len(files) <= FILES_IN_A_ROOM + 1, f"{room} and its __init__"


def test_only_the_simulator_and_its_contact_forces_know_the_batch():
    users = [p.name for p in (ROOT / "envs").rglob("*.py") if "mujoco.batch" in p.read_text()]
    assert sorted(users) == ["contact_forces.py", "simulator.py"]


def test_files_and_functions_are_short():
    assert too_long(ROOT) == []


def test_tests_are_no_less_than_a_share_of_the_source():
    tests = sum(length(path) for path in Path(__file__).parent.rglob("*.py"))
    source = sum(length(path) for path in modules(ROOT).values())
    assert tests >= TESTS_PER_SOURCE * source, f"{tests} lines of tests, {source} of source"


def test_what_is_too_long_is_found(tmp_path: Path):
    (tmp_path / "envs").mkdir()
    (tmp_path / "learner").mkdir()
    rows = [f"    {number}" for number in range(LINES_OF_A_BODY)]
    docstring = ['    """First line.', "", "    More.", '    """']
    parameters = ", ".join("abcdefgh")
    fine = ["class A:", f"  def f(self, {parameters}):", *docstring, *rows]
    (tmp_path / "envs" / "fine.py").write_text("\n".join(fine))
    (tmp_path / "learner" / "fine.py").write_text("1\n" * LINES_OF_A_FILE)
    assert too_long(tmp_path) == []

    (tmp_path / "envs" / "bodies.py").write_text("\n".join([*fine, "    60"]))
    (tmp_path / "learner" / "files.py").write_text("1\n" * (LINES_OF_A_FILE + 1))
    many = f"async def f(a0, /, {parameters}): ...\ndef g({parameters}, *i): ...\n"
    (tmp_path / "envs" / "parameters.py").write_text(many + f"def h(self, {parameters}): ...\n")
    assert too_long(tmp_path) == [
        "metarl.envs.bodies.f: 61 lines in its body, 60 are allowed",
        "metarl.envs.parameters.f: 9 parameters, 8 are allowed",
        "metarl.envs.parameters.g: 9 parameters, 8 are allowed",
        "metarl.envs.parameters.h: 9 parameters, 8 are allowed",
        "metarl.learner.files: 351 lines, 350 are allowed",
    ]
