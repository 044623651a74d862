"""Outer steps on a problem whose optimum is known, and what they do with bad numbers.

A throw lands at a point with std 1; task T pays -c (point - goal)^2. An inner step takes the mean
from a distance d to k d, k = 1 - 2 lr c, so each algorithm has an optimum of its own: a mean of the
goals, weighted by c k^2 for MAML, c k for first-order MAML, c without adaptation, and 1 - k^2 for
Reptile with two steps. Quadrature stands for sampling, which makes all expectations exact.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.agents import GaussianPolicy
from metarl.agents.gaussian import Gaussian
from metarl.agents.normaliser import Normaliser
from metarl.algorithms import outer_steps
from metarl.algorithms.adapt import Inner, adapt_tasks
from metarl.algorithms.objective import Objective, Terms
from metarl.algorithms.outer_steps import (
    Minibatches,
    Update,
    adam,
    adam_on_minibatches,
    interpolate,
    trust_region,
)
from metarl.algorithms.trust_region import TrustRegion
from metarl.experience.rollouts import Batch
from tests import reference

COSTS = torch.tensor([1.0, 0.25], dtype=torch.float64)
GOALS = torch.tensor([0.0, 1.0], dtype=torch.float64)
LR = 0.3
SHRINKS = 1.0 - 2.0 * LR * COSTS
NODES, WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(20))
SETTINGS = TrustRegion(
    max_kl=0.001, cg_iterations=10, damping=1e-5, backtrack_ratio=0.8, max_backtracks=15
)

Step = Callable[..., Update]


def throw(parameters: Mapping[str, Tensor], observation: Tensor) -> Gaussian:
    mean = parameters["mean"].unsqueeze(-1).expand(*observation.shape[:-1], 1)
    log_std = 0.0 * parameters["mean"].view(1, 1)  # always 1, but part of the graph
    return Gaussian(mean, log_std)


def batch(means: Tensor) -> Batch:
    """Every throw that counts, weighted by its probability, [task, node, 1]."""
    points = means.view(2, 1, 1, 1) + NODES.view(1, -1, 1, 1)
    pay = -COSTS.view(2, 1, 1) * (points[..., 0] - GOALS.view(2, 1, 1)).square()
    weights = (WEIGHTS / WEIGHTS.sum()).view(1, -1, 1).expand_as(pay)
    log_probs = Gaussian(means.view(2, 1, 1, 1), torch.zeros(1)).log_prob(points)
    return Batch(
        torch.zeros_like(points), points, log_probs, pay, pay, weights, torch.ones_like(pay)
    )


def objective(mean: Tensor, inner: Inner | None, terms: Terms) -> Objective:
    """What the experience at this mean makes of the problem."""
    parameters = {"mean": mean}
    if inner is None:
        return reference.objective(throw, parameters, [], batch(mean.expand(2)), Inner(LR), terms)
    pre = [batch(mean.expand(2))]
    adapted = adapt_tasks(throw, parameters, pre, inner)[-1]["mean"]
    return reference.objective(throw, parameters, pre, batch(adapted.view(2)), inner, terms)


def weighted(weights: Tensor) -> float:
    return float((weights * GOALS).sum() / weights.sum())


TRPO = partial(trust_region, settings=SETTINGS)
VPG = partial(adam, lr=0.01, epochs=1)
PPO = partial(adam, lr=0.002, epochs=5)
MAML_OPTIMUM = weighted(COSTS * SHRINKS**2)


@pytest.mark.parametrize(
    ("step", "inner", "terms", "optimum"),
    [
        (TRPO, Inner(LR), Terms(), MAML_OPTIMUM),
        (VPG, Inner(LR), Terms(), MAML_OPTIMUM),
        (PPO, Inner(LR), Terms(clip=0.3), MAML_OPTIMUM),
        (PPO, Inner(LR), Terms(clip=0.3, inner_kl_penalty=0.01), MAML_OPTIMUM),
        (VPG, Inner(LR, first_order=True), Terms(), weighted(COSTS * SHRINKS)),
        (TRPO, None, Terms(), weighted(COSTS)),
        (partial(interpolate, rate=0.2), Inner(LR), Terms(), weighted(1.0 - SHRINKS**2)),
    ],
    ids=["trpo", "vpg", "ppo", "promp", "fomaml", "pretrain", "reptile"],
)
def test_reaches_its_own_optimum(step: Step, inner: Inner | None, terms: Terms, optimum: float):
    mean, memory = torch.full((1,), 0.9, dtype=torch.float64), {}
    for _ in range(150):
        parameters, memory, _ = step(objective(mean, inner, terms), {"mean": mean}, memory)
        mean = parameters["mean"]
    assert float(mean) == pytest.approx(optimum, abs=0.01)


def test_the_line_search_stops_a_first_order_step_that_lowers_the_return():
    """It looks at the return itself: beyond MAML's optimum first-order MAML gets no further."""
    mean = torch.full((1,), MAML_OPTIMUM - 0.02, dtype=torch.float64)
    data = objective(mean, Inner(LR, first_order=True), Terms())
    slope = data.gradient({"mean": mean})[1]["mean"]
    assert slope > 0, "its gradient leads on to its own optimum"
    parameters, _, trace = TRPO(data, {"mean": mean}, {})
    assert not trace.accepted
    assert torch.equal(parameters["mean"], mean)


