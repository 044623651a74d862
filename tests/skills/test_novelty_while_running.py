"""An actor that tells, while it runs, that its task is unlike all known ones."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.actor import Actor
from metarl.envs.gymnasium_env import TaskEnv
from metarl.skills.similarity import Similarity
from tests.conftest import SMALL

STEPS = 20
FAMILY = envs.make("HalfCheetahVel", horizon=STEPS)


@pytest.fixture(scope="module")
def trained() -> tuple[metarl.MAML, Similarity]:
    settings = {"tasks": 20, "rollouts": 4, "hidden": (16,), "embedding_size": 4, "threads": 1}
    learner = metarl.MAML(FAMILY, algorithm="siamese", seed=1, **settings).learn(24_000)
    return learner, metarl.train_similarity(learner, tasks=100, rollouts=2)


def run(learner: metarl.MAML, actor: Actor, task: dict[str, float], seed: int) -> int:
    """Let an actor explore its task for an episode; return how many warnings there were."""
    env = TaskEnv(FAMILY, task=task)
    observation, _ = env.reset(seed=seed)
    ends = False
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        while not ends:
            action, taken = actor.explore(observation)
            following, reward, *stops, _ = env.step(action)
            actor.remember(observation, taken, float(reward), following)
            observation, ends = following, any(stops)
    return sum("unlike all that the policy knows" in str(each.message) for each in said)


def test_tasks_from_outside_are_told_from_those_inside(trained: tuple[metarl.MAML, Similarity]):
    """The area under the curve of "novel after an episode", from the distances that decide it."""
    learner, similarity = trained
    distances, told = {}, {}
    for split in ("test", "extrapolate"):
        distances[split], told[split] = [], []
        for seed, task in enumerate(FAMILY.sample_tasks(40, seed=3, split=split)):
            actor = learner.actor(seed=seed)
            actor.watch(similarity, after=15)
            warned = run(learner, actor, task, seed)
            assert actor.rules
            remembered = actor.rules.count(torch.from_numpy(actor.memory))
            if remembered < 15 / 4:
                continue  # it has forgotten too much to tell
            embedding = similarity.encoder.whole(
                actor.rules.mean(torch.from_numpy(actor.memory))
            ).detach()
            nearest = float((similarity.embeddings - embedding).norm(dim=1).min())
            assert actor.is_novel == (nearest > similarity.threshold)
            assert warned == 1 or not actor.is_novel
            distances[split].append(nearest)
            told[split].append(actor.is_novel)
    inside, outside = (np.array(distances[split]) for split in ("test", "extrapolate"))
    assert min(len(inside), len(outside)) > 25
    auroc = (outside[:, None] > inside).mean()
    assert auroc > 0.7
    assert np.mean(told["test"]) < 0.2 < np.mean(told["extrapolate"])


def test_it_warns_once_until_it_forgets(trained: tuple[metarl.MAML, Similarity]):
    """With a threshold that nothing is within, and one that everything is."""
    learner, similarity = trained
    actor, task = learner.actor(), FAMILY.sample_tasks(1, seed=5)[0]
    assert not actor.is_novel, "nothing is watched"
    actor.watch(replace(similarity, threshold=-1.0), after=3)
    assert not actor.is_novel, "nothing is seen"
    assert run(learner, actor, task, 0) == 1
    assert actor.is_novel
    assert run(learner, actor, task, 1) == 0
    actor.forget()
    assert run(learner, actor, task, 2) == 1
    actor.forget()
    actor.watch(similarity, after=10_000)
    assert run(learner, actor, task, 2) == 0, "not enough is seen"
    actor.memory_window = 2
    actor.watch(replace(similarity, threshold=-1.0), after=10_000)
    assert run(learner, actor, task, 2) == 1, "as much as the window holds is enough"


def test_another_encoder_is_refused(trained: tuple[metarl.MAML, Similarity]):
    similarity = trained[1]
    settings = {**SMALL, "rollouts": 4, "embedding_size": 4}
    other = metarl.MAML(FAMILY, algorithm="siamese", seed=9, **settings)
    with pytest.raises(ValueError, match="of another encoder than this policy's"):
        other.actor().watch(similarity)
    with pytest.raises(ValueError, match="has no memory to compare"):
        metarl.MAML(FAMILY, **SMALL).actor().watch(similarity)
