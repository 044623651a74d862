"""Third-party environments: told their tasks, stepped alike, learned from."""

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict
from gymnasium.wrappers import RescaleAction

import metarl
from metarl.agents import GaussianPolicy
from metarl.envs import ForeignFamily, Tasks, task_env_family, task_through_reset_options
from metarl.envs.distributions import Uniform
from metarl.envs.foreign_family import ForeignSimulator
from metarl.sampling.collect import collect, empty_rollouts
from metarl.sampling.sampler import Sampler
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
        observation, reward, terminated, *_ = simulator.step(action)
        assert not terminated.any()
        for index, env in enumerate(singles):
            force = 2.0 * np.clip(0.5 * action[index], -1, 1)  # the torque's range is 2
            expected, r, *_ = env.step(force.astype(np.float32))
            np.testing.assert_allclose(observation[index], expected, rtol=1e-6)
            assert reward[index] == pytest.approx(float(r), rel=1e-6)
    simulator.close()


def test_a_task_cannot_change_within_an_episode():
    simulator = ForeignSimulator(pendulum(), 2)
    tasks = Tasks(("mass",), np.ones((2, 1)))
    simulator.set_tasks(tasks)
    simulator.reset([np.random.default_rng(0), np.random.default_rng(1)])
    with pytest.raises(ValueError, match="cannot change in the middle of an episode"):
        simulator.set_tasks(tasks, now=True)


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


@pytest.mark.parametrize(("at_any_step", "succeeded"), [(False, [0, 1]), (True, [1, 1])])
def test_an_episode_succeeds_by_its_last_step_or_by_any(at_any_step: bool, succeeded: list[int]):
    class Passing(Countdown):
        """Succeeds in its second step only; its tasks end after 4 steps and after 2."""

        def step(self, action):
            observation, reward, ended, cut, _ = super().step(action)
            return observation, reward, ended, cut, {"success": self.taken == 2}

    family = countdown(Passing).replace(tells_success=True, succeeds_at_any_step=at_any_step)
    policy = GaussianPolicy(1, 1, (4,))
    initial = policy.initial(torch.Generator().manual_seed(0))
    with Sampler(family, 2, 1) as sampler:
        sampler.set_tasks(Tasks(("length",), np.array([[4.0], [2.0]])))
        parameters = {name: value.expand(2, *value.shape) for name, value in initial.items()}
        rollouts = sampler.sample(policy, parameters, Key(0, Phase.TRAIN))
    assert rollouts.succeeded.flatten().tolist() == succeeded


def test_the_environments_of_a_task_serve_the_others_too():
    made = []

    class Counted(Countdown):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    family = countdown(Counted)
    policy = GaussianPolicy(1, 1, (4,))
    initial = policy.initial(torch.Generator().manual_seed(0))
    made.clear()
    with Sampler(family, 5, 2) as sampler:
        sampler.set_tasks(Tasks(("length",), np.arange(3.0, 8.0)[:, None]))
        parameters = {name: value.expand(5, *value.shape) for name, value in initial.items()}
        rollouts = sampler.sample(policy, parameters, Key(0, Phase.TRAIN))
    assert len(made) == 2
    assert rollouts.lengths.tolist() == [[length] * 2 for length in range(3, 8)]


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
        (
            lambda: ForeignFamily(
                "Free",
                lambda: gymnasium.wrappers.TransformAction(
                    gymnasium.make("Pendulum-v1"), lambda action: action, Box(-np.inf, np.inf, (1,))
                ),
                set_mass,
                (),
                10,
            ),
            "the actions of Free need bounds, got Box",
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


def test_an_action_applies_the_same_torque_on_every_way():
    """The learner's own rollout, and `predict` stepping the environment, whose range is -2 to 2."""
    family = pendulum()
    learner = metarl.MAML(family, **{**SMALL, "tasks": 2})
    task = family.task({"mass": 1.5})
    key = Key(0, Phase.TRAIN)
    rollouts = learner.sample(task, learner.parameters, 1, key, deterministic=True)
    expected, rewards = rollouts.observations[0, 0].numpy(), rollouts.rewards[0, 0].numpy()
    assert rollouts.actions.abs().max() > 0.01

    plain = gymnasium.make("Pendulum-v1")
    plain.unwrapped.m = 1.5  # type: ignore[attr-defined]
    for env in (family.environment(task), RescaleAction(plain, np.float32(-1), np.float32(1))):
        env.reset()
        base: Any = env.unwrapped
        # the states that it began in, from what it observed: cos, sin and the angular velocity
        base.state = np.array([np.arctan2(expected[0, 1], expected[0, 0]), expected[0, 2]])
        observation: Any = expected[0]
        for step in range(family.horizon):
            np.testing.assert_allclose(observation, expected[step], rtol=1e-3, atol=1e-3)
            action, _ = learner.predict(observation, deterministic=True)
            observation, reward, *_ = env.step(action)
            assert float(reward) == pytest.approx(float(rewards[step]), rel=2e-3, abs=1e-3)
            torque = 2.0 * float(action[0])
            assert base.last_u == pytest.approx(torque, abs=1e-5)


def test_its_environment_is_told_the_task_and_ends_at_the_horizon():
    env = pendulum(horizon=3).environment({"mass": np.float64(1.25)})
    assert (env.action_space.low, env.action_space.high) == (-1.0, 1.0)  # type: ignore[attr-defined]
    for _ in range(2):
        env.reset(seed=0)
        assert env.unwrapped.m == 1.25  # type: ignore[attr-defined]
        ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(3)]
        assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(ValueError, match="takes no reset options, got mass"):
        env.reset(options={"mass": 2.0})
    with pytest.raises(ValueError, match="an environment has one task, got 2"):
        pendulum().environment(pendulum().sample_tasks(2, seed=0))


