"""Episodes in a row whose task changes while the robot runs on, against simulators set by hand."""

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.envs.simulator import Simulator
from metarl.sampling.collect import collect, empty_rollouts
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key, Phase, Purpose, stream, torch_generator
from metarl.sampling.trial import Changing, Trial
from tests.conftest import SMALL

KEY = Key(3, Phase.TRAIN)
TASKS, EACH = 4, 2


@pytest.fixture(scope="module")
def family() -> envs.TaskFamily:
    """Bodies and goals vary, and some robots fall."""
    return envs.make("HopperRandParams", horizon=30)


@pytest.fixture(scope="module")
def policy(family: envs.TaskFamily) -> GaussianPolicy:
    return GaussianPolicy(family.observation_size, family.action_size, (8,))


@pytest.mark.parametrize(("episodes", "changes"), [(2, 0.5), (3, 0.5), (2, 0.375)])
def test_rollouts_are_those_of_simulations_that_run_on(
    family: envs.TaskFamily, policy: GaussianPolicy, episodes: int, changes: float
):
    """Each changing simulation again, alone: reset in the first task, then set in the next now."""
    tasks, parameters = family.sample_tasks(TASKS, seed=1), policy.initial(torch_generator(0))
    trial, changing = Trial(episodes, changes), round(changes * TASKS * EACH)
    simulator = family.simulate(TASKS * EACH)
    simulator.set_tasks(tasks.repeat(EACH))
    out = empty_rollouts(family, TASKS, EACH * episodes)
    trials = Changing(simulator, tasks, trial)
    collect(trials, policy, parameters, KEY, out)
    trials.put_back(out)
    followed = torch.zeros(TASKS, EACH * episodes, dtype=torch.bool)
    followed[:changing, EACH::EACH] = True
    assert torch.equal(out.continued, followed)
    met_a_fall = False
    for task in range(changing):  # they are simulation 0 of the first tasks
        alone = Simulator(family, 1)
        fell, observation = False, np.zeros(0)
        for episode in range(episodes):
            own = (task + episodes - 1 - episode) % changing
            alone.set_tasks(tasks[[own]], now=episode > 0)
            start = stream(KEY, Purpose.START, task, episode * EACH)
            if episode == 0 or fell:
                observation = alone.reset([start])
            rollout = slice(episode * EACH, episode * EACH + 1)
            expected = out.observations[own, rollout]
            steps = int(out.lengths[own, rollout])
            for step in range(steps):
                np.testing.assert_array_equal(observation[0].astype(np.float32), expected[0, step])
                action = out.actions[own, rollout, step].numpy()
                result = alone.step(action)
                assert np.float32(result.reward[0]) == out.rewards[own, rollout, step]
                observation = result.observation
            fell = bool(out.terminated[own, rollout])
            met_a_fall |= fell and episode + 1 < episodes
    assert met_a_fall


def test_all_other_rollouts_stay_as_they_are(family: envs.TaskFamily, policy: GaussianPolicy):
    tasks = family.sample_tasks(TASKS, seed=1)
    parameters = {
        name: value.expand(TASKS, *value.shape)
        for name, value in policy.initial(torch_generator(0)).items()
    }
    found = []
    for trial in (Trial(2), Trial(2, 0.5)):
        with Sampler(family, TASKS, 2 * EACH, trial=trial) as sampler:
            sampler.set_tasks(tasks)
            found.append(sampler.sample(policy, parameters, KEY))
            again = sampler.sample(policy, parameters, KEY)
            for field, other in zip(found[-1], again, strict=True):
                assert torch.equal(field, other), "nothing is left of the trial before"
    plain, changed = found
    assert not plain.continued.any()
    for rollout in (1, 3):  # of simulation 1
        valid = plain.valid[:, rollout]
        assert torch.equal(valid, changed.valid[:, rollout])
        for name in ("observations", "actions", "rewards"):
            one, other = (getattr(each, name)[:, rollout][valid] for each in found)
            assert torch.equal(one, other)
        assert torch.equal(plain.terminated[:, rollout], changed.terminated[:, rollout])
    assert not torch.equal(found[0].rewards[:, 2], found[1].rewards[:, 2])


