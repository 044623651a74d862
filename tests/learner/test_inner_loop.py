"""The inner loop: stages start alike, improve their own tasks, and serve logs as well."""

import warnings

import pytest
import torch

import metarl
from metarl import envs
from metarl.algorithms.table import ALGORITHMS
from metarl.experience.advantages import prepare
from metarl.experience.rollouts import Batch
from metarl.learner.inner_loop import inner_loop
from metarl.learner.recipe import Recipe
from metarl.learner.record import PATIENCE
from metarl.sampling.streams import Key, Phase
from tests.conftest import SMALL


def test_stages_start_alike_and_improve_their_own_tasks():
    family = envs.make("Point2D", horizon=20)
    learner = metarl.MAML(family, tasks=40, rollouts=10, hidden=(16,), inner_lr=0.3, threads=1)
    sampler = learner.sampler(40, 10)
    sampler.set_tasks(family.sample_tasks(40, seed=0))
    before, after = inner_loop(
        sampler,
        learner.state,
        learner.recipe,
        Key(7, Phase.TRAIN),
        inner=learner.recipe.inner_of_training,
    )
    start = before.rollouts.observations[:, :, 0]
    assert torch.equal(start, after.rollouts.observations[:, :, 0])
    parameters = learner.parameters
    assert all((before.parameters[n] == parameters[n]).all() for n in parameters)
    gain = (after.rollouts.returns - before.rollouts.returns).mean(1)
    assert gain.mean() > 4 * gain.std() / 40**0.5


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_not_finite_is_named_for_every_algorithm(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
):
    """Advantages of one task that are no numbers: a parameter of that task where there are inner
    steps; where there are none, the outer gradient, which then never recovers."""

    def poisoned(self: Recipe, rollouts) -> Batch:
        batch = prepare(rollouts, 0.99, 0.97)
        batch.advantages[0] = torch.nan
        return batch

    family = envs.make("Point2D", horizon=5)
    learner = metarl.MAML(family, **{**SMALL, "rollouts": 4}, algorithm=algorithm)
    before = {name: value.clone() for name, value in learner.parameters.items()}
    monkeypatch.setattr(Recipe, "prepare", poisoned)
    if ALGORITHMS[algorithm].adapts_in_training:
        named = r"parameter \w+ of task 0 is not finite after inner step 1; a smaller inner_lr"
        with pytest.raises(ValueError, match=named):
            learner.learn(1000)
    else:
        kept = "parameters kept, since the gradient of weight0, .*log_std is not finite"
        with pytest.warns(RuntimeWarning, match=kept) as warned:
            learner.learn(1)
        assert len(warned) == learner.iteration
        warnings.simplefilter("ignore")  # until pytest puts its filters back after this test
        with pytest.raises(RuntimeError, match="training is stuck"):
            learner.learn(10_000)
        assert learner.iteration == 1 + PATIENCE
    assert all(value.equal(learner.parameters[name]) for name, value in before.items())


def test_one_bad_iteration_is_no_end(monkeypatch: pytest.MonkeyPatch):
    """Training goes on from the parameters that were kept, and counts anew."""
    iterations = iter(range(100))

    def now_and_then(self: Recipe, rollouts) -> Batch:
        batch = prepare(rollouts, 0.99, 0.97)
        if next(iterations) % 4:
            batch.advantages[0] = torch.nan
        return batch

    learner = metarl.MAML(
        envs.make("Point2D", horizon=5), **{**SMALL, "threads": 1}, algorithm="pretrain"
    )
    monkeypatch.setattr(Recipe, "prepare", now_and_then)
    with pytest.warns(RuntimeWarning, match="parameters kept"):
        learner.learn(60 * 3 * PATIENCE)
    assert not all(v.isnan().any() for v in learner.parameters.values())


def test_a_log_whose_step_is_not_finite_is_refused():
    learner = metarl.MAML("Point2D", **{**SMALL, "inner_lr": 1e38, "normalise_advantages": False})
    rollouts = {"observations": torch.rand(3, 5, 2), "actions": torch.rand(3, 5, 2) - 0.5}
    experience = metarl.Experience(
        **rollouts,  # type: ignore[arg-type]
        rewards=1e6 * torch.rand(3, 5),  # type: ignore[arg-type]
        final_observations=torch.rand(3, 2),  # type: ignore[arg-type]
    )
    with pytest.raises(ValueError, match="parameter weight0 of task 0 is not finite"):
        learner.adapt_from(experience)
