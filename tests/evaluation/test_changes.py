"""What adaptation changed, against formulas."""

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.evaluation.changes import changes, layer_changes, reward_parts, sensitivity
from metarl.sampling.streams import Key, Phase
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def cheetah() -> metarl.MAML:
    return metarl.MAML(envs.make("HalfCheetahVel", horizon=10), **SMALL)


def test_layers_by_hand():
    before = {
        "weight0": torch.full((3, 2), 2.0),
        "bias0": torch.zeros(2),
        "weight1": torch.full((2, 1), 1.0),
        "bias1": torch.zeros(1),
        "log_std": torch.zeros(1),
    }
    after = {name: value.clone() for name, value in before.items()}
    after["weight0"][0, 0] += 3.0
    after["bias0"][1] += 4.0
    after["weight1"] *= 1.1
    moved = layer_changes(before, after)
    # |(3, 4)| over the norm of six twos
    assert moved["layer 1"] == pytest.approx(5.0 / np.sqrt(24.0))
    assert moved["output"] == pytest.approx(0.1, rel=1e-5)
    assert list(moved) == ["layer 1", "output"], "the std is told by itself"
    rates = {f"rate_{name}": torch.ones_like(value) for name, value in before.items()}
    assert layer_changes({**before, **rates}, {**after, **rates}) == moved
    context = torch.tensor([3.0, 4.0])
    assert layer_changes(before, {**before, "context": context})["context"] == 5.0


def test_sensitivity_of_a_linear_policy_is_its_weight():
    policy = GaussianPolicy(3, 2, ())
    parameters = policy.initial(torch.Generator().manual_seed(0))
    seen = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1, 2, 5])
    expected = parameters["weight0"].norm(dim=1) * seen.std(0)
    torch.testing.assert_close(
        torch.from_numpy(sensitivity(policy, parameters, seen)).float(), expected
    )


def test_parts_of_the_reward_by_formula(cheetah: metarl.MAML):
    """The control cost from the actions themselves, the rest from the goal."""
    family = cheetah.family
    assert isinstance(family, envs.TaskFamily)
    task, key = family.task({"velocity": 1.0}), Key(0, Phase.ADAPT)
    parts = reward_parts(cheetah, family, task, cheetah.parameters, 4, key)
    rollouts = cheetah.sample(task, cheetah.parameters, 4, key)
    control = (family.action_scale * rollouts.actions).clamp(-1.0, 1.0)
    cost = -family.control_cost * control.square().sum((2, 3)).double().mean()
    assert parts["control cost"] == pytest.approx(float(cost), rel=1e-4)
    assert sum(parts.values()) == pytest.approx(float(rollouts.returns.double().mean()), rel=1e-6)
    ant = metarl.MAML(envs.make("AntVel", horizon=5), **SMALL)
    assert isinstance(ant.family, envs.TaskFamily)
    parts = reward_parts(
        ant, ant.family, ant.family.task({"velocity": 1.0}), ant.parameters, 2, key
    )
    assert parts["survive bonus"] == pytest.approx(5.0 * ant.family.survive_bonus)


def test_changes_of_an_adaptation(cheetah: metarl.MAML):
    changed = changes(cheetah, {"velocity": 1.0}, rollouts=6, steps=2)
    assert list(changed.layers) == ["layer 1", "output"]
    assert all(change > 0.0 for change in changed.layers.values())
    assert changed.std.shape == (2, 6)
    gaps = [abs(after - before) for before, after in changed.observations.values()]
    assert gaps == sorted(gaps, reverse=True)
    assert len(changed.observations) == 17
    assert "what 2 steps changed" in str(changed)
    assert changed.to_dict()["reward"]["goal"] == changed.reward["goal"].tolist()


def test_a_policy_that_observes_the_task_is_sensitive_to_it():
    family = envs.make("HalfCheetahVel", horizon=5, reveals_task=True)
    told = metarl.MAML(family, **SMALL, algorithm="pretrain")
    assert "task coordinate 0" in changes(told, {"velocity": 1.0}, rollouts=2).observations


def test_two_tasks_are_refused(cheetah: metarl.MAML):
    with pytest.raises(ValueError, match="changes are of one task, got 2"):
        changes(cheetah, cheetah.family.sample_tasks(2, seed=0))


def test_before_comes_before_after():
    learner = metarl.MAML(envs.make("HalfCheetahVel", horizon=10), **SMALL)
    changed = changes(learner, {"velocity": 1.0}, rollouts=6, steps=2)
    task, key = learner.family.task({"velocity": 1.0}), Key(0, Phase.ADAPT)
    stages = list(learner.adaptation(task, 6, [0.5, 0.5], key))
    for row, stage in ((0, stages[0]), (1, stages[-1])):
        std = learner.policy.std(stage.parameters)[0].detach()
        np.testing.assert_allclose(changed.std[row], std, rtol=1e-6)
        total = sum(pair[row] for pair in changed.reward.values())
        assert total == pytest.approx(float(stage.rollouts.returns.mean()), rel=1e-5)
