"""Both kinds of families and of simulations answer the whole protocol."""

import gymnasium
import numpy as np
import pytest

from metarl import envs
from metarl.envs import Family, ForeignFamily
from metarl.envs.distributions import Uniform
from metarl.envs.family import Simulations


def pendulum() -> Family:
    return ForeignFamily(
        "PendulumMass",
        lambda: gymnasium.make("Pendulum-v1"),
        lambda env, task: setattr(env.unwrapped, "m", task["mass"]),
        (Uniform("mass", 0.5, 2.0, "kg", (2.0, 3.0)),),
        horizon=15,
    )


def cheetah() -> Family:
    return envs.make("HalfCheetahVel", horizon=15)


def members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


every_family = pytest.mark.parametrize("make", [pendulum, cheetah])


@every_family
def test_every_member_is_there(make):
    family = make()
    assert members(Family) <= set(dir(family))
    simulations = family.simulate(2, threads=1)
    assert members(Simulations) <= set(dir(simulations))
    simulations.close()


@every_family
def test_sizes_and_tasks_agree_with_the_simulations(make):
    family: Family = make()
    tasks = family.sample_tasks(3, seed=0)
    assert tasks.names == family.parameters
    assert family.coordinates(tasks).shape == (3, 1)
    assert family.extrapolates
    assert not family.tells_success
    simulations = family.simulate(3, threads=1)
    simulations.set_tasks(tasks)
    start = simulations.reset([np.random.default_rng(seed) for seed in range(3)])
    result = simulations.step(np.zeros((3, family.action_size)))
    assert start.shape == result.observation.shape == (3, family.observation_size)
    assert result.reward.shape == result.terminated.shape == result.succeeded.shape == (3,)
    simulations.close()


@every_family
def test_the_description_names_what_learning_depends_on(make):
    family: Family = make()
    described = family.describe()
    for member in ("name", "preset", "horizon", "action_scale", "observation_size", "action_size"):
        assert described[member] == getattr(family, member)
    assert described["parameters"] == list(family.parameters)


def test_only_ours_are_stepped_by_native_threads():
    assert (cheetah().native, cheetah().processes) == (True, False)
    assert (pendulum().native, pendulum().processes) == (False, False)
