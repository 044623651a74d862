"""The outer steps: from common parameters and an objective to better common parameters.

Each leaves the parameters as they were, and says why, when a number is not finite. What a step must
remember for the next one (Adam's moments) is a plain mapping, so that a checkpoint can hold it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.algorithms.fisher import flatten
from metarl.algorithms.objective import LossAndKL, Objective, OuterObjective, surrogate
from metarl.algorithms.trace import Trace, not_finite
from metarl.algorithms.trust_region import TrustRegion, trust_region_step
from metarl.experience.rollouts import Batch

Memory = Mapping[str, Tensor]
"""What a step remembers, by name; nothing at first."""

LARGEST_GRADIENT = 0.5
"""Gradient clipping: the largest Euclidean norm of a minibatch's gradient. Without it, a few time
steps with large advantages dominate Adam's moments. Andrychowicz et al. (2021), "What Matters in
On-Policy Reinforcement Learning", section 3.7, recommend it."""


_ADAM = {"steps": "step", "mean": "exp_avg", "square": "exp_avg_sq"}
"""What a moment is called here, and what in `torch.optim.Adam`'s state."""


class Update(NamedTuple):
    """What an outer step returns."""

    parameters: dict[str, Tensor]
    memory: dict[str, Tensor]
    trace: Trace


