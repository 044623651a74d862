"""Derivatives by hand against autograd's, in double precision, to the last few digits."""

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.agents import layers
from metarl.agents.normaliser import Normaliser
from metarl.agents.policy import GaussianPolicy
from metarl.algorithms.adapt import RATE, Inner
from metarl.algorithms.fisher import flatten
from metarl.algorithms.losses import loaded_dice
from metarl.algorithms.objective import Objective, Terms
from metarl.algorithms.objective_by_hand import ObjectiveByHand, applies
from metarl.experience.rollouts import Batch
from tests import reference

pytestmark = pytest.mark.usefixtures("double_precision")

INNER = Inner(0.3)
SEEN, ACTIONS = 5, 2


def batch(policy: GaussianPolicy, parameters: dict[str, Tensor], seed: int) -> Batch:
    """Made-up experience of a policy a little away from this one."""
    experience = reference.experience(policy, parameters, seed)
    generator = torch.Generator().manual_seed(100 + seed)
    noise = 0.1 * torch.randn(experience.log_probs.shape, generator=generator)
    return experience._replace(log_probs=experience.log_probs + noise)


def problem(
    hidden: tuple[int, ...], activation: str, normalises: bool
) -> tuple[Objective, dict[str, Tensor]]:
    """An objective, and parameters of which one action's log-std is held at its least."""
    normaliser = None
    if normalises:
        seen = 2.0 + 3.0 * torch.randn(50, SEEN, generator=torch.Generator().manual_seed(9))
        normaliser = Normaliser.new(SEEN).updated(seen)
    policy = GaussianPolicy(SEEN, ACTIONS, hidden, activation, 0.8, 0.3, normaliser=normaliser)
    generator = torch.Generator().manual_seed(0)
    parameters = {n: v.double() for n, v in policy.initial(generator).items()}
    parameters["log_std"] = torch.tensor([-0.2, -3.0])
    for name in parameters:
        if name.startswith("bias"):
            parameters[name] = 0.1 * torch.randn(parameters[name].shape, generator=generator)
    pre, post = batch(policy, parameters, 1), batch(policy, parameters, 2)
    return reference.objective(policy, parameters, [pre], post, INNER), parameters


@pytest.fixture(
    params=[
        ((7, 6), "tanh", True),
        ((7, 6), "relu", False),
        ((6,), "tanh", False),
        ((), "tanh", False),
        ((4, 5, 6), "tanh", True),
    ],
    ids=str,
)
def both(request: pytest.FixtureRequest) -> tuple[Objective, ObjectiveByHand, dict[str, Tensor]]:
    slow, parameters = problem(*request.param)
    assert applies(slow, parameters)
    return slow, ObjectiveByHand.of(slow), parameters


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-9)


def test_the_gradient_is_autograds(both: tuple[Objective, ObjectiveByHand, dict[str, Tensor]]):
    slow, fast, parameters = both
    loss, gradient = slow.gradient(parameters)
    actual_loss, actual = fast.gradient(parameters)
    assert list(actual) == list(gradient)
    close(actual_loss, loss)
    close(flatten(actual), flatten(gradient))
    assert actual["log_std"][1] == 0.0, "held at its least"
    assert flatten(actual).norm() > 0.01


def test_the_fisher_product_is_autograds(
    both: tuple[Objective, ObjectiveByHand, dict[str, Tensor]],
):
    slow, fast, parameters = both
    vector = torch.randn(flatten(parameters).shape, generator=torch.Generator().manual_seed(3))
    for fraction, part in ((1.0, fast), (0.5, ObjectiveByHand.of(slow.subset(0.5)))):
        expected = slow.subset(fraction).fisher(parameters)(vector)
        close(part.fisher(parameters)(vector), expected)
        assert expected.norm() > 0.01


def test_values_elsewhere_are_autograds(
    both: tuple[Objective, ObjectiveByHand, dict[str, Tensor]],
):
    slow, fast, parameters = both
    generator = torch.Generator().manual_seed(4)
    elsewhere = {
        name: value + 0.2 * torch.randn(value.shape, generator=generator)
        for name, value in parameters.items()
    }
    for actual, expected in zip(fast.evaluate(elsewhere), slow.evaluate(elsewhere), strict=True):
        close(actual, expected)
    actual, expected = fast.adapted_mean(elsewhere), slow.adapted_mean(elsewhere)
    close(flatten(actual), flatten(expected))


def test_what_is_not_worked_out_is_left_to_autograd(monkeypatch: pytest.MonkeyPatch):
    slow, parameters = problem((6,), "tanh", False)
    sampled = slow.sampled
    monkeypatch.setitem(layers.ACTIVATIONS, "sin", (torch.sin, np.sin))
    others = [
        slow.__class__(**{**vars(slow), **change})
        for change in (
            {"sampled": sampled._replace(pre=2 * sampled.pre)},
            {"terms": Terms(clip=0.2)},
            {"terms": Terms(entropy_bonus=0.1)},
            {"inner": INNER._replace(loss=loaded_dice)},
            {"inner": INNER._replace(first_order=True)},
            {"inner": INNER._replace(adapts=("bias0",))},
            {"policy": GaussianPolicy(SEEN, ACTIONS, (6,), context_size=3)},
            {"policy": GaussianPolicy(SEEN, ACTIONS, (6,), activation="sin")},
        )
    ]
    assert not any(applies(other, parameters) for other in others)
    rates = {RATE + name: torch.ones_like(value) for name, value in parameters.items()}
    assert not applies(slow, {**parameters, **rates})
