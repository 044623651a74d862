"""Rollouts of some tasks at once, in this thread.

All tasks and rollouts advance together: one policy evaluation and one simulator call a time step.
What is sampled depends on the key and the parameters alone, not on threads or on who asks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from agents.gaussian import noise_log_prob
from agents.policy import Parameters
from envs.simulations import Simulations
from metarl.losses import Policy
from metarl.rollouts import Rollouts
from metarl.streams import Key, Purpose, stream


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads for a while; 0 leaves it as it is."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def collect(
    simulator: Simulations,
    policy: Policy,
    parameters: Parameters,
    rollouts: int,
    key: Key,
    *,
    first: int = 0,
    deterministic: bool = False,
) -> Rollouts:
    """Run every simulation for one episode.

    Args:
        simulator: its simulations are `rollouts` of each task, task by task, with tasks set.
        policy: gives actions [task, rollout, action] for observations [task, rollout, observation].
        parameters: common to all tasks, or each with a leading task axis; on the CPU.
        rollouts: how many of each task.
        key: decides start states and action noise.
        first: the number of the first task, when others have those before.
        deterministic: take the most likely action at every step.

    Returns:
        The rollouts, on the CPU, in float32.
    """
    if simulator.count % rollouts:
        raise ValueError(f"{simulator.count} simulations are not {rollouts} rollouts of each task")
    family = simulator.family
    shape = (simulator.count // rollouts, rollouts, family.horizon)
    numbers = range(first, first + shape[0])
    ids = [(task, rollout) for task in numbers for rollout in range(rollouts)]
    noise = torch.zeros(*shape, family.action_size)
    if not deterministic:
        draws = noise.view(-1, *noise.shape[2:]).numpy()
        for index, (task, rollout) in enumerate(ids):
            generator = stream(key, Purpose.NOISE, task, rollout)
            generator.standard_normal(out=draws[index], dtype=np.float32)
    # one thread: the network is small, and torch's idle threads would spin beside the simulator's
    with torch.no_grad(), torch_threads(1):
        start = simulator.reset(stream(key, Purpose.START, *pair) for pair in ids)
        return _episodes(simulator, policy, parameters, start, noise)


def _episodes(
    simulator: Simulations, policy: Policy, parameters: Parameters, start: np.ndarray, noise: Tensor
) -> Rollouts:
    tasks, rollouts, horizon, _ = noise.shape
    observation = torch.from_numpy(start).float().view(tasks, rollouts, -1)
    observations = torch.zeros(tasks, rollouts, horizon, observation.shape[-1])
    actions, means = torch.zeros_like(noise), torch.zeros_like(noise)
    rewards = torch.zeros(tasks, rollouts, horizon)
    valid = torch.zeros(tasks, rollouts, horizon, dtype=torch.bool)
    active = np.ones(simulator.count, dtype=bool)
    succeeded = np.zeros(simulator.count, dtype=bool)
    log_std = torch.empty(0)

    for t in range(horizon):
        gaussian = policy(parameters, observation)
        action = gaussian.sample(noise[:, :, t])
        observations[:, :, t] = observation
        actions[:, :, t] = action
        means[:, :, t] = gaussian.mean
        valid[:, :, t] = torch.from_numpy(active).view(tasks, rollouts)
        result = simulator.step(action.view(simulator.count, -1).numpy(), active)
        rewards[:, :, t] = torch.from_numpy(result.reward).view(tasks, rollouts)
        observation = torch.from_numpy(result.observation).float().view(tasks, rollouts, -1)
        succeeded = np.where(active, result.succeeded, succeeded)
        log_std = gaussian.log_std
        active = active & ~result.terminated
        if not active.any():
            break

    log_probs = noise_log_prob(noise, log_std.unsqueeze(-2))
    terminated, achieved = (
        torch.from_numpy(each).view(tasks, rollouts) for each in (~active, succeeded)
    )
    return Rollouts(
        observations,
        actions,
        means,
        rewards,
        log_probs,
        valid,
        terminated,
        observation,
        achieved,
    )
