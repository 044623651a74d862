"""Exported policies, run without torch."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import metarl
from metarl import envs
from metarl.bridges.context_vec_env import ContextVecEnv
from metarl.envs.gymnasium_env import TaskEnv
from tests.conftest import SMALL


@pytest.mark.parametrize("algorithm", ["maml-trpo", "cavia"])
def test_an_exported_policy_acts_as_predict_does(tmp_path: Path, algorithm: str):
    family = envs.make("HalfCheetahVel", horizon=10)
    settings = {**SMALL, "algorithm": algorithm, "normalise_observations": True}
    learner = metarl.MAML(family, **settings).learn(1)
    adapted = learner.adapt({"velocity": 1.2}, rollouts=3)
    path = metarl.export(adapted, tmp_path / "deep" / "policy.onnx")
    assert [file.name for file in path.parent.iterdir()] == ["policy.onnx"]
    session = onnxruntime.InferenceSession(path)
    for count in (1, 5):
        observations = 5.0 * np.random.default_rng(0).normal(size=(count, 17)).astype(np.float32)
        (found,) = session.run(["action"], {"observation": observations})
        expected, _ = adapted.predict(observations, deterministic=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.abs(expected).max() > 0.01


def test_an_exported_memory_acts_as_the_actor_does_over_an_episode(tmp_path: Path):
    """Policy and encoder in one graph, fed as a robot would feed it, through a fall and a reset."""
    family = envs.make("HalfCheetahVel", horizon=12)
    settings = {**SMALL, "algorithm": "siamese", "rollouts": 2, "encoder_steps": 2}
    learner = metarl.MAML(family, **settings).learn(1)
    adapted = learner.adapt({"velocity": 1.2}, rollouts=2)
    session = onnxruntime.InferenceSession(metarl.export(adapted, tmp_path / "policy.onnx"))
    actor = adapted.actor
    env = TaskEnv(family, task={"velocity": 1.2})
    memory = actor.memory[None].copy()
    nothing = np.zeros((1, 1), np.float32)
    for episode in range(2):
        observation, _ = env.reset(seed=episode)
        last = [np.zeros((1, 17), np.float32), np.zeros((1, 6), np.float32), nothing, nothing]
        for _ in range(family.horizon):
            seen = observation.astype(np.float32)
            names = ("last_observation", "last_action", "reward", "acted")
            inputs = {
                "observation": seen[None],
                "memory": memory,
                **dict(zip(names, last, strict=True)),
            }
            action, memory = session.run(["action", "next_memory"], inputs)
            expected, _ = actor.predict(seen, deterministic=True)
            np.testing.assert_allclose(action[0], expected, atol=2e-5)
            # before a first step, the graph has dropped the last episode's reward already
            np.testing.assert_allclose(memory[0, :-2], actor.memory[:-2], rtol=1e-4, atol=1e-3)
            observation, reward, *_ = env.step(expected)
            actor.remember(seen, expected, float(reward), observation)
            last = [seen[None], expected[None], np.array([[reward]], np.float32), nothing + 1.0]
        # the episode's last step is told with the reset: the robot keeps it out of the graph
        memory = actor.memory[None].copy()


def test_another_ending_is_refused(learner: metarl.MAML, tmp_path: Path):
    adapted = learner.adapt({"x": 0.1, "y": 0.1}, rollouts=3)
    with pytest.raises(ValueError, match=r"must end in \.onnx, got 'policy\.pt'"):
        metarl.export(adapted, tmp_path / "policy.pt")
    assert not list(tmp_path.iterdir())


def test_says_what_to_install(learner: metarl.MAML, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    adapted = learner.adapt({"x": 0.1, "y": 0.1}, rollouts=3)
    with pytest.raises(
        ImportError, match=r"metarl, pip install -c constraints\.txt '\.\[export\]'"
    ):
        metarl.export(adapted, tmp_path / "policy.onnx")


def test_a_policy_is_asked_for_where_a_learner_is_given(tmp_path: Path):
    learner: Any = metarl.MAML("Point2D", **SMALL)
    venv: Any = None
    for call in (
        lambda policy: metarl.export(policy, tmp_path / "a.onnx"),
        lambda policy: metarl.to_ppo(policy, venv),
        lambda policy: ContextVecEnv(venv, policy),
    ):
        with pytest.raises(TypeError, match=r"got a learner: learner\.actor\(\) or learner\.adapt"):
            call(learner)
        with pytest.raises(TypeError, match="a policy is asked for, got 'runs/x'"):
            call("runs/x")
