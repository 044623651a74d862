"""The critic: what it learns, what it makes of rollouts, and runs that go on with it."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.normaliser import Normaliser
from metarl.algorithms.outer_steps import Minibatches
from metarl.learner.critic import Critic, _explained, judge
from metarl.learner.inner_loop import Stage
from metarl.learner.iteration import roll_out, training_sampler
from metarl.system.progress_table import columns
from tests.conftest import SMALL

SETTINGS = {
    **SMALL,
    "rollouts": 4,
    "algorithm": "siamese",
    "encoder_steps": 3,
    "embedding_size": 3,
    "baseline": "network",
    "minibatch": 50,
    "outer_epochs": 2,
}


def new(inputs: int) -> Critic:
    family = envs.make("Point2D")  # whose tasks have two coordinates
    return Critic.new(family, inputs - 4, torch.Generator().manual_seed(0))


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [30.0, 1e-5])
def test_it_learns_values_far_from_0_and_of_any_size(size: float):
    inputs = draw(2000, 6)
    returns = size * (17.0 + inputs[:, 0] * inputs[:, 1]).double()
    critic = new(6).towards(inputs, returns, Minibatches(50, 20, 1e-3), torch.Generator())
    explained = 1.0 - float((critic.values(inputs) - returns).var() / returns.var())
    assert explained > 0.95


@pytest.mark.parametrize("level", [0.0, 7.3])
def test_returns_that_do_not_vary_have_no_variance_to_explain(level: float):
    returns = torch.full((50,), level, dtype=torch.float64)
    assert math.isnan(_explained(1e-7 * draw(50).double(), returns))
    critic = new(6).towards(draw(50, 6), returns, Minibatches(20, 3, 1e-3), torch.Generator())
    torch.testing.assert_close(critic.values(draw(50, 6)), returns, atol=0.1, rtol=0)
    returns[0] += 1.0
    assert _explained(0.0 * returns, returns) == 1.0


def test_a_new_unit_leaves_values_as_they_were():
    inputs, first, second = draw(100, 6), draw(100).double(), 40.0 + 9.0 * draw(300).double()
    critic = new(6).towards(inputs, first, Minibatches(20, 3, 1e-3), torch.Generator())
    changed = critic.measuring(second)
    torch.testing.assert_close(changed.values(inputs), critic.values(inputs), rtol=1e-5, atol=1e-5)
    both = torch.cat([first, second])
    assert float(changed.returns.mean) == pytest.approx(float(both.mean()))
    assert float(changed.returns.std) == pytest.approx(float(both.std(correction=0)))
    assert float(critic.returns.mean) == pytest.approx(float(first.mean())), "it was changed"


def test_bad_numbers_leave_it_as_it_was():
    critic, returns = new(6), draw(10).double()
    returns[3] = float("nan")
    assert (
        critic.towards(draw(10, 6), returns, Minibatches(5, 1, 1e-3), torch.Generator()) is critic
    )


@pytest.fixture(scope="module")
def hopper() -> envs.TaskFamily:
    """Its rollouts end at different lengths, some by falling."""
    return envs.make("HopperRandParams", horizon=40)


@pytest.fixture(scope="module")
def sampled(hopper: envs.TaskFamily) -> tuple[metarl.MAML, Stage]:
    """A learner after two iterations, and the rollouts of its third."""
    learner = metarl.MAML(hopper, **SETTINGS, seed=1, changes=0.5, told=0.0).learn(600)
    with training_sampler(learner.state, learner.recipe, hopper) as sampler:
        (stage,) = roll_out(learner.state, learner.recipe, hopper, sampler)
    return learner, stage


def test_advantages_are_those_of_its_values(
    hopper: envs.TaskFamily, sampled: tuple[metarl.MAML, Stage]
):
    """Schulman et al. 2016, eq. 16, step by step, with inputs put together by hand."""
    learner, stage = sampled
    config = dataclasses.replace(learner.config, normalise_advantages=False, reward_scale=0.5)
    critic, normaliser = learner.state.critic, learner.policy.normaliser
    assert critic is not None
    assert normaliser is not None
    coordinates = draw(4, hopper.coordinates(hopper.sample_tasks(1, seed=0)).shape[1])
    rollouts, shuffles = stage.rollouts, torch.Generator()
    batch, _, _ = judge(critic, rollouts, coordinates, normaliser, config, shuffles)
    assert rollouts.continued.any()
    assert rollouts.terminated.any()
    assert not rollouts.terminated.all()

    def value(task: int, rollout: int, observation: torch.Tensor, time: int) -> float:
        after = torch.tensor([float(rollouts.continued[task, rollout])])
        parts = [normaliser(observation), coordinates[task], torch.tensor([time / 40]), after]
        return float(critic.values(torch.cat(parts)))

    for task in range(4):
        for rollout in range(4):
            length = int(rollouts.lengths[task, rollout])
            seen = [*rollouts.observations[task, rollout, :length]]
            seen.append(rollouts.final_observations[task, rollout])
            values = [value(task, rollout, seen[t], t) for t in range(length + 1)]
            if rollouts.terminated[task, rollout]:
                values[-1] = 0.0
            advantage = 0.0
            for t in reversed(range(length)):
                reward = 0.5 * float(rollouts.rewards[task, rollout, t])
                delta = reward + config.discount * values[t + 1] - values[t]
                advantage = delta + config.discount * config.gae_lambda * advantage
                given = float(batch.advantages[task, rollout, t])
                assert given == pytest.approx(advantage, rel=1e-4, abs=1e-4)
            assert not batch.advantages[task, rollout, length:].any()


def test_judging_learns_without_changing_what_it_was_given(
    hopper: envs.TaskFamily, sampled: tuple[metarl.MAML, Stage]
):
    learner, stage = sampled
    before = learner.state.critic
    assert before is not None
    kept = {name: value.clone() for name, value in before.tensors().items()}
    coordinates = draw(4, hopper.coordinates(hopper.sample_tasks(1, seed=0)).shape[1])
    linear = stage.batch
    batch, after, explained = judge(
        before,
        stage.rollouts,
        coordinates,
        learner.policy.normaliser,
        learner.config,
        torch.Generator(),
    )
    assert all(torch.equal(kept[name], value) for name, value in before.tensors().items())
    first, second = (next(critic.network.parameters()) for critic in (before, after))
    assert not torch.equal(first, second)
    assert explained < 1.0
    valid = stage.rollouts.valid
    for task in range(4):  # normalised, as the linear baseline's are
        own = batch.advantages[task][valid[task]].double()
        assert float(own.mean()) == pytest.approx(0.0, abs=1e-5)
        assert float(own.std(correction=0)) == pytest.approx(1.0, abs=1e-4)
    # all but the advantages is as with linear baselines
    for field in ("observations", "actions", "log_probs", "weights"):
        torch.testing.assert_close(getattr(batch, field), getattr(linear, field))


def test_one_that_has_seen_nothing_judges_by_the_mean_return(
    hopper: envs.TaskFamily, sampled: tuple[metarl.MAML, Stage]
):
    learner, stage = sampled
    config = dataclasses.replace(
        learner.config, normalise_advantages=False, gae_lambda=1.0, discount=1.0
    )
    size = stage.rollouts.observations.shape[-1]
    critic = Critic.new(hopper, size, torch.Generator())
    coordinates = torch.from_numpy(hopper.coordinates(hopper.sample_tasks(4, seed=0)))
    ended = stage.rollouts._replace(terminated=torch.ones(4, 4, dtype=torch.bool))
    batch, _, explained = judge(critic, ended, coordinates, None, config, torch.Generator())
    assert explained == pytest.approx(0.0), "a mean explains nothing"
    rewards, valid = ended.rewards.double(), ended.valid
    to_come = rewards.flip(-1).cumsum(-1).flip(-1)
    expected = torch.where(valid, to_come - to_come[valid].mean(), 0.0)
    torch.testing.assert_close(batch.advantages.double(), expected, rtol=1e-4, atol=1e-3)


def test_what_a_run_learns_is_the_same_for_any_threads_and_after_resuming(
    hopper: envs.TaskFamily, tmp_path: Path
):
    once = metarl.MAML(hopper, **SETTINGS, seed=3).learn(1500)
    parts = metarl.MAML(hopper, **{**SETTINGS, "threads": 2}, seed=3).learn(600)
    parts.save(tmp_path / "parts")
    again = metarl.load(tmp_path / "parts.safetensors")
    again.learn(1500 - again.num_timesteps, reset_num_timesteps=False)
    first = once.state.tensors() | once.state.training_tensors()
    second = again.state.tensors() | again.state.training_tensors()
    assert first.keys() == second.keys()
    assert sum(name.startswith("critic/") for name in first) > 9
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert np.isfinite(metarl.evaluate(again, tasks=2, rollouts=2).returns).all()


def test_a_file_with_the_weights_of_another_critic_is_refused(
    hopper: envs.TaskFamily, tmp_path: Path
):
    learner = metarl.MAML(hopper, **SETTINGS).learn(1)
    critic = learner.state.critic
    assert critic is not None
    wrong = dataclasses.replace(critic, returns=Normaliser.new(2))
    for state in (
        dataclasses.replace(learner.state, critic=None),
        dataclasses.replace(learner.state, critic=wrong),
    ):
        learner.state = state
        learner.save(tmp_path / "wrong")
        with pytest.raises(ValueError, match="does not hold a whole learner"):
            metarl.load(tmp_path / "wrong.safetensors")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"baseline": "network"},
            "baseline must be linear with maml-trpo, whose gradient steps need one of each task's",
        ),
        ({"baseline": "critic"}, "baseline must be one of linear, network, got 'critic'"),
        (
            {"minibatch": 64, "algorithm": "pretrain"},
            "minibatch must be 0 with pretrain: only siamese takes steps on minibatches, got 64",
        ),
        ({"minibatch": 64, "algorithm": "promp"}, "minibatch must be 0 with promp"),
        ({"minibatch": -1, "algorithm": "siamese"}, "minibatch must be at least 0, got -1"),
    ],
)
def test_where_there_is_none(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        metarl.MAML("Point2D", **settings)


def test_pretraining_may_have_one_and_the_log_tells_what_it_explains(
    point: envs.TaskFamily, tmp_path: Path
):
    settings = {**SMALL, "algorithm": "pretrain", "baseline": "network"}
    learner = metarl.MAML(point, **settings)
    metarl.train(learner, tmp_path / "run", 500)
    assert learner.state.critic is not None
    assert float(learner.state.critic.returns.count) >= 500
    (explained,) = columns(tmp_path / "run" / "progress.csv", ["train/explained_variance"])
    assert len(explained) == learner.iteration
    assert explained[0] == pytest.approx(0.0, abs=0.1)
    assert (explained < 1.0).all()
