"""What is installed is one package, and it works beside a project's own `envs` and `agents`."""

import json
import os
import re
import site
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

PROJECT = {
    "envs/__init__.py": 'MARKER = "envs of the project"\n',
    "agents/__init__.py": 'MARKER = "agents of the project"\n',
    "main.py": """\
import json, sys

import agents, envs
import metarl

family = metarl.envs.make("HalfCheetahVel", horizon=20)
learner = metarl.MAML(family, tasks=8, rollouts=2, hidden=(8,), threads=1, workers=2, seed=0)
learner.learn(2 * (2 * 8 * 2 * 20))  # two iterations
print(json.dumps({
    "markers": [envs.MARKER, agents.MARKER],
    "iterations": learner.iteration,
    "files": [metarl.__file__, metarl.envs.__file__, metarl.agents.__file__],
    "path": sys.path,
}))
""",
}
"""A project that has packages of the same names as two of our top-level folders."""

OPENGL = """\
from metarl import envs
from metarl.envs.drawing import camera

family = envs.make("Point2D")
camera(family, (64, 64), envs.Simulator(family, 1).model(0)).close()
"""


def completed(command: list[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that does not see this process's own import path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def printed(command: list[str | Path], cwd: Path) -> str:
    """Run a command that must end with exit code 0, and return what it prints."""
    done = completed(command, cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree without the network."""
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    printed([*pip, "--wheel-dir", folder, source], folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def files(folder: Path) -> set[Path]:
    """Every file below a folder, without what running the code leaves there."""
    left = {"__pycache__", "MUJOCO_LOG.TXT", "runs", "_build"}
    return {path for path in folder.rglob("*") if path.is_file() and not left & {*path.parts}}


def contents(wheel: Path) -> dict[str, int]:
    """Each file of a wheel with its checksum."""
    with zipfile.ZipFile(wheel) as archive:
        return {member.filename: member.CRC for member in archive.infolist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist"]
    printed([*build, "--directory", folder], ROOT)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        assert all(member.isfile() for member in tar.getmembers()), "no links"
        tar.extractall(folder, filter="data")
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    return source


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a virtual environment into which the wheel is installed.

    Its dependencies are this environment's. A folder that a `.pth` file names is searched for
    packages, but not for `.pth` files, so an editable installation there, which puts the checkout
    on the import path, has no effect here.
    """
    environment = tmp_path_factory.mktemp("installed") / "environment"
    printed([sys.executable, "-m", "venv", "--without-pip", environment], environment.parent)
    python = environment / "bin" / "python"
    where = printed([python, "-c", "import site; print(site.getsitepackages()[0])"], ROOT.parent)
    (Path(where.strip()) / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    printed([*pip, "install", "--no-deps", "--no-index", wheel], environment.parent)
    return environment / "bin"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, text in PROJECT.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def run_folder(bin_folder: Path, project: Path) -> Path:
    """A run that `metarl train` makes in the project."""
    words = ["train", "Point2D", "--out", "run", "--total-timesteps", "600", "--horizon", "12"]
    quick = ["--tasks", "4", "--rollouts", "3", "--hidden", "8", "--threads", "1"]
    printed([bin_folder / "python", "-m", "metarl", *words, *quick], project)
    return project / "run"


def test_the_wheel_holds_one_package_with_all_its_files(wheel: Path):
    names = contents(wheel)
    version = wheel.name.split("-")[1]
    assert {name.split("/")[0] for name in names} == {"metarl", f"metarl-{version}.dist-info"}
    package = ROOT / "metarl"
    parts = (package, package / "envs", package / "agents")  # rglob does not follow links
    expected = {f"metarl/{path.relative_to(package)}" for part in parts for path in files(part)}
    assert {name for name in names if name.startswith("metarl/")} == expected
    for name in (
        "envs/simulator.py",
        "envs/robots/assets/point.xml",
        "agents/policy.py",
        "py.typed",
        "showing/report.html.jinja",
    ):
        assert f"metarl/{name}" in names
    with zipfile.ZipFile(wheel) as archive:
        assert not any(stat.S_ISLNK(m.external_attr >> 16) for m in archive.infolist())


def test_the_sdist_builds_the_same_wheel(wheel: Path, unpacked_sdist: Path, tmp_path: Path):
    rebuilt = build_wheel(unpacked_sdist, tmp_path)
    assert rebuilt.name == wheel.name
    assert contents(rebuilt) == contents(wheel)


def test_the_sdist_holds_the_tests_and_what_they_read(unpacked_sdist: Path):
    for folder in ("tests", "docs", "examples", "benchmarks"):
        expected = {path.relative_to(ROOT) for path in files(ROOT / folder)}
        packed = {path.relative_to(unpacked_sdist) for path in files(unpacked_sdist / folder)}
        assert expected == packed, folder


@pytest.mark.slow
def test_the_tests_run_from_the_sdist(unpacked_sdist: Path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    fast = ["tests/test_docs.py", "tests/experience/test_log.py"]
    assert " passed" in printed([*command, *fast], unpacked_sdist)


@pytest.mark.slow
def test_a_script_beside_its_own_envs_and_agents_trains(bin_folder: Path, project: Path):
    facts = json.loads(printed([bin_folder / "python", "main.py"], project))
    assert facts["markers"] == ["envs of the project", "agents of the project"]
    assert facts["iterations"] == 2
    for file in facts["files"]:
        assert Path(file).is_relative_to(bin_folder.parent)
    assert str(ROOT) not in facts["path"]


@pytest.mark.slow
def test_the_commands_run_beside_other_envs_and_agents(bin_folder: Path, run_folder: Path):
    assert (run_folder / "checkpoint.safetensors").is_file()
    words = ["evaluate", run_folder, "--tasks", "3", "--rollouts", "3", "--steps", "1"]
    shown = printed([bin_folder / "metarl", *words], run_folder.parent)
    assert re.search(r"inner step +mean return", shown)


@pytest.mark.slow
def test_a_film_is_made_beside_other_envs_and_agents(bin_folder: Path, run_folder: Path):
    drawing = completed([bin_folder / "python", "-c", OPENGL], run_folder.parent)
    if drawing.returncode != 0 and "no OpenGL to draw with" in drawing.stderr:
        pytest.skip(drawing.stderr.strip().splitlines()[-1])
    words = ["render", run_folder, "--rollouts", "3", "--height", "120", "--out", "film.gif"]
    printed([bin_folder / "metarl", *words], run_folder.parent)
    assert (run_folder.parent / "film.gif").stat().st_size > 1_000


@pytest.mark.skipif(not (ROOT / "envs").is_dir(), reason="an sdist has no such folders")
@pytest.mark.parametrize("name", ["envs", "agents"])
def test_the_folders_of_a_checkout_say_how_they_are_imported(name: str):
    done = completed([sys.executable, "-c", f"import {name}"], ROOT)
    assert done.returncode == 1
    message = f"ImportError: metarl's {name} are imported as: from metarl import {name}"
    assert done.stderr.splitlines()[-1] == message


@pytest.mark.skipif(not (ROOT / "envs").is_dir(), reason="an sdist has no such folder")
def test_a_pickle_of_the_former_module_says_how_it_is_imported():
    stream = b"cenvs.family\nTaskFamily\n."
    done = completed([sys.executable, "-c", f"import pickle; pickle.loads({stream})"], ROOT)
    assert done.returncode == 1
    message = "ImportError: metarl's envs are imported as: from metarl import envs"
    assert done.stderr.splitlines()[-1] == message
