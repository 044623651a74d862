"""From rollouts to advantages: discounted returns, generalised advantages, normalisation.

`prepare` computes in float64: the baseline's normal matrix, with squares of t^3 beside ones, is too
badly conditioned for float32.
"""

import torch
from torch import Tensor

from metarl.agents import baseline
from metarl.experience.rollouts import Batch, Rollouts

_SMALLEST_STD = 1e-8
"""Added to the std of a task's advantages: where all are alike, as when every reward is 0, they
become 0 and not NaN. Far below the std of any rewards that differ."""


def discounted_returns(rewards: Tensor, discount: float) -> Tensor:
    """Return G_t = r_t + discount * G_(t+1), [..., time].

    The solution of the recursion, G_t = sum_(k >= t) discount^(k - t) r_k, is a product with a
    triangular matrix of powers: one call, where a loop over time would make one a step.

    Args:
        rewards: [..., time].
        discount: in [0, 1].
    """
    time = torch.arange(rewards.shape[-1], device=rewards.device)
    ahead = (time.unsqueeze(1) - time).to(rewards.dtype)  # k - t, for k down and t across
    # clamped, because powers for steps that have passed, which `where` leaves out, would overflow
    return rewards @ torch.where(ahead >= 0, discount ** ahead.clamp_min(0), 0.0)


def generalised_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    valid: Tensor,
    discount: float,
    lambda_: float,
) -> Tensor:
    """Return A_t = d_t + discount * lambda * A_(t+1), d_t = r_t + discount * V(s_(t+1)) - V(s_t).

    Generalised advantage estimation (Schulman et al. 2016, eqs. 11 and 16): the discounted returns
    of the residuals d_t, at the discount discount * lambda. A time limit is not an end: at the last
    step `next_values` holds the value of the final observation, or 0 if the episode terminated.

    Args:
        rewards: [..., time].
        values: V(s_t), [..., time].
        next_values: V(s_(t+1)), [..., time].
        valid: which steps took place, [..., time]; others get 0 and pass nothing on.
        discount: in [0, 1].
        lambda_: in [0, 1]; 1 is the Monte Carlo return less the baseline.
    """
    deltas = torch.where(valid, rewards + discount * next_values - values, 0.0)
    return discounted_returns(deltas, discount * lambda_)


def next_values(values: Tensor, final_values: Tensor, valid: Tensor, terminated: Tensor) -> Tensor:
    """Return V(s_(t+1)), [..., time]: at each rollout's last step the final value, or 0.

    Args:
        values: V(s_t), [..., time].
        final_values: V of the observation after the last step, [...].
        valid: which steps took place, [..., time].
        terminated: whether the episode ended by itself, [...].
    """
    last = (valid.sum(-1, keepdim=True) - 1).clamp_min(0)  # of a rollout without steps: any
    bootstrap = torch.where(terminated, 0.0, final_values).unsqueeze(-1)
    shifted = torch.cat([values[..., 1:], values[..., -1:]], dim=-1)
    return shifted.scatter(-1, last, bootstrap)


def judged(
    rollouts: Rollouts,
    rewards: Tensor,
    values: Tensor,
    final_values: Tensor,
    discount: float,
    lambda_: float,
) -> Tensor:
    """Return `generalised_advantages` of rollouts, [task, rollout, time].

    Args:
        rollouts: what was sampled.
        rewards: theirs, in the unit of the values, [task, rollout, time].
        values: V(s_t), [task, rollout, time].
        final_values: V of their final observations, [task, rollout].
        discount: in [0, 1].
        lambda_: in [0, 1].
    """
    valid = rollouts.valid
    bootstrapped = next_values(values, final_values, valid, rollouts.terminated)
    return generalised_advantages(rewards, values, bootstrapped, valid, discount, lambda_)


def centre(advantages: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return advantages with mean 0 over each task's valid steps, 0 elsewhere, and their std.

    Args:
        advantages: [task, rollout, time].
        valid: [task, rollout, time].

    Returns:
        The centred advantages, [task, rollout, time], and the std of the valid ones, [task, 1, 1].
    """
    count = valid.sum((1, 2), keepdim=True).clamp_min(1)
    mean = torch.where(valid, advantages, 0.0).sum((1, 2), keepdim=True) / count
    centred = torch.where(valid, advantages - mean, 0.0)
    return centred, (centred.square().sum((1, 2), keepdim=True) / count).sqrt()


def batch_of(
    rollouts: Rollouts, rewards: Tensor, advantages: Tensor, discount: float, *, normalise: bool
) -> Batch:
    """Return what losses are computed from.

    Args:
        rollouts: what was sampled.
        rewards: theirs, in the unit of the advantages, [task, rollout, time].
        advantages: theirs, [task, rollout, time].
        discount: in [0, 1].
        normalise: centre each task's advantages and divide them, and the rewards, by their std.
    """
    valid, dtype = rollouts.valid, rollouts.observations.dtype
    discounted = discount ** torch.arange(valid.shape[-1], device=valid.device) * rewards
    unit = torch.ones_like(advantages[:, :1, :1])
    if normalise:
        advantages, std = centre(advantages, valid)
        unit = std + _SMALLEST_STD
    return Batch(
        observations=rollouts.observations,
        actions=rollouts.actions,
        log_probs=rollouts.log_probs,
        advantages=(advantages / unit).to(dtype),
        rewards=(discounted / unit).to(dtype),
        weights=valid / valid.sum((1, 2), keepdim=True).clamp_min(1).to(dtype),
        unit=unit.to(dtype).expand_as(valid),
    )


def prepare(
    rollouts: Rollouts,
    discount: float,
    lambda_: float,
    *,
    normalise: bool = True,
    reward_scale: float = 1.0,
    tasks_change: bool = False,
) -> Batch:
    """Fit a baseline to each task's rollouts and return them as a batch with advantages.

    The baseline is linear and fitted to the discounted returns of the very rollouts that it judges
    (Duan et al. 2016). Normalised advantages make an inner step independent of the
    rewards' unit; discounted rewards are divided by the same std. They keep what the baseline
    explains: where that is most of them, steps of `dice`, which has no baseline, are large.

    Args:
        rollouts: what was sampled.
        discount: in [0, 1].
        lambda_: of generalised advantage estimation, in [0, 1].
        normalise: centre each task's advantages and divide them by their std.
        reward_scale: what rewards are multiplied by first; of no effect on normalised advantages.
        tasks_change: whether some rollouts may have `continued` from other tasks.
    """
    tasks, count, horizon = rollouts.rewards.shape
    valid = rollouts.valid
    time = torch.arange(horizon, device=valid.device)
    rewards = reward_scale * rollouts.rewards.double()

    continued = rollouts.continued.unsqueeze(-1) if tasks_change else None
    inputs = baseline.features(rollouts.observations, time, continued)
    ends, lengths = rollouts.final_observations.unsqueeze(2), rollouts.lengths.unsqueeze(2)
    final = baseline.features(ends, lengths, continued).squeeze(2)
    targets = discounted_returns(rewards, discount)
    inputs = inputs.flatten(1, 2)
    weights = baseline.fit(inputs, targets.flatten(1), valid.flatten(1))
    values = baseline.predict(weights, inputs).view(tasks, count, horizon)
    final_values = baseline.predict(weights, final)

    advantages = judged(rollouts, rewards, values, final_values, discount, lambda_)
    return batch_of(rollouts, rewards, advantages, discount, normalise=normalise)
