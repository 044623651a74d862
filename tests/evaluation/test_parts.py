"""The parts of a return: their sum is the return, each what its formula gives."""

import json

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.envs.goal import Goal, Term
from metarl.evaluation.parts import REST
from metarl.sampling.streams import Key, Phase
from tests.conftest import SMALL

HORIZON = 6
POINT = envs.make("Point2D", horizon=HORIZON)


def apart(**changes: object) -> envs.TaskFamily:
    """Towards the goal and along x, each with a weight."""
    target = POINT.goal.distributions
    terms = [
        Term("near", 2.0, lambda step, task: POINT.goal.reward(step, task)),
        Term("along x", 0.5, lambda step, task: step.velocity[:, 0]),
    ]
    goal = Goal.of_terms("point with terms", target, terms, tracks=POINT.goal.tracks)
    return POINT.replace(goal=goal, **changes)


@pytest.mark.parametrize("algorithm", ["maml-trpo", "siamese"])
def test_parts_are_those_of_an_episode_of_the_most_likely_actions(algorithm: str):
    family = apart(control_cost=0.1)
    settings = {**SMALL, "algorithm": algorithm, "rollouts": 2}
    learner = metarl.MAML(family, **settings)
    evaluation = metarl.evaluate(learner, tasks=3, rollouts=2, steps=1, seed=4)
    assert list(evaluation.parts) == ["near", "along x", REST]
    key = Key(4, Phase.EVALUATE)
    tasks = family.sample_tasks(3, seed=4, split="test")
    stages = list(learner.adaptation(tasks, 2, learner.recipe.inner_lrs(1), key))
    for step, stage in enumerate(stages):
        rollouts = learner.sample(
            tasks, stage.parameters, 1, key, deterministic=True, memory=stage.memory
        )
        total = sum(values[0, :, step] for values in evaluation.parts.values())
        np.testing.assert_allclose(total, rollouts.returns[:, 0], rtol=1e-5)
        first, last = rollouts.observations[:, 0, 0, 0], rollouts.final_observations[:, 0, 0]
        moved = 0.5 * (last - first).double() / family.dt
        np.testing.assert_allclose(evaluation.parts["along x"][0, :, step], moved, atol=1e-4)
        control = rollouts.actions[:, 0].clamp(-1.0, 1.0).square().sum((1, 2)) * 0.1
        np.testing.assert_allclose(evaluation.parts[REST][0, :, step], -control, rtol=1e-4)


def test_an_episode_that_has_ended_earns_no_parts():
    family = apart()
    reached = family.replace(
        goal=metarl.envs.goals.Goal(
            **{**vars(family.goal), "reached": lambda step, task: np.ones(len(step.after), bool)}
        )
    )
    learner = metarl.MAML(reached, **SMALL)
    parts = metarl.evaluate(learner, tasks=2, rollouts=2, steps=1).parts
    tasks = reached.sample_tasks(2, seed=0, split="test")
    target = np.stack([tasks["x"], tasks["y"]], axis=1)
    assert (parts["near"][0, :, 0] > -2.0 * (np.linalg.norm(target, axis=1) + 0.15)).all()


def test_they_are_shown_and_saved(tmp_path):
    learner = metarl.MAML(apart(), **SMALL)
    evaluation = metarl.evaluate(learner, tasks=2, rollouts=2, steps=1)
    mean = evaluation.parts["near"].mean((0, 1))
    row = next(line for line in str(evaluation).splitlines() if line.strip().startswith("near"))
    assert row.split() == ["near", f"{mean[0]:.2f}", f"{mean[1]:.2f}"]
    saved = json.loads(evaluation.save(tmp_path)[0].read_text())
    assert saved["parts"]["near"] == pytest.approx(mean.tolist())
    plain = metarl.evaluate(metarl.MAML(POINT, **SMALL), tasks=2, rollouts=2, steps=1)
    assert not plain.parts
    assert "parts" not in plain.to_dict()
    assert "return from" not in str(plain)