class Minibatches(NamedTuple):
    """How an iteration's data are divided into minibatches."""

    size: int
    """Approximate minibatch size in time steps; 0 for one minibatch of all time steps."""
    epochs: int
    """How often each time step is used."""
    lr: float
    """Adam's step size."""

    def deal(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return the sample indices of each minibatch of one epoch, [n] each.

        Args:
            count: how many samples there are.
            generator: shuffles them.
        """
        parts = max(1, round(count / self.size)) if self.size else 1
        return torch.randperm(count, generator=generator).tensor_split(parts)


def trust_region(
    objective: OuterObjective, parameters: Parameters, memory: Memory, settings: TrustRegion
) -> Update:
    """Take a natural-gradient step within a trust region.

    MAML-TRPO: Finn et al. (2017), algorithm 3, with the step of Schulman et al. (2015), appendix C.

    Args:
        objective: what to improve.
        parameters: where to start; those that `objective` was sampled with.
        memory: returned as it is; the step has none.
        settings: of the trust region.
    """

    def evaluate(candidate: Parameters) -> LossAndKL:
        with torch.no_grad():
            return objective.evaluate(candidate)

    loss, gradient = objective.gradient(parameters)
    stepped, trace = trust_region_step(
        parameters, evaluate, objective.fisher(parameters), loss, flatten(gradient), settings
    )
    # `stepped` are views of one vector, whose parts start at any address. The last digits of a
    # product depend on how its operands are aligned, so a run resumed from a checkpoint, which
    # reads every tensor into memory of its own, would differ from an uninterrupted one.
    stepped = {name: value.clone() for name, value in stepped.items()}
    return Update(stepped, dict(memory), trace)


def adam(
    objective: OuterObjective, parameters: Parameters, memory: Memory, lr: float, epochs: int
) -> Update:
    """Take a few steps of Adam on the same data (Kingma and Ba 2015, algorithm 1).

    One epoch is MAML with a plain gradient step (Finn et al. 2017, algorithm 3, line 10); several
    on a clipped objective are PPO (Schulman et al. 2017, algorithm 1).

    Args:
        objective: what to improve.
        parameters: where to start; those that `objective` was sampled with.
        memory: Adam's moments and count of steps, as the step before returned them.
        lr: the step size.
        epochs: how many steps, each on all data.
    """
    start = {name: value.detach() for name, value in parameters.items()}
    leaves = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = resumed_adam(leaves, memory, lr)
    first_loss, first_norm = math.nan, math.nan
    for epoch in range(epochs):
        loss, gradient = objective.gradient(leaves)
        vector = flatten(gradient)
        if epoch == 0:
            first_loss, first_norm = float(loss), float(vector.norm())
        reason = not_finite(loss, gradient)
        if reason:
            trace = Trace.kept(reason, first_loss, first_norm, finite=False)
            return Update(start, dict(memory), trace)
        for name, leaf in leaves.items():
            leaf.grad = gradient[name]
        optimiser.step()

    return _stepped(objective, start, leaves, optimiser, memory, first_loss, first_norm)


def adam_on_minibatches(
    objective: Objective,
    whole: OuterObjective,
    parameters: Parameters,
    memory: Memory,
    settings: Minibatches,
    generator: torch.Generator,
) -> Update:
    """Take steps of Adam on minibatches of the time steps that took place.

    PPO as it is usually run (Schulman et al. 2017, algorithm 1): in each epoch the time steps of
    all tasks are shuffled and dealt out, and each minibatch gives a step of Adam. It is for
    policies that do not adapt: a task's gradient step needs its rollouts whole.

    The loss of a minibatch is an unbiased estimate of that on all data: the weights of all time
    steps sum to 1; a minibatch's are multiplied by (time steps) / (minibatch size).

    Args:
        objective: what to improve, of a policy that does not adapt.
        whole: the same, to be evaluated before and after.
        parameters: where to start; those that `objective` was sampled with.
        memory: Adam's moments and count of steps, as the update before returned them.
        settings: size, epochs and step size.
        generator: shuffles.
    """
    rows = _steps_that_took_place(objective)
    assert isinstance(objective.policy, GaussianPolicy)
    # observations are normalised once, not in every epoch
    policy = replace(objective.policy, normaliser=None)
    start = {name: value.detach() for name, value in parameters.items()}
    leaves = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = resumed_adam(leaves, memory, settings.lr)
    with torch.no_grad():
        before = whole.evaluate(start)
    norm = math.nan
    for _ in range(settings.epochs):
        for chosen in settings.deal(len(rows.weights), generator):
            part = Batch(*(field[chosen] for field in rows))
            part = part._replace(weights=part.weights * (len(rows.weights) / len(chosen)))
            loss = surrogate(policy(leaves, part.observations), part, objective.terms)
            optimiser.zero_grad()
            loss.backward()
            size = nn.utils.clip_grad_norm_(leaves.values(), LARGEST_GRADIENT)
            norm = float(size) if math.isnan(norm) else norm
            optimiser.step()
    return _stepped(whole, start, leaves, optimiser, memory, float(before.loss), norm)


def _stepped(
    objective: OuterObjective,
    start: dict[str, Tensor],
    leaves: Mapping[str, Tensor],
    optimiser: torch.optim.Adam,
    memory: Memory,
    loss: float,
    norm: float,
) -> Update:
    """Return the update of Adam's steps; with the parameters unchanged, if it is not finite.

    Args:
        objective: that was improved.
        start: the parameters before.
        leaves: what the optimiser has moved them to.
        optimiser: after its last step.
        memory: what it remembered before its first.
        loss: at the parameters before.
        norm: of the first gradient.
    """
    stepped = {name: leaf.detach() for name, leaf in leaves.items()}
    with torch.no_grad():
        after = objective.evaluate(stepped)
    if not (torch.isfinite(after.loss) and torch.isfinite(after.kl)):
        reason = "the policy after the step is not finite"
        trace = Trace.kept(reason, loss, norm, finite=False)
        return Update(start, dict(memory), trace)
    trace = Trace(
        accepted=True,
        reason="accepted",
        loss_before=loss,
        loss_after=float(after.loss),
        kl=float(after.kl),
        gradient_norm=norm,
    )
    return Update(stepped, moments_of(optimiser, leaves), trace)


def _steps_that_took_place(objective: Objective) -> Batch:
    """Return the valid steps of all tasks in a row, [n, ...] each; their weights sum to 1."""
    policy, post = objective.policy, objective.sampled.post
    assert isinstance(policy, GaussianPolicy)
    rows = Batch(*(field[post.weights > 0] for field in post))
    seen = policy.normalised(rows.observations)
    return rows._replace(observations=seen, weights=rows.weights / len(post.weights))


def resumed_adam(
    leaves: Mapping[str, Tensor], moments: Mapping[str, Tensor], lr: float
) -> torch.optim.Adam:
    """Return Adam (Kingma and Ba 2015, algorithm 1) over some leaves, as it was left.

    Args:
        leaves: what it steps, by name.
        moments: what `moments_of` returned after the last update; empty before the first.
        lr: the step size.
    """
    optimiser = torch.optim.Adam(leaves.values(), lr=lr)
    for name, leaf in leaves.items():
        if f"mean.{name}" in moments:
            optimiser.state[leaf] = {
                # the count of steps stays on the CPU, where torch's own is
                entry: moments[f"{prefix}.{name}"].to(
                    "cpu" if entry == "step" else leaf.device, copy=True
                )
                for prefix, entry in _ADAM.items()
            }
    return optimiser


def moments_of(optimiser: torch.optim.Adam, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what the optimiser remembers of its leaves, by kind and name: `mean.weight0`."""
    return {
        f"{prefix}.{name}": optimiser.state[leaf][entry]
        for name, leaf in leaves.items()
        for prefix, entry in _ADAM.items()
    }


def check_moments(moments: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> None:
    """Check that moments are none at all, or those that `moments_of` returns of such leaves.

    Raises:
        ValueError: for others.
    """
    expected = {
        f"{prefix}.{name}": () if entry == "step" else tuple(leaf.shape)
        for name, leaf in leaves.items()
        for prefix, entry in _ADAM.items()
    }
    if moments and {name: tuple(value.shape) for name, value in moments.items()} != expected:
        raise ValueError("the optimiser's moments belong to other parameters")


def interpolate(
    objective: OuterObjective, parameters: Parameters, memory: Memory, rate: float
) -> Update:
    """Move towards the mean of the adapted parameters (Nichol et al. 2018, "Reptile", eq. 7).

    theta <- theta + rate * (mean over tasks of theta_task - theta), without derivatives through the
    adaptation. The rollouts after adaptation serve as the data of one more inner step, so that a
    task takes at least two: after one the mean would be a step of multi-task policy gradient
    (Nichol et al. 2018, section 3).

    Args:
        objective: whose data to adapt to.
        parameters: where to start; those that `objective` was sampled with.
        memory: returned as it is; the step has none.
        rate: the part of the way; may exceed 1.
    """
    start = {name: value.detach() for name, value in parameters.items()}
    with torch.no_grad():
        adapted = objective.adapted_mean(start)
        towards = {name: adapted[name] - value for name, value in start.items()}
        before = objective.evaluate(start)
        stepped = {name: value + rate * towards[name] for name, value in start.items()}
        after = objective.evaluate(stepped)
    loss, norm = float(before.loss), float(flatten(towards).norm())
    if not (math.isfinite(norm) and torch.isfinite(after.loss)):
        reason = not_finite(after.loss, towards) or "the step is not finite"
        trace = Trace.kept(reason.replace("gradient", "step"), loss, norm, finite=False)
        return Update(start, dict(memory), trace)
    trace = Trace(
        accepted=True,
        reason="accepted",
        loss_before=loss,
        loss_after=float(after.loss),
        kl=float(after.kl),
        gradient_norm=norm,
    )
    return Update(stepped, dict(memory), trace)
