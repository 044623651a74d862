"""Environments that are not ours: told their tasks, stepped alike, learned from."""

import gymnasium
import numpy as np
import pytest
import torch

import metarl
from metarl.agents import GaussianPolicy
from metarl.envs import ForeignFamily, Tasks
from metarl.envs.distributions import Uniform
from metarl.envs.foreign_family import ForeignSimulator
from metarl.sampling.collect import collect, empty_rollouts
from metarl.sampling.streams import Key, Phase
from tests.conftest import SMALL


def set_mass(env: gymnasium.Env, task: dict[str, float]) -> None:
    env.unwrapped.m = task["mass"]  # type: ignore[attr-defined]


def pendulum(**changes: object) -> ForeignFamily:
    settings = {"horizon": 15, "action_scale": 0.5, **changes}
    return ForeignFamily(
        "PendulumMass",
        lambda: gymnasium.make("Pendulum-v1"),
        set_mass,
        (Uniform("mass", 0.5, 2.0, "kg", (2.0, 3.0)),),
        **settings,  # type: ignore[arg-type]
    )


class Countdown(gymnasium.Env):
    """Observes how many steps have been taken; ends after as many as its task says."""

    observation_space = gymnasium.spaces.Box(0.0, 100.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self) -> None:
        self.length, self.taken = 1.0, 0

    def reset(self, *, seed=None, options=None):
        self.taken = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.taken += 1
        ended = self.taken >= self.length
        return np.full(1, self.taken, np.float32), 1.0, ended, False, {}


def countdown(make: type[Countdown]) -> ForeignFamily:
    return ForeignFamily(
        "Countdown",
        make,
        lambda env, task: setattr(env.unwrapped, "length", task["length"]),
        (Uniform("length", 1.0, 9.0),),
        horizon=9,
    )


def test_an_ended_episode_keeps_its_last_observation():
    """Whatever the vector environment does with it meanwhile."""
    simulator = ForeignSimulator(countdown(Countdown), 3)
    simulator.set_tasks(Tasks(("length",), np.array([[2.0], [9.0], [4.0]])))
    policy = GaussianPolicy(1, 1, (4,))
    parameters = policy.initial(torch.Generator().manual_seed(0))
    rollouts = collect(
        simulator, policy, parameters, Key(0, Phase.TRAIN), empty_rollouts(simulator.family, 3, 1)
    )
    assert rollouts.lengths.flatten().tolist() == [2, 9, 4]
    assert rollouts.final_observations.flatten().tolist() == [2.0, 9.0, 4.0]


@pytest.mark.parametrize("processes", [False, True])
def test_steps_as_the_environment_itself_with_its_task(processes: bool):
    family = pendulum(processes=processes)
    simulator = ForeignSimulator(family, 2)
    masses = [0.5, 2.0]
    simulator.set_tasks(Tasks(("mass",), np.array(masses)[:, None]))
    observation = simulator.reset([np.random.default_rng(seed) for seed in (3, 4)])
    singles = [gymnasium.make("Pendulum-v1") for _ in masses]
    for env, mass, seed in zip(singles, masses, (3, 4), strict=True):
        env.unwrapped.m = mass  # type: ignore[attr-defined]
        env.reset(seed=int(np.random.default_rng(seed).integers(2**31)))
    rng = np.random.default_rng(0)
    for _ in range(15):
        action = rng.standard_normal((2, 1))
        observation, reward, terminated, _ = simulator.step(action)
        assert not terminated.any()
        for index, env in enumerate(singles):
            force = 2.0 * np.clip(0.5 * action[index], -1, 1)  # the torque's range is 2
            expected, r, *_ = env.step(force.astype(np.float32))
            np.testing.assert_allclose(observation[index], expected, rtol=1e-6)
            assert reward[index] == pytest.approx(float(r), rel=1e-6)
    simulator.close()


def test_inactive_environments_earn_nothing():
    simulator = ForeignSimulator(pendulum(), 2)
    simulator.set_tasks(Tasks(("mass",), np.ones((2, 1))))
    simulator.reset([np.random.default_rng(0), np.random.default_rng(1)])
    result = simulator.step(np.array([[0.0], [np.nan]]), np.array([True, False]))
    assert result.reward[0] < 0.0
    assert result.reward[1] == 0.0


def test_is_learned_evaluated_saved_and_loaded(tmp_path):
    family = pendulum()
    learner = metarl.MAML(family, **SMALL)
    metarl.train(learner, tmp_path / "run", 600)
    with pytest.raises(ValueError, match=r"not in the catalogue; pass it: load\(path, family"):
        metarl.load(tmp_path / "run")
    again = metarl.load(tmp_path / "run", family=pendulum())
    options = {"tasks": 3, "rollouts": 3, "steps": 1}
    first, second = (metarl.evaluate(each, **options) for each in (learner, again))  # type: ignore[arg-type]
    np.testing.assert_array_equal(first.returns, second.returns)
    metarl.resume(tmp_path / "run", total_timesteps=1000, family=family)
    with pytest.raises(ValueError, match="cannot be filmed"):
        metarl.render(learner, {"mass": 1.0}, tmp_path / "film.mp4")


def test_environments_are_closed_when_they_are_done_with():
    open_ones = []

    class Counted(Countdown):
        def __init__(self) -> None:
            super().__init__()
            open_ones.append(self)

        def close(self) -> None:
            open_ones.remove(self)

    family = countdown(Counted)
    learner = metarl.MAML(family, **SMALL)
    open_ones.clear()  # those that were made to look at
    learner.learn(1)
    learner.adapt({"length": 2.0}, rollouts=2)
    learner.sample(family.sample_tasks(2, seed=0), learner.parameters, 2, Key(0, Phase.TRAIN))
    assert not open_ones


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pendulum(horizon=300), "ends after 200 steps, before the horizon of 300"),
        (
            lambda: ForeignFamily("Cart", lambda: gymnasium.make("CartPole-v1"), set_mass, (), 10),
            "Cart needs Box actions, got Discrete",
        ),
        (lambda: pendulum().task({"mass": 9.0}), "outside the range"),
        (
            lambda: ForeignFamily(
                "Twice",
                lambda: gymnasium.make("Pendulum-v1"),
                set_mass,
                (Uniform("mass", 0.5, 2.0), Uniform("mass", 1.0, 3.0)),
                10,
            ),
            "task parameters must have different names, got mass, mass",
        ),
    ],
)
def test_bad_input_is_named(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
