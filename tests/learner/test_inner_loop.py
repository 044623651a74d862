"""The inner loop: stages start alike, improve their own tasks, and serve logs as well."""

import torch

import metarl
from metarl import envs
from metarl.learner.inner_loop import inner_loop
from metarl.sampling.streams import Key, Phase


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