class Square(gymnasium.Env):
    """Takes actions [2, 2], and earns the second row's first."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.Box(-3.0, 3.0, (2, 2))

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert action.shape == (2, 2)
        return np.zeros(2, np.float32), float(action[1, 0]), False, False, {}


def test_actions_of_any_shape_are_a_row():
    family = ForeignFamily("Square", Square, lambda *_: None, (Uniform("x", 0.0, 1.0),), horizon=3)
    env = family.environment({"x": 0.5})
    env.reset()
    assert env.action_space.shape == (family.action_size,) == (4,)
    assert env.step(np.array([0.0, 0.1, 0.5, 1.0], np.float32))[1] == pytest.approx(1.5)


class Reaching(Countdown):
    """Is told its length as an option, and tells success in the third step, under some key."""

    key: str | None = "success"
    value: Any = 1.0

    def reset(self, *, seed=None, options=None):
        if options:
            self.length = options["task"]["length"]
        return super().reset()

    def step(self, action):
        observation, reward, ended, truncated, _ = super().step(action)
        info = (
            {}
            if self.key is None
            else {self.key: self.value if self.taken == 3 else 0 * self.value}
        )
        return observation, reward, ended, truncated, info


def reaching(key: str | None, value: Any = 1.0, **settings: Any) -> ForeignFamily:
    kind = type("Kind", (Reaching,), {"key": key, "value": value})
    lengths = (Uniform("length", 1.0, 9.0),)
    settings = {"horizon": 9, "tells_success": True, **settings}
    return ForeignFamily("Reaching", kind, task_through_reset_options, lengths, **settings)


@pytest.mark.parametrize("key", ["is_success", "success"])
@pytest.mark.parametrize("value", [1.0, True, np.float32(1.0), np.bool_(True)])
@pytest.mark.parametrize("processes", [False, True])
def test_success_is_read_under_both_keys(key: str, value: Any, processes: bool):
    family = reaching(key, value, processes=processes)
    simulator = family.simulate(3)
    lengths = np.array([[2.0], [3.0], [5.0]])
    policy = GaussianPolicy(1, 1, (4,))
    parameters = policy.initial(torch.Generator().manual_seed(0))
    simulator.set_tasks(Tasks(("length",), lengths))
    rollouts = collect(
        simulator, policy, parameters, Key(0, Phase.TRAIN), empty_rollouts(family, 3, 1)
    )
    simulator.close()
    assert rollouts.lengths.flatten().tolist() == [2, 3, 5], "told through the options of reset"
    assert rollouts.succeeded.flatten().tolist() == [False, True, False], "in the last step"


def test_success_may_be_an_array():
    """The same as a flag."""
    results = []
    for value in (np.bool_(True), np.array([True]), np.array([[0.0, 1.0]])):
        simulator = reaching("success", value).simulate(2)
        simulator.set_tasks(Tasks(("length",), np.array([[9.0], [9.0]])))
        simulator.reset([np.random.default_rng(0)] * 2)
        results.append([simulator.step(np.zeros((2, 1))).succeeded.tolist() for _ in range(3)])
    assert results == [[[False] * 2, [False] * 2, [True] * 2]] * 3


def test_an_end_may_be_a_truncation_too():
    """Of an environment that ends of itself and by its clock in one step."""

    class Both(Reaching):
        def step(self, action) -> Any:
            observation, reward, ended, _, info = super().step(action)
            return observation, reward, ended, ended, info

    lengths = (Uniform("length", 1.0, 9.0),)
    family = ForeignFamily("Both", Both, task_through_reset_options, lengths, horizon=9)
    simulator = family.simulate(1)
    simulator.set_tasks(Tasks(("length",), np.array([[2.0]])))
    simulator.reset([np.random.default_rng(0)])
    assert [simulator.step(np.zeros((1, 1))).terminated.item() for _ in range(2)] == [False, True]


@pytest.mark.parametrize("rate", [None, {}, {"render_fps": None}, {"render_fps": 20}])
def test_pictures_without_a_rate_are_thirty_a_second(rate: dict | None):
    kind = type("Drawn", (Countdown,), {"metadata": rate or {}, "render_mode": "rgb_array"})
    expected = 20.0 if rate and rate.get("render_fps") else 30.0
    assert ForeignFamily("Drawn", kind, set_mass, (), horizon=9).render_fps == expected


@pytest.mark.parametrize(
    ("make_env", "message"),
    [
        ("Pendulum-v1", "make_env of F must be a function .* got 'Pendulum-v1'"),
        (Countdown(), "make_env of F must be a function that makes a new environment"),
        (lambda: None, "make_env of F must return a gymnasium.Env, got None"),
    ],
)
def test_what_makes_no_environment_is_refused(make_env: Any, message: str):
    with pytest.raises(TypeError, match=message):
        ForeignFamily("F", make_env, set_mass, (), horizon=9)
    with pytest.raises(TypeError, match=message):
        task_env_family("F", make_env, 9)


def test_an_evaluation_shows_the_success_of_others():
    learner = metarl.MAML(reaching("success"), **SMALL)
    tasks = Tasks(("length",), np.array([[3.0], [5.0]]))
    evaluation = metarl.evaluate(learner, tasks=tasks, rollouts=2, steps=1)
    assert evaluation.success is not None
    assert evaluation.success[0].tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_success_that_never_comes_is_missed():
    simulator = reaching(None).simulate(2)
    simulator.set_tasks(Tasks(("length",), np.array([[2.0], [4.0]])))
    simulator.reset([np.random.default_rng(seed) for seed in range(2)])
    active = np.ones(2, dtype=bool)
    for _ in range(3):
        active &= ~simulator.step(np.zeros((2, 1)), active).terminated
    with pytest.warns(UserWarning, match=r"neither is_success nor success.*info\['is_success'\]"):
        simulator.step(np.zeros((2, 1)), active)


class Spaces(gymnasium.Env):
    """Observes a number and a pair of them."""

    observation_space = Dict({"one": Box(0.0, 9.0, (1,)), "pair": Box(0.0, 9.0, (2,))})
    action_space = Box(-1.0, 1.0, (1,))
    observed: Any = {"one": np.array([0], "f4"), "pair": np.array([2, 3], "f4")}  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        return self.observed, {}

    def step(self, action):
        return self.observed, 1.0, False, False, {}


def test_dict_observations_are_flattened_when_asked():
    def spaces(**settings: Any) -> ForeignFamily:
        lengths = (Uniform("length", 1.0, 9.0),)
        set_length = lambda env, task: setattr(env.unwrapped, "length", task["length"])  # noqa: E731
        return ForeignFamily("Spaces", Spaces, set_length, lengths, 9, **settings)

    with pytest.raises(ValueError, match=r"Box observations, got Dict.*flatten_observation=True"):
        spaces()
    family = spaces(flatten_observation=True)
    assert family.observation_size == 3
    simulator = family.simulate(2)
    simulator.set_tasks(Tasks(("length",), np.array([[2.0], [9.0]])))
    observation = simulator.reset([np.random.default_rng(seed) for seed in range(2)])
    assert observation.tolist() == [[0.0, 2.0, 3.0]] * 2
    env = family.environment({"length": 2.0})
    assert env.reset()[0].tolist() == [0.0, 2.0, 3.0]
    metarl.MAML(family, **SMALL).learn(1)


def test_what_is_returned_stays_as_it_is():
    simulator = pendulum().simulate(2)
    simulator.set_tasks(Tasks(("mass",), np.ones((2, 1))))
    kept: list[Any] = [simulator.reset([np.random.default_rng(seed) for seed in range(2)])]
    copies = copy.deepcopy(kept)
    for _ in range(4):
        kept.append(simulator.step(np.ones((2, 1))))
        copies.append(copy.deepcopy(kept[-1]))
    for outcome, expected in zip(kept, copies, strict=True):
        np.testing.assert_equal(outcome, expected)


def test_is_pickled_with_its_functions():
    family = pendulum(horizon=7)
    again = pickle.loads(pickle.dumps(family))
    assert again.describe() == family.describe()
    assert again.environment({"mass": 2.0}).reset(seed=3)[0].tolist() == (
        family.environment({"mass": 2.0}).reset(seed=3)[0].tolist()
    )


def test_numpys_numbers_are_task_values():
    seen = []
    family = ForeignFamily(
        "PendulumMass",
        lambda: gymnasium.make("Pendulum-v1"),
        lambda env, task: seen.append(task["mass"]),
        (Uniform("mass", 0.5, 2.0),),
        horizon=5,
    )
    value: Any
    for value in (np.float64(1.5), np.float32(1.5), np.int64(1), np.array(1.5)):
        simulator = family.simulate(1)
        simulator.set_tasks(family.task({"mass": value}))
        simulator.reset([np.random.default_rng(0)])
        assert seen[-1] == float(value)
        assert type(seen[-1]) is float


class Wrong(Countdown):
    """Is wrong in the way that its task tells."""

    def reset(self, *, seed=None, options=None):
        if self.length == 1.0:
            raise KeyError("start")
        return super().reset()

    def step(self, action) -> Any:
        observation, reward, *others = super().step(action)
        if self.length == 2.0:
            raise KeyError("speed")
        observation = np.zeros(3) if self.length == 3.0 else observation
        return observation, "x" if self.length == 4.0 else reward, *others


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (0, r"set_task of Wrong failed \(.*test_foreign_family.py, line \d+\): KeyError: 'tasks'"),
        (1, r"reset of Wrong failed \(.*test_foreign_family.py, line \d+\): KeyError: 'start'"),
        (2, r"step of Wrong failed \(.*test_foreign_family.py, line \d+\): KeyError: 'speed'"),
        (3, r"environment of Wrong returned an observation of shape \[3\], its space has \[1\]"),
        (4, r"the environment of Wrong returned a reward that is no number: 'x'"),
    ],
)
@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*ERROR:")  # Gymnasium's vector says it, too, as a warning
def test_faults_of_the_users_own_code_are_told_in_a_line(task: int, message: str, processes: bool):
    def set_length(env: gymnasium.Env, task: dict[str, float]) -> None:
        env.unwrapped.length = task["length" if task["length"] else "tasks"]  # type: ignore[attr-defined]

    lengths = (Uniform("length", 0.0, 9.0),)
    family = ForeignFamily("Wrong", Wrong, set_length, lengths, 5, processes=processes)
    simulator = family.simulate(1)
    simulator.set_tasks(family.task({"length": task}))

    def episode() -> None:
        simulator.reset([np.random.default_rng(0)])
        simulator.step(np.zeros((1, 1)))

    try:
        with pytest.raises((RuntimeError, ValueError), match=message) as raised:
            episode()
        assert "\n" not in str(raised.value)
    finally:
        simulator.close()


def test_a_step_before_a_reset_is_gymnasiums_error():
    with pytest.raises(gymnasium.error.ResetNeeded):
        pendulum().environment({"mass": 1.0}).step(np.zeros(1, np.float32))
