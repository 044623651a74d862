"""The examples run, in their short setting, as a user would run them."""

import json
import runpy
import subprocess
import sys
import time
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest

import metarl
from metarl import envs

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
RUN = ROOT / "docs" / "results" / "half_cheetah_dir"


def example(name: str, *words: str | Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_robot_of_ones_own(tmp_path: Path):
    quick = ["--total-timesteps", "8000", "--horizon", "10", "--out", tmp_path / "arm"]
    assert "Adaptation" in example("own_robot.py", *quick)
    assert (tmp_path / "arm" / "adaptation.mp4").stat().st_size > 10_000


@pytest.mark.slow
def test_training_stops_when_it_is_good_enough(tmp_path: Path):
    quick = ["--total-timesteps", "40000", "--wanted", "-1000", "--tasks", "4", "--out", tmp_path]
    assert "Rollouts seen before add" in example("train.py", *quick)
    assert (tmp_path / "checkpoint.safetensors").exists()
    settings = json.loads((tmp_path / "evaluation.json").read_text())["settings"]
    assert settings["trained_timesteps"] == 8_000, "one iteration was enough"
    never = ["--total-timesteps", "16000", "--wanted", "1000", "--tasks", "4", "--out", tmp_path]
    example("train.py", *never)
    settings = json.loads((tmp_path / "evaluation.json").read_text())["settings"]
    assert settings["trained_timesteps"] == 16_000


@pytest.mark.slow
def test_a_new_task(tmp_path: Path):
    printed = example("new_task.py", "--run", RUN, "--out", tmp_path, "--ppo-timesteps", "2000")
    assert (tmp_path / "adaptation.mp4").stat().st_size > 10_000
    assert (tmp_path / "ppo.zip").exists()
    assert float(printed.split("likely actions ")[1].split()[0]) > 200.0


def test_rollouts_of_ones_own(tmp_path: Path):
    printed = example("own_rollouts.py", "--run", RUN, "--rollouts", "5", "--out", tmp_path)
    before, after = (float(line.split()[-1]) for line in printed.splitlines()[-2:])
    assert after > before + 100.0
    assert (tmp_path / "log.npz").exists()


def test_rollouts_of_a_policy_that_remembers(tmp_path: Path):
    """It knows the way within each of its first episodes, if it is told what it did."""
    words = "--run", "pretrained:HalfCheetahDir", "--rollouts", "2", "--out", tmp_path
    before, after = example("own_rollouts.py", *words).splitlines()[-2:]
    assert float(before.split()[-1]) > 300.0
    assert float(after.split()[-1]) > 300.0


def test_a_policy_in_real_time(tmp_path: Path):
    began = time.perf_counter()
    printed = example("deploy.py", "--run", RUN, "--seconds", "1", "--out", tmp_path / "p.onnx")
    assert time.perf_counter() - began > 1.0
    assert "in 20 actions, 20 a second" in printed
    milliseconds = float(printed.split("p99 ")[1].split()[0])
    assert 0.0 < milliseconds < 50.0, "a control step"


@pytest.mark.parametrize("algorithm", ["maml-trpo", "siamese"])
def test_a_deployed_policy_acts_as_the_actor_does(tmp_path: Path, algorithm: str):
    deploy = runpy.run_path(str(EXAMPLES / "deploy.py"))
    settings = {"algorithm": algorithm, "tasks": 2, "rollouts": 2, "hidden": (8, 8)}
    learner = metarl.MAML(envs.make("Point2D", horizon=5), **settings, seed=0)
    actor = learner.learn(20).actor()
    policy = deploy["Policy"](metarl.export(actor, tmp_path / "p.onnx"), actor.memory)
    rng, reward = np.random.default_rng(0), 0.0
    observation = rng.standard_normal(2)
    for _ in range(6):
        action, _ = actor.predict(observation, deterministic=True)
        np.testing.assert_allclose(policy.act(observation, reward), action, atol=1e-5)
        after, reward = rng.standard_normal(2), float(rng.standard_normal())
        actor.remember(observation, action, reward, after)
        observation = after


@pytest.mark.slow
# jupyter's own event loop and sockets
@pytest.mark.filterwarnings("ignore")
def test_the_tutorial(tmp_path: Path):
    notebook = nbformat.read(EXAMPLES / "tutorial.ipynb", as_version=4)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert (tmp_path / "adaptation.mp4").stat().st_size > 10_000