def test_the_optima_are_far_enough_apart_to_tell():
    weights = (COSTS * SHRINKS**2, COSTS * SHRINKS, COSTS, 1.0 - SHRINKS**2)
    optima = sorted(map(weighted, weights))
    assert min(np.diff(optima)) > 0.04


@pytest.mark.parametrize("step", [TRPO, VPG, PPO, partial(interpolate, rate=0.2)])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_bad_numbers_leave_the_parameters_and_the_memory_as_they_were(step: Step, bad: float):
    mean = torch.full((1,), 0.9, dtype=torch.float64)
    good = objective(mean, Inner(LR), Terms(clip=0.3))
    memory = dict(step(good, {"mean": mean}, {}).memory)
    post = good.sampled.post
    advantages = post.advantages.clone()
    advantages[1, 3] = bad
    sampled = good.sampled._replace(post=post._replace(advantages=advantages))
    poisoned = dataclasses.replace(good, sampled=sampled)
    parameters, after, trace = step(poisoned, {"mean": mean}, memory)
    assert torch.equal(parameters["mean"], mean)
    assert after == memory
    assert not trace.accepted
    assert "not finite" in trace.reason
    assert trace.step_fraction == 0.0


def test_adam_goes_on_from_its_memory():
    """Two calls with the memory handed on are torch's own Adam over the same gradients."""
    mean, memory = torch.full((1,), 0.9, dtype=torch.float64), {}
    twin = mean.clone().requires_grad_()
    optimiser = torch.optim.Adam([twin], lr=0.01)
    for _ in range(3):
        data = objective(mean, Inner(LR), Terms())
        twin.grad = data.gradient({"mean": twin})[1]["mean"]
        optimiser.step()
        parameters, memory, trace = adam(data, {"mean": mean}, memory, lr=0.01, epochs=1)
        mean = parameters["mean"]
        assert trace.loss_after < trace.loss_before
        assert trace.kl > 0.0
    torch.testing.assert_close(mean, twin.detach(), atol=0, rtol=0)


def test_interpolation_goes_the_stated_part_of_the_way():
    mean = torch.full((1,), 0.9, dtype=torch.float64)
    data = objective(mean, Inner(LR), Terms())
    distances = float(mean) - GOALS
    towards = float((GOALS + SHRINKS**2 * distances).mean()) - float(mean)
    for rate in (0.5, 1.0, 2.0):
        stepped = interpolate(data, {"mean": mean}, {}, rate).parameters["mean"]
        assert float(stepped) == pytest.approx(float(mean) + rate * towards)


@pytest.mark.usefixtures("double_precision")
def test_a_step_lowers_the_loss_within_the_trust_region():
    policy = GaussianPolicy(4, 2, hidden=(6, 5))
    parameters, pre, post = reference.problem(policy, 1)
    settings = dataclasses.replace(SETTINGS, max_kl=0.01)
    data = reference.objective(policy, parameters, pre, post, Inner(0.1))
    stepped, _, trace = trust_region(data, parameters, {}, settings)
    before, after = (
        reference.meta_loss(reference.leaves_of(p), pre, post, 0.1, 3)
        for p in (parameters, stepped)
    )
    assert trace.accepted
    assert after < before
    assert trace.loss_after == pytest.approx(after.item())
    old, new = (reference.leaves_of(p) for p in (parameters, stepped))
    divergence = reference.meta_kl(old, new, pre, post, 0.1, 3)
    assert trace.kl == pytest.approx(divergence.item())
    assert 0.0 < trace.kl <= 0.01


