"""Meta-World's benchmarks as families: their protocol, on a stand-in and on Meta-World itself."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.envs import metaworld_environment, metaworld_families
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.gymnasium_vector import TaskVectorEnv
from metarl.envs.metaworld_environment import GOALS, SawyerArm, draw_goals
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key, Phase
from tests.conftest import SMALL
from tests.envs import metaworld_stand_in
from tests.envs.metaworld_stand_in import HIGH, LOW, Sawyer, SawyerPush, SawyerReach

has_metaworld = pytest.mark.skipif(
    not metaworld_environment.available(), reason="Meta-World is not installed"
)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with monkeypatch.context() as patch:
        metaworld_stand_in.install(patch, tmp_path)
        yield
    metaworld_stand_in.forget()


def drawn_by_hand(seed: int, environments: int) -> np.ndarray:
    """Two draws at each reset, of which the second counts; [environment, goal, number]."""
    draws = np.random.RandomState(seed).uniform(LOW, HIGH, (environments, GOALS, 2, 3))
    return draws[:, :, 1]


@pytest.mark.usefixtures("stand_in")
def test_goals_are_those_that_the_seed_gives():
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    goals = draw_goals(("reach", "push"), (0, 1))
    for seed in (0, 1):
        expected = drawn_by_hand(seed, 2)
        for kind in (0, 1):
            of_seed = goals[kind].drawn[GOALS * seed : GOALS * (seed + 1)]
            np.testing.assert_array_equal(of_seed, expected[kind])
    np.testing.assert_equal(np.random.get_state(legacy=False), before)  # noqa: NPY002


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    "make",
    [
        TaskEnv,
        lambda name: TaskVectorEnv(name, num_envs=2),
        lambda name: TaskVecEnv(name, num_envs=2),
    ],
)
def test_our_environments_cannot_be_made_of_it(make: Callable[[str], object]):
    with pytest.raises(ValueError, match=r"third-party environments: metarl.envs.make\('MetaWorld"):
        make("MetaWorldML1-push")


@pytest.mark.usefixtures("stand_in")
def test_training_and_test_goals_are_50_others():
    family = envs.make("MetaWorldML1-push")
    train, test = (family.sample_tasks(100, seed=3, split=split) for split in ("train", "test"))
    assert train.names == ("goal",)
    assert sorted(train["goal"]) == sorted(2 * list(range(50)))
    assert sorted(test["goal"]) == sorted(2 * list(range(50, 100)))
    assert not family.extrapolates
    points = family.coordinates(test)
    low, high = points.min(0), points.max(0)
    assert points.shape == (100, 2)  # y does not vary
    assert 0.8 < np.linalg.norm(high - low) <= 1.0


@pytest.mark.usefixtures("stand_in")
def test_some_environments_are_never_trained_on():
    family = envs.make("MetaWorldML10")
    train = family.sample_tasks(40, seed=0)
    assert np.bincount(train["environment"].astype(int)).tolist() == [20, 20]
    outside = family.sample_tasks(40, seed=0, split="extrapolate")
    assert set(outside["environment"]) == {2.0}
    assert set(outside["goal"]) <= set(range(50))
    assert family.task({"environment": 2, "goal": 49}) is not None
    for task in ({"environment": 2, "goal": 50}, {"environment": 3, "goal": 0}):
        with pytest.raises(ValueError, match="is outside the range: environment one of 0 reach"):
            family.task(task)
    apart = family.coordinates(envs.Tasks(train.names, np.array([[0.0, 0.0], [1.0, 0.0]])))
    assert np.linalg.norm((apart[0] - apart[1])[:3]) == pytest.approx(1.0)


@pytest.mark.usefixtures("stand_in")
def test_the_line_is_corrected_where_it_fails_and_nowhere_else(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="could not broadcast"):
        SawyerReach()
    mended = metaworld_environment._class_of("reach")()
    assert mended.model.eq_data[0, :11].tolist() == [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5]

    def works(self: Sawyer) -> None:
        self.model.eq_data[0, 10] = 7.0

    monkeypatch.setattr(SawyerPush, "reset_mocap_welds", works)
    assert metaworld_environment._class_of("push")().model.eq_data[0, 10] == 7.0


@pytest.mark.usefixtures("stand_in")
def test_the_goal_is_hidden_and_the_environment_told_where_that_is_asked_for():
    made: list[Any] = [envs.make("MetaWorldML10", preset=p) for p in ("default", "one-hot")]
    hidden, told = made
    assert envs.presets("MetaWorldML10") == ("one-hot",)
    assert (hidden.observation_size, told.observation_size) == (39, 42)
    for kind in (0, 1):
        seen, _ = hidden.environment({"environment": kind, "goal": 3}).reset()
        both, _ = told.environment({"environment": kind, "goal": 3}).reset()
        other, _ = hidden.environment({"environment": kind, "goal": 4}).reset()
        np.testing.assert_array_equal(seen, other)
        np.testing.assert_array_equal(both, [*seen, *np.eye(3)[kind]])


@pytest.mark.usefixtures("stand_in")
def test_tasks_have_their_goal_and_environments_take_turns():
    arm = SawyerArm(("reach", "push"))
    arm.set_task(0, np.array([0.01, 0.0, 0.1]))
    arm.reset()
    assert arm.step(np.zeros(4))[1] == pytest.approx(10.0 - np.hypot(0.01, 0.1), abs=0.01)
    arm.set_task(0, np.array([0.0, 0.0, 0.04]))
    arm.reset()
    *_, info = arm.step(np.zeros(4))
    assert info == {"success": True}
    assert Sawyer.made == ["SawyerReach"]
    arm.set_task(1, np.array([0.0, 0.0, 0.3]))
    arm.reset()
    assert arm.step(np.zeros(4))[1] == pytest.approx(9.7, abs=0.01)  # on the other side
    assert Sawyer.made == ["SawyerReach", "SawyerPush"]


@pytest.mark.usefixtures("stand_in")
def test_environments_serve_one_task_after_another_to_the_same_numbers():
    family = envs.make("MetaWorldML10", horizon=6)
    tasks = family.sample_tasks(5, seed=0)
    policy = GaussianPolicy(39, 4, (4,))
    initial = policy.initial(torch.Generator().manual_seed(0))
    parameters = {name: value.expand(5, *value.shape) for name, value in initial.items()}

    def sampled(order: list[int]) -> torch.Tensor:
        with Sampler(family, 5, 2) as sampler:
            sampler.set_tasks(tasks[order])
            rewards = sampler.sample(policy, parameters, Key(0, Phase.TRAIN)).rewards
            sampler.set_tasks(tasks)
            again = sampler.sample(policy, parameters, Key(0, Phase.TRAIN)).rewards
        assert not rewards.equal(again)
        return again

    assert sampled([4, 3, 2, 1, 0]).equal(sampled([1, 2, 3, 4, 0]))


@pytest.mark.usefixtures("stand_in")
def test_is_trained_saved_and_loaded_by_name(tmp_path: Path):
    family = envs.make("MetaWorldML1-reach", horizon=10)
    learner = metarl.MAML(family, **{**SMALL, "workers": 1})
    learner.learn(1)
    learner.save(tmp_path / "run")
    again = metarl.load(tmp_path / "run.safetensors")
    assert again.family.describe() == family.describe()
    options = {"tasks": 2, "rollouts": 2, "steps": 1}
    one, two = (metarl.evaluate(each, **options) for each in (learner, again))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.returns, two.returns)
    assert one.success is not None


@pytest.mark.usefixtures("stand_in")
def test_the_families_are_named_and_others_refused():
    names = metaworld_families.families()
    assert names[-2:] == ("MetaWorldML10", "MetaWorldML45")
    assert "MetaWorldML1-shelf-place" in names
    assert not set(names) & set(envs.families())
    for call, message in (
        (lambda: envs.make("MetaWorldML1-reech"), "did you mean MetaWorldML1-reach"),
        (lambda: envs.make("MetaWorldML1-reach", preset="one-hot"), "has no preset 'one-hot'"),
        (lambda: envs.make("MetaWorldML10", preset="onehot"), "did you mean one-hot"),
        (lambda: envs.make("MetaWorldML1-reach", horizont=5), "did you mean horizon"),
        (lambda: envs.make("MetaWorldML1-reach", horizon=501), "ends after 500 steps, before the"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_without_metaworld_the_command_that_brings_it_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "metaworld", None)
    monkeypatch.setattr(metaworld_environment, "find_spec", lambda name: None)
    assert metaworld_families.families() == ()
    with pytest.raises(ValueError, match=r"pip install --no-deps metaworld==3\.1\.1"):
        metarl.MAML("MetaWorldML1-reach")


@pytest.fixture
def metaworld(monkeypatch: pytest.MonkeyPatch):
    """Meta-World itself, its one line corrected and with fewer goals."""
    module = pytest.importorskip("metaworld")
    from metaworld.sawyer_xyz_env import SawyerMocapBase  # type: ignore[import-not-found]

    def welds(self) -> None:
        rows = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD.value
        self.model.eq_data[rows, :11] = [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5]

    monkeypatch.setattr(SawyerMocapBase, "reset_mocap_welds", welds)
    monkeypatch.setattr(module, "_N_GOALS", 3)
    monkeypatch.setattr(metaworld_environment, "GOALS", 3)
    metaworld_stand_in.forget()
    yield module
    metaworld_stand_in.forget()


@has_metaworld
def test_the_line_of_metaworld_still_fails():
    """When this fails, `_class_of` needs no `reset_mocap_welds` any more."""
    env_dict = pytest.importorskip("metaworld.env_dict")
    with pytest.raises(ValueError, match="could not broadcast"):
        env_dict.ALL_V3_ENVIRONMENTS["reach-v3"]()


@has_metaworld
def test_goals_are_metaworlds(metaworld):
    ours = draw_goals(("push",), (5, 6))[0].drawn
    benchmark = metaworld.ML1("push-v3", seed=5)
    theirs = [
        pickle.loads(task.data)["rand_vec"]
        for tasks in (benchmark.train_tasks, benchmark.test_tasks)
        for task in tasks
    ]
    np.testing.assert_array_equal(ours, theirs)


@has_metaworld
@pytest.mark.parametrize("kind", ["reach", "drawer-close"])
def test_steps_as_metaworld(metaworld, kind: str):
    benchmark = metaworld.ML1(f"{kind}-v3", seed=0)
    theirs = benchmark.train_classes[f"{kind}-v3"]()
    ours = SawyerArm((kind,))
    for task in benchmark.train_tasks[:2]:
        theirs.set_task(task)
        ours.set_task(0, pickle.loads(task.data)["rand_vec"])
        np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
        generator = np.random.default_rng(0)
        for _ in range(20):
            action = generator.uniform(-1.0, 1.0, 4).astype(np.float32)
            expected = theirs.step(action)
            observation, reward, *_, info = ours.step(action)
            np.testing.assert_array_equal(observation, expected[0])
            assert (reward, info["success"]) == (expected[1], expected[4]["success"])
            assert not observation[-3:].any()
