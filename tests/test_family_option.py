"""`--family`: families of one's own through every command, and run folders that run no code."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from metarl import commands, envs
from metarl.envs import ForeignFamily, Simulator, TaskFamily
from metarl.family_option import (
    RunSettings,
    changed,
    family_of,
    family_words,
    is_reference,
    run_family,
)

OWN = '''
from __future__ import annotations

from dataclasses import dataclass, replace

import gymnasium
import numpy as np

from metarl.envs import ForeignFamily, TaskFamily, goals
from metarl.envs.distributions import Uniform
from metarl.envs.robots import Point
from width import WIDTH  # stands beside this file


@dataclass
class Place:
    """A dataclass with annotations that are strings, which looks for its own module."""

    half: float

    def reward(self, step, task):
        return -np.abs(step.after[:, 0] - task["place"])


def stay(half=WIDTH):
    """A goal of one's own, as docs/CONTRIBUTING.md has it."""
    place = Place(half)
    return goals.Goal("stay", (Uniform("place", -half, half, "m"),), place.reward)


def family():
    return TaskFamily("Stay", Point(), stay(), "a test", horizon=12, action_scale=1.0)


def pendulum():
    return ForeignFamily(
        "PendulumMass",
        lambda: gymnasium.make("Pendulum-v1"),
        lambda env, task: setattr(env.unwrapped, "m", task["mass"]),
        (Uniform("mass", 0.5, 2.0, "kg"),),
        horizon=12,
    )


NUMBER = 3


def wrong():
    return NUMBER


def broken():
    return NUMBER / 0


def misread():
    return TaskFamily("Stay", Point(), stay(), "a test", horizon=0)


def needs(size):
    return size


def twice():
    return replace(NUMBER, horizon=1)