@pytest.mark.parametrize(
    ("tasks", "each", "changes", "expected"),
    [
        (4, 2, 0.1, 2),  # one alone has no other task to change to
        (4, 2, 0.6, 6),
        (5, 2, 0.125, 2),
        (4, 2, 0.05, 0),
        (1, 4, 1.0, 0),
    ],
)
def test_none_changes_to_its_own_task(
    family: envs.TaskFamily, tasks: int, each: int, changes: float, expected: int
):
    policy = GaussianPolicy(family.observation_size, family.action_size, (8,))
    chosen, trial = family.sample_tasks(tasks, seed=1), Trial(2, changes)
    simulator = family.simulate(tasks * each)
    simulator.set_tasks(chosen.repeat(each))
    out = empty_rollouts(family, tasks, each * 2)
    trials, met = Changing(simulator, chosen, trial), []
    begin = simulator.set_tasks

    def set_tasks(given: envs.Tasks, *, now: bool = False) -> None:
        met.append(given.values)
        begin(given, now=now)

    simulator.set_tasks = set_tasks  # type: ignore[method-assign]
    collect(trials, policy, policy.initial(torch_generator(0)), KEY, out)
    trials.put_back(out)
    first, second = met
    assert (first != second).any(1).sum() == expected
    assert out.continued.sum() == expected


def test_all_may_change_where_no_robot_falls():
    """Then no simulation begins anew, and each episode goes on where another task's ended."""
    family = envs.make("Point2D", horizon=5)
    policy = GaussianPolicy(family.observation_size, family.action_size, (8,))
    tasks, simulator = family.sample_tasks(2, seed=1), family.simulate(2)
    simulator.set_tasks(tasks)
    trials, rollouts = Changing(simulator, tasks, Trial(2, 1.0)), empty_rollouts(family, 2, 2)
    collect(trials, policy, policy.initial(torch_generator(0)), KEY, rollouts)
    trials.put_back(rollouts)
    assert not rollouts.terminated.any()
    assert torch.equal(rollouts.observations[:, 1, 0], rollouts.final_observations[:, 0].flip(0))


def test_tasks_of_a_trial_are_not_set_in_between(family: envs.TaskFamily):
    tasks = family.sample_tasks(2, seed=1)
    simulator = family.simulate(2)
    simulator.set_tasks(tasks)
    with pytest.raises(RuntimeError, match="given at its beginning"):
        Changing(simulator, tasks, Trial(2, 0.5)).set_tasks(tasks)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"algorithm": "siamese", "changes": 0.25}, Trial(2, 0.25)),
        ({"algorithm": "siamese", "changes": 0.25, "episodes": 1}, Trial(1)),
        ({"algorithm": "siamese", "changes": 0.25, "context": "none"}, Trial(2)),
        ({"algorithm": "siamese", "changes": 0.25, "told": 0.5}, Trial(2, 0.25, 0.5)),
        ({"algorithm": "siamese", "told": 0.5, "episodes": 1}, Trial(1, told=0.5)),
        ({"algorithm": "siamese", "told": 0.5, "context": "none"}, Trial(2)),
        # a gradient step is taken for one task, and for what a policy does that is not told it
        ({"context": "siamese", "changes": 0.25, "told": 0.5, "episodes": 2}, Trial(2)),
    ],
)
def test_when_tasks_change_in_training(settings: dict, expected: Trial):
    learner = metarl.MAML("Point2D", **{**SMALL, "rollouts": 4, **settings})
    assert learner.recipe.trial(learner.family) == expected


def test_environments_of_others_keep_their_tasks():
    learner = metarl.MAML("Point2D", algorithm="siamese", changes=0.25)

    class Foreign:
        native = False

    assert learner.recipe.trial(Foreign()) == Trial(2)  # type: ignore[arg-type]
