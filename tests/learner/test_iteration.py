"""An iteration: what its rollouts explore, and what its update tells the critic."""

import dataclasses
import math
from itertools import combinations

import torch

import metarl
from metarl import envs
from metarl.learner.critic import judge
from metarl.learner.iteration import roll_out, tasks_of, training_sampler, update
from metarl.sampling.streams import Key, Phase, Purpose, stream, torch_generator
from tests.conftest import SMALL


def test_every_iteration_and_stage_explores_anew(point: envs.TaskFamily):
    learner = metarl.MAML(point, seed=3, **SMALL)
    noises = []
    with training_sampler(learner.state, learner.recipe, point) as sampler:
        for iteration in (0, 1):
            state = dataclasses.replace(learner.state, iteration=iteration)
            stages = roll_out(state, learner.recipe, point, sampler)
            noises += [stage.rollouts.actions - stage.rollouts.means for stage in stages]
    assert len(noises) == 4
    for one, other in combinations(noises, 2):
        assert not torch.allclose(one, other, atol=1e-3)


def test_an_update_tells_the_critic_where_tasks_lie(point: envs.TaskFamily):
    settings = {**SMALL, "algorithm": "pretrain", "baseline": "network"}
    learner = metarl.MAML(point, **settings).learn(1)
    state, recipe = learner.state, learner.recipe
    assert state.critic is not None
    with training_sampler(state, recipe, point) as sampler:
        (stage,) = roll_out(state, recipe, point, sampler)
    after, _ = update(state, recipe, point, [stage])
    assert after.critic is not None
    coordinates = torch.from_numpy(point.coordinates(tasks_of(state, recipe, point)))
    key = Key(learner.config.seed, Phase.TRAIN, state.iteration)
    draws = stream(key, Purpose.MINIBATCHES, 0, 0)
    generator = torch_generator(int(draws.integers(2**62)))
    expected = judge(
        state.critic,
        stage.rollouts,
        coordinates,
        state.policy.normaliser,
        recipe.config,
        generator,
    ).critic
    for name, value in expected.tensors().items():
        torch.testing.assert_close(after.critic.tensors()[name], value)
    assert after.critic.adam["steps.0.weight"] == 2 * learner.config.outer_epochs


def test_a_deviation_below_its_floor_is_put_back_to_where_it_has_a_gradient():
    settings = {**SMALL, "algorithm": "pretrain", "initial_std": 0.5, "min_std": 0.5}
    learner = metarl.MAML("Point2D", **settings, entropy_bonus=10.0)
    low = {**learner.state.parameters, "log_std": torch.full((2,), math.log(0.5) - 0.01)}
    state, recipe = dataclasses.replace(learner.state, parameters=low), learner.recipe
    for _ in range(3):
        with training_sampler(state, recipe, learner.family) as sampler:
            stages = roll_out(state, recipe, learner.family, sampler)
        state, _ = update(state, recipe, learner.family, stages)
        assert (state.parameters["log_std"] >= math.log(0.5) - 1e-6).all()
    assert (state.parameters["log_std"] > math.log(0.5)).all(), "the bonus asks for more"
