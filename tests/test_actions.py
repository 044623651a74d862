"""An action means the same on every way to the robot, whatever the family's action scale."""

from pathlib import Path

import gymnasium
import numpy as np
import onnxruntime
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

import metarl
from metarl import envs
from metarl.agents import Actor, GaussianPolicy
from metarl.agents.adapted_policy import AdaptedPolicy
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.gymnasium_vector import TaskVectorEnv
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.sampling.streams import torch_generator

TASK = {"velocity": 1.0}


def actor_of(observations: int, actions: int, scale: float, spread: float) -> Actor:
    """A policy with means of about `spread`, in its own units, in both directions."""
    policy = GaussianPolicy(observations, actions, hidden=(8,))
    parameters = policy.initial(torch_generator(0))
    parameters["bias1"] = torch.linspace(-spread, spread, actions)
    return Actor(policy, parameters, scale)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_the_same_control_reaches_mujoco_by_every_path(scale: float, tmp_path: Path):
    """-1 to 1 is HalfCheetah's control range: clip(scale * mean) is what its motors must get."""
    family = envs.make("HalfCheetahVel", action_scale=scale)
    actor = actor_of(17, 6, scale, spread=2.0 / scale)
    env = TaskEnv(family, task=TASK)
    observation, _ = env.reset(seed=3)
    mean = actor.policy(actor.parameters, torch.from_numpy(observation).float()[None]).mean[0]
    expected = np.clip(scale * mean.detach().numpy(), -1.0, 1.0)
    assert (np.abs(expected) == 1.0).any()
    assert (np.abs(expected) < 0.9).any()

    path = metarl.export(actor, tmp_path / "actor.onnx")
    session = onnxruntime.InferenceSession(path)
    ppo = metarl.to_ppo(actor, TaskVecEnv(family, 2, task=TASK))
    row = observation.astype(np.float32)[None]
    actions = {
        "predict": actor.predict(observation, deterministic=True)[0],
        "ONNX": session.run(["action"], {"observation": row})[0][0],  # type: ignore[index]
        "PPO": ppo.predict(observation, deterministic=True)[0],
    }
    for name, action in actions.items():
        np.testing.assert_allclose(action, expected, atol=2e-6, err_msg=name)

    controls = {}
    rollouts = envs.Simulator(family, 1)
    rollouts.set_tasks(family.task(TASK))
    fields = env._episodes.simulator.fields
    rollouts.set_state(fields["qpos"], fields["qvel"])
    rollouts.step(actor.policy.acting(actor.parameters)(row))
    controls["the package's rollouts"] = rollouts.fields["ctrl"][0]
    env.step(actions["predict"])
    controls["Gymnasium"] = fields["ctrl"][0]
    vector = TaskVectorEnv(family, 1, task=TASK)
    vector.reset(seed=3)
    vector.step(actions["ONNX"][None])
    controls["a Gymnasium vector"] = vector._episodes.simulator.fields["ctrl"][0]
    stable = TaskVecEnv(family, 1, task=TASK)
    stable.seed(3)
    stable.reset()
    stable.step(actions["PPO"][None])
    controls["Stable-Baselines3"] = stable._episodes.simulator.fields["ctrl"][0]
    for name, control in controls.items():
        np.testing.assert_allclose(control, expected, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_what_is_explored_is_cut_off_for_the_robot_alone(scale: float):
    actor = actor_of(17, 6, scale, spread=0.0)
    observations = np.random.default_rng(0).normal(size=(4000, 17))
    action, sampled = actor.explore(observations)
    np.testing.assert_array_equal(action, np.clip(sampled, -1.0, 1.0))
    mean = actor.policy.acting(actor.parameters)(observations.astype(np.float32))
    np.testing.assert_allclose(np.std(sampled / scale - mean, axis=0), 1.0, atol=0.05)
    adapted = AdaptedPolicy({}, actor_of(17, 6, scale, spread=0.0), np.zeros((2, 1)))
    np.testing.assert_array_equal(adapted.explore(observations)[1], sampled)
    same, _ = actor_of(17, 6, scale, spread=0.0).predict(observations)
    np.testing.assert_array_equal(action, same)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_ppo_drives_an_environment_with_another_range_as_our_rollouts_do(scale: float):
    """Pendulum's torque is -2 to 2, of which ours is a part: half of it is a torque of 1."""
    env = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    actor = actor_of(3, 1, scale, spread=0.0)
    model = metarl.to_ppo(actor, env)
    observation = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    part, _ = actor.predict(observation, deterministic=True)
    torque, _ = model.predict(observation, deterministic=True)
    np.testing.assert_allclose(torque, 2.0 * part, atol=1e-5)
    distribution = model.policy.get_distribution(torch.from_numpy(observation))
    stddev = distribution.distribution.stddev  # type: ignore[union-attr]
    np.testing.assert_allclose(stddev.detach(), 2.0 * scale, rtol=1e-5)


def test_a_range_without_ends_is_refused():
    class Endless(gymnasium.Wrapper):
        def __init__(self) -> None:
            super().__init__(gymnasium.make("Pendulum-v1"))
            self.action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))

    with pytest.raises(ValueError, match="actions need bounds, got Box"):
        metarl.to_ppo(actor_of(3, 1, 1.0, 0.0), DummyVecEnv([Endless]))