'''
QUICK = ["--tasks", "4", "--rollouts", "3", "--hidden", "8", "--threads", "1"]


def call(*words: str | Path) -> None:
    commands.run([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "width.py").write_text("WIDTH = 0.5\n")
    (folder / "own.py").write_text(OWN)
    (folder / "unreadable.py").write_text("def family(:\n")
    return folder


@pytest.fixture(scope="module")
def reference(folder: Path) -> str:
    return f"{folder / 'own.py'}:family"


@pytest.fixture(scope="module")
def trained(folder: Path, reference: str) -> Path:
    run = folder / "run"
    call("train", reference, "--out", run, "--total-timesteps", "200", *QUICK, "--workers", "1")
    return run


@pytest.fixture
def run_folder(trained: Path, tmp_path: Path) -> Path:
    """A copy, with a file of the run's that must never be run."""
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "own.py").write_text("raise SystemExit('a run folder was imported from')\n")
    return run


def test_the_family_is_what_the_function_returns(reference: str):
    family = family_of(reference)
    assert isinstance(family, TaskFamily)
    assert family_of(reference) is family, "a file is run once"
    simulator = Simulator(family, 2)
    simulator.set_tasks(envs.Tasks(("place",), np.array([[0.25], [-0.5]])))
    simulator.set_state(np.array([[0.0, 0.0], [0.1, 0.3]]), np.zeros((2, 2)))
    result = simulator.step(np.array([[1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(result.reward, [-abs(0.1 - 0.25), -abs(0.1 + 0.5)])


def test_a_module_is_looked_for_in_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(folder)])
    family = family_of("own:pendulum")
    assert isinstance(family, ForeignFamily)
    assert family.observation_size == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("arm.py:family", True),
        ("project.arms:make_2", True),
        ("/some where/arm.py:family", True),
        ("C:/arms/arm.py:family", True),
        ("HalfCheetahVel", False),
        ("cuda:1", False),
        (":family", False),
        ("arm.py:", False),
        ("arm.py:family()", False),
    ],
)
def test_what_a_reference_is(words: str, expected: bool):
    assert is_reference(words) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own.py:nothing", "own.py has no function 'nothing' to return a family"),
        ("own.py:wrong", "must return a TaskFamily or a ForeignFamily, got int"),
        ("own.py:Place", r"failed: TypeError: .*missing 1 required positional argument"),
        ("own.py:needs", r"failed: TypeError: .*missing 1 required positional argument: 'size'"),
        ("own.py:broken", r"broken failed \(.*own.py, line 53\): ZeroDivisionError: division"),
        # the line of the file, not that of metarl which it called
        ("own.py:misread", r"misread failed \(.*own.py, line 57\): ValueError: .*horizon"),
        # nor that of a library
        ("own.py:twice", r"twice failed \(.*own.py, line 65\): TypeError"),
        ("unreadable.py:family", r"\(.*unreadable.py, line 1\): SyntaxError: invalid syntax"),
        ("none.py:family", "there is no file .*none.py to take the family"),
        ("none:family", "failed: ModuleNotFoundError"),
        ("pretrained:HalfCheetahVel", "is a policy, not a family: metarl train HalfCheetahVel"),
        ("own.py", "named MODULE:FUNCTION or FILE.py:FUNCTION, got"),
    ],
)
def test_what_is_no_family_is_refused_in_a_line(folder: Path, name: str, message: str):
    with pytest.raises(ValueError, match=message) as raised:
        family_of(f"{folder / name}" if ".py" in name else name)
    assert "\n" not in str(raised.value)


def test_training_keeps_the_name_and_resuming_may_change_it(
    run_folder: Path, reference: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    config = json.loads((run_folder / "config.json").read_text())
    assert config["family_reference"] == reference
    assert config["family"]["name"] == "Stay"
    elsewhere = f"{shutil.copy(folder / 'own.py', folder / 'own_elsewhere.py')}:family"
    call("resume", run_folder, "--total-timesteps", "300", "--family", elsewhere)
    assert f"next: metarl evaluate {run_folder} --family {elsewhere}" in capsys.readouterr().out
    config = json.loads((run_folder / "config.json").read_text())
    assert (config["family_reference"], config["total_timesteps"]) == (elsewhere, 300)


@pytest.mark.slow
def test_processes_get_the_functions_of_a_file_by_value(
    trained: Path, reference: str, tmp_path: Path
):
    words = ["--total-timesteps", "200", *QUICK, "--workers", "2"]
    call("train", reference, "--out", tmp_path / "run", *words)
    one, two = (RunSettings(reference).learner(run) for run in (trained, tmp_path / "run"))
    assert one.fingerprint == two.fingerprint


@pytest.mark.slow
def test_every_command_takes_it(
    run_folder: Path, reference: str, capsys: pytest.CaptureFixture[str]
):
    family = ["--family", reference]
    few = ["--tasks", "3", "--rollouts", "3", "--steps", "1"]
    call("evaluate", run_folder, *few, *family)
    assert "Stay, maml-trpo: 3 test tasks" in capsys.readouterr().out
    call("render", run_folder, "--task", "place=0.3", "--height", "120", *family)
    assert (run_folder / "adaptation.mp4").stat().st_size > 1000
    call("report", run_folder, *few, *family)
    assert "Stay" in (run_folder / "report.html").read_text()
    quick = ["--tasks", "20", "--rollouts", "2", "--hidden", "8", "--iterations", "5"]
    call("similarity", run_folder, *quick, "--skills", "3", *family)
    library = run_folder / "library.safetensors"
    words = f"next: metarl evaluate {run_folder} --library {library} --family {reference}"
    assert words in capsys.readouterr().out
    small = ["--tasks", "2", "--budget", "2000", "--workers", "1"]
    call("compare", run_folder, "--out", run_folder / "comparison", *small, *family)
    assert "PPO from scratch" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["evaluate", "resume", "render", "report", "similarity"])
def test_a_run_folder_alone_imports_nothing_and_says_what_to_add(
    run_folder: Path, reference: str, command: str, capsys: pytest.CaptureFixture[str]
):
    """Not from its own files, nor from what it names."""
    config = json.loads((run_folder / "config.json").read_text())
    config["family_reference"] = f"{run_folder / 'own.py'}:family"
    (run_folder / "config.json").write_text(json.dumps(config))
    modules = set(sys.modules)
    with pytest.raises(SystemExit):
        call(command, run_folder)
    loaded = set(sys.modules) - modules
    assert not {name for name in loaded if re.search(r"(^|\.|_)own\b", name)}
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.endswith(f"was trained on Stay, a family of one's own; name the function that "
                         f"returns it: --family {run_folder / 'own.py'}:family")  # fmt: skip


@pytest.mark.parametrize(
    "kept", [None, 3, "own.py", "\x1b]0;own\x07:family", "\u202eown.py:family", "\n:f"]
)
def test_only_a_name_that_can_be_meant_is_shown(run_folder: Path, kept: object):
    config = json.loads((run_folder / "config.json").read_text())
    (run_folder / "config.json").write_text(json.dumps(config | {"family_reference": kept}))
    with pytest.raises(ValueError, match=r"--family 'MODULE:FUNCTION\|FILE\.py:FUNCTION'$"):
        run_family(run_folder, None)
    (run_folder / "config.json").write_text("[torn")
    with pytest.raises(ValueError, match=r"--family 'MODULE:FUNCTION\|FILE\.py:FUNCTION'$"):
        RunSettings().learner(run_folder / "checkpoint.safetensors")


def test_a_damaged_checkpoint_is_told_with_the_one_before(
    run_folder: Path, reference: str, capsys: pytest.CaptureFixture[str]
):
    checkpoint = run_folder / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-8])
    for option in ([], ["--family", reference]):
        with pytest.raises(SystemExit):
            call("resume", run_folder, *option)
        assert "An older one is kept: copy" in capsys.readouterr().err


def test_another_family_is_refused(run_folder: Path, folder: Path):
    with pytest.raises(ValueError, match="on Stay, not on PendulumMass, the family given here"):
        RunSettings(f"{folder / 'own.py'}:pendulum", "cpu").learner(run_folder)


def test_a_foreign_family_is_trained_and_evaluated_and_says_what_it_cannot(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """With another horizon, which later commands take from the run."""
    reference, run = f"{folder / 'own.py'}:pendulum", tmp_path / "run"
    words = ["--total-timesteps", "50", "--horizon", "6", *QUICK]
    call("train", "--family", reference, "--out", run, *words)
    few = ["--tasks", "2", "--rollouts", "2", "--steps", "1"]
    call("evaluate", run, *few, "--family", reference)
    assert "PendulumMass, maml-trpo: 2 test tasks" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call("render", run, "--family", reference)
    assert "render_mode='rgb_array'" in capsys.readouterr().err
    words = ["--tasks", "2", "--budget", "2000", "--workers", "1"]
    call("compare", run, "--out", tmp_path / "comparison", "--family", reference, *words)
    assert "PPO from scratch" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        call("train", reference, "--out", tmp_path / "new", "--reveal-task", *QUICK)
    assert "PendulumMass cannot reveal the task" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("train", reference, "--out", tmp_path / "new", "--preset", "maml2017", *QUICK)
    assert "has no preset 'maml2017'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_fields_are_changed_only_where_they_differ(reference: str):
    family = family_of(reference)
    assert changed(family, {"horizon": 12, "reveals_task": False}).describe() == family.describe()
    assert changed(family, {"horizon": 5, "reveals_task": True}).observation_size == 3


def test_a_pretrained_policy_has_its_family():
    assert run_family(Path("pretrained:HalfCheetahVel"), None) is None
    with pytest.raises(ValueError, match="a family of the catalogue: leave --family out"):
        run_family(Path("pretrained:HalfCheetahVel"), "nothere.py:family")


def test_the_option_is_quoted_for_a_shell():
    assert family_words(None) == ""
    assert family_words("arm.py:family") == " --family arm.py:family"
    assert family_words("my arm.py:family") == " --family 'my arm.py:family'"


def test_the_settings_are_those_of_the_own_familys_preset(folder: Path):
    (folder / "published.py").write_text(
        "from metarl import envs\n"
        "def family():\n    return envs.make('Point2D', preset='maml2017')\n"
    )
    config = commands.defaults_for([f"{folder / 'published.py'}:family", "--out", "x"])
    assert (config.inner_lr, config.hidden, config.tasks) == (0.5, (100, 100), 40)
    config = commands.defaults_for(["--verbose", f"{folder / 'published.py'}:family"])
    assert config.tasks == 40, "wherever the family stands"


@pytest.mark.parametrize(
    "words",
    [
        ["AntVel", "--out", "Point2D"],
        ["--out", "Point2D", "AntVel"],
        ["--out=Point2D", "--no-learned-rates", "AntVel"],
        ["--reveals-task", "--verbose", "AntVel", "--workers", "ray:auto"],
    ],
)
def test_a_family_is_no_options_value(words: list[str]):
    assert commands.defaults_for([*words, "--algorithm", "siamese"]).told == 0.5


def test_families_describes_it_too(folder: Path, capsys: pytest.CaptureFixture[str]):
    call("families", f"{folder / 'own.py'}:family")
    assert capsys.readouterr().out.startswith("Stay: Point, stay, 12 steps\n")
    call("families", f"{folder / 'own.py'}:pendulum")
    assert capsys.readouterr().out.startswith("PendulumMass: 12 steps\n")
    call("families", f"{folder / 'own.py'}:pendulum", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["parameters"], row["presets"]) == ("PendulumMass", ["mass"], [])


def test_a_file_without_a_function_is_told_the_form(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        call("train", folder / "own.py", "--out", tmp_path / "run")
    assert "is named MODULE:FUNCTION or FILE.py:FUNCTION, got" in capsys.readouterr().err