def minibatch_problem() -> tuple[GaussianPolicy, dict[str, Tensor], Objective]:
    """Made-up experience of a policy that does not adapt, with a fifth of it padding."""
    policy = GaussianPolicy(4, 2, hidden=(6, 5), normaliser=Normaliser.new(4))
    parameters, _, post = reference.problem(policy, 0)
    terms = Terms(clip=0.2, entropy_bonus=0.01)
    return policy, parameters, reference.objective(policy, parameters, [], post, Inner(0.1), terms)


@pytest.mark.usefixtures("double_precision")
def test_one_minibatch_of_all_time_steps_is_the_ordinary_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outer_steps, "LARGEST_GRADIENT", float("inf"))
    _, parameters, data = minibatch_problem()
    plain = adam(data, parameters, {}, 0.01, 3)
    for size in (0, 1000):
        settings = Minibatches(size, 3, 0.01)
        stepped = adam_on_minibatches(data, data, parameters, {}, settings, torch.Generator())
        for name, value in plain.parameters.items():
            torch.testing.assert_close(stepped.parameters[name], value)
        assert stepped.trace.kl == pytest.approx(plain.trace.kl)
        assert stepped.trace.loss_after == pytest.approx(plain.trace.loss_after)
        assert stepped.trace.gradient_norm == pytest.approx(plain.trace.gradient_norm)
        assert stepped.memory.keys() == plain.memory.keys()


@pytest.mark.usefixtures("double_precision")
def test_minibatches_are_steps_of_ppo_one_after_another():
    """Against torch's own Adam on the formula, with gradients that are shortened."""
    _, parameters, data = minibatch_problem()
    settings = Minibatches(9, 2, 0.01)
    stepped = adam_on_minibatches(
        data, data, parameters, {}, settings, torch.Generator().manual_seed(5)
    )
    post = data.sampled.post
    valid = post.weights > 0
    seen, actions, before = (x[valid] for x in (post.observations, post.actions, post.log_probs))
    # every task counts alike, however many of its time steps took place
    share = (post.weights / 3.0)[valid] * int(valid.sum())
    leaves = reference.leaves_of(parameters)
    optimiser = torch.optim.Adam(leaves.values(), lr=0.01)
    generator = torch.Generator().manual_seed(5)
    for _ in range(2):
        order = torch.randperm(len(seen), generator=generator)
        for chosen in order.tensor_split(round(len(seen) / 9)):
            new = reference.network(leaves, seen[chosen], 3)
            ratio = (new.log_prob(actions[chosen]) - before[chosen]).exp()
            gain = post.advantages[valid][chosen]
            clipped = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
            loss = -(share[chosen] * (clipped + 0.01 * new.entropy())).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(leaves.values(), 0.5)
            optimiser.step()
    for name, value in leaves.items():
        torch.testing.assert_close(stepped.parameters[name], value.detach())


def test_minibatches_have_every_time_step_once_and_nearly_as_many():
    dealt = Minibatches(10, 1, 0.01).deal(47, torch.Generator().manual_seed(0))
    assert sorted(len(part) for part in dealt) == [9, 9, 9, 10, 10]
    assert torch.cat(dealt).sort().values.tolist() == list(range(47))
    assert torch.cat(dealt).tolist() != list(range(47))
    (few,) = Minibatches(10, 1, 0.01).deal(4, torch.Generator())
    assert len(few) == 4


@pytest.mark.usefixtures("double_precision")
def test_minibatches_with_bad_numbers_leave_the_parameters():
    _, parameters, data = minibatch_problem()
    bad = data.sampled.post.advantages.clone()
    bad[1, 2] = float("nan")
    sampled = data.sampled._replace(post=data.sampled.post._replace(advantages=bad))
    data = dataclasses.replace(data, sampled=sampled)
    settings = Minibatches(9, 2, 0.01)
    stepped = adam_on_minibatches(data, data, parameters, {}, settings, torch.Generator())
    assert not stepped.trace.accepted
    assert not stepped.trace.finite
    assert all(torch.equal(stepped.parameters[n], v) for n, v in parameters.items())
    assert stepped.memory == {}


@pytest.mark.usefixtures("double_precision")
def test_minibatches_go_on_from_what_adam_remembers():
    _, parameters, data = minibatch_problem()
    whole, half = Minibatches(0, 4, 0.01), Minibatches(0, 2, 0.01)
    once = adam_on_minibatches(data, data, parameters, {}, whole, torch.Generator())
    first = adam_on_minibatches(data, data, parameters, {}, half, torch.Generator())
    then = adam_on_minibatches(data, data, first.parameters, first.memory, half, torch.Generator())
    for name, value in once.parameters.items():
        torch.testing.assert_close(then.parameters[name], value)
