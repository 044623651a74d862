"""`TaskFamily`: what it charges, by hand; what it says of itself; and pickling by value."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from metarl import envs
from metarl.envs import TaskFamily, goals
from metarl.envs.robots import Ant, HalfCheetah

HEALTHY = np.array([True, False])
CONTROL = np.array([[1.0, -2.0], [0.5, 0.0]])  # squares sum to 5 and 0.25
FORCES = np.zeros((2, 14, 6))
FORCES[0, 1] = 0.5  # six numbers: squares sum to 1.5
FORCES[1, 2, 0] = 7.0  # cut off at 1


def charged(**costs: float) -> list[float]:
    family = TaskFamily("test", Ant(), goals.forward(), "", **costs)  # type: ignore[arg-type]
    reward = np.array([10.0, 20.0])
    rest = family.charge(reward, CONTROL, HEALTHY, {"cfrc_ext": FORCES})
    assert reward.tolist() == [10.0, 20.0]
    return rest.tolist()


def test_costs_and_bonus_by_hand():
    assert charged() == [10.0, 20.0]
    assert charged(control_cost=2.0) == [0.0, 19.5]
    assert charged(survive_bonus=3.0) == [13.0, 20.0]
    assert charged(survive_bonus=3.0, falls=False) == [13.0, 23.0]
    assert charged(contact_cost=4.0) == [4.0, 16.0]
    assert charged(contact_cost=4.0, contact_cost_limit=5.0) == [5.0, 16.0]
    both = charged(control_cost=2.0, survive_bonus=3.0, contact_cost=4.0)
    assert both == [10.0 - 10.0 + 3.0 - 6.0, 20.0 - 0.5 - 4.0]


@pytest.mark.parametrize("name", ["HalfCheetahVel", "ReacherGoal", "HumanoidDir", "Point2D"])
def test_what_actions_cost_is_what_steps_are_charged_for_them(name: str):
    """The same simulations with and without the cost, actions beyond the control range included."""
    family = envs.make(name)
    draws, rewards = np.random.default_rng(0), []
    actions = draws.normal(size=(3, family.action_size)) * np.array([[0.5], [2.0], [9.0]])
    for made in (family.replace(control_cost=0.7), family.replace(control_cost=0.0)):
        simulator = made.simulate(3, threads=1)
        simulator.set_tasks(family.sample_tasks(3, seed=1))
        simulator.reset([np.random.default_rng(seed) for seed in range(3)])
        rewards.append(simulator.step(actions).reward)
    limit = 1.0 / family.action_scale
    weight, rest = family.replace(control_cost=0.7).cost_of_actions
    charged = (weight * (actions.clip(-limit, limit) - rest) ** 2).sum(1)
    np.testing.assert_allclose(rewards[1] - rewards[0], charged, rtol=1e-9)


def test_what_actions_cost_around_a_middle_that_is_not_0():
    """Control ranges of [0, 2] and of a single control, 3."""

    class Pushed(Ant):
        def control_range(self, model):
            first = np.arange(8) < 4
            return np.where(first, 0.0, 3.0), np.where(first, 2.0, 3.0)

    family = TaskFamily("test", Pushed(), goals.forward(), "", control_cost=2.0, action_scale=0.5)
    weight, rest = family.cost_of_actions
    # control 1 + 0.5 a: 2 (1 + 0.5 a)^2 = 0.5 (a + 2)^2
    assert weight.tolist() == [0.5] * 4 + [0.0] * 4
    assert rest.tolist() == [-2.0] * 4 + [0.0] * 4


@pytest.mark.parametrize("name", ["HalfCheetahVel", "AntCrippled", "HopperRandParams"])
def test_a_family_is_pickled_by_value_with_its_functions(name: str):
    """A process that never imported this one's functions steps the same simulations."""
    family = envs.make(name)
    again = pickle.loads(pickle.dumps(family))
    assert again.describe() == family.describe()
    tasks = family.sample_tasks(3, seed=1)
    assert again.sample_tasks(3, seed=1) == tasks
    results = []
    for made in (family, again):
        simulator = made.simulate(3, threads=1)
        simulator.set_tasks(tasks)
        simulator.reset([np.random.default_rng(seed) for seed in range(3)])
        results.append(simulator.step(np.ones((3, made.action_size))))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_family_of_the_users_script_is_read_elsewhere(tmp_path):
    """Its reward is a function of a module that the other process cannot import."""
    family = TaskFamily(
        "mine", HalfCheetah(), goals.Goal("mine", (), lambda step, _: np.full(1, 42.0)), ""
    )
    (tmp_path / "family").write_bytes(pickle.dumps(family))
    code = "import pickle; print(pickle.load(open('family', 'rb')).goal.reward(None, None))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[42.]\n"


def test_the_description_is_plain_data():
    described = envs.make("HalfCheetahVel").describe()
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert described["contact_cost_limit"] is None
    assert described["varies"] == ["velocity in 0 to 3 m/s (extrapolate: 3 to 4)"]
    assert (described["observation_size"], described["action_size"]) == (17, 6)
    assert envs.make("HumanoidDir", preset="promp2018").describe()["contact_cost_limit"] == 10.0


def test_a_step_lasts_as_long_as_its_physics_steps():
    assert envs.make("HalfCheetahVel").dt == pytest.approx(5 * 0.01)
    assert envs.make("HopperRandParams").dt == pytest.approx(4 * 0.002)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_scale": 0.0}, "action_scale must be positive, got 0"),
        ({"horizon": 0}, "horizon must be at least 1 step, got 0"),
        (
            {"contact_cost": 1.0},
            r"a contact cost needs contact forces: HalfCheetah\(contact_forces",
        ),
        ({"goal": goals.turn(1.0)}, "needs the tracks x, y, yaw, but HalfCheetah has x only"),
    ],
)
def test_impossible_families_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        envs.make("HalfCheetahDir").replace(**changes)


@pytest.mark.parametrize("name", envs.families())
def test_the_reward_is_written_down(name: str):
    """The costs and the bonus as numbers of the family."""
    family = envs.make(name)
    if not isinstance(family, TaskFamily):
        return
    assert family.goal.formula
    assert (f"- {family.control_cost:g} |control|^2" in family.formula) == (family.control_cost > 0)
    assert (f"+ {family.survive_bonus:g}" in family.formula) == (family.survive_bonus > 0)
