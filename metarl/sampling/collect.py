"""Rollouts of some tasks at once, in this thread.

All tasks and rollouts advance together: one policy evaluation and one simulator call a time step.
What is sampled depends on the key and the parameters alone, not on threads or on who asks.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from metarl.agents.gaussian import noise_log_prob
from metarl.agents.policy import Array, Parameters
from metarl.envs.family import Simulations
from metarl.experience.rollouts import Rollouts
from metarl.sampling.streams import Key, Purpose, streams
from metarl.system.library_threads import one_library_thread


class Acting(Protocol):
    """Any policy that can be rolled out."""

    def acting(self, parameters: Parameters) -> Callable[[Array], Array]:
        """Return the most likely actions as a function of observations, in NumPy.

        Args:
            parameters: common to all tasks, or each with a leading task axis.

        Returns:
            From [task, rollout, observation] to [task, rollout, action].
        """
        ...

    def std(self, parameters: Parameters) -> Tensor:
        """Return the actions' standard deviations, [action] or [task, action]."""
        ...


def collect(
    simulator: Simulations,
    policy: Acting,
    parameters: Parameters,
    rollouts: int,
    key: Key,
    *,
    first: int = 0,
    deterministic: bool = False,
    out: Rollouts | None = None,
) -> Rollouts:
    """Run every simulation for one episode.

    Args:
        simulator: its simulations are `rollouts` of each task, task by task, with tasks set.
        policy: whose actions are taken.
        parameters: common to all tasks, or each with a leading task axis; on the CPU.
        rollouts: how many of each task.
        key: decides start states and action noise.
        first: the number of the first task, when others have those before.
        deterministic: take the most likely action at every step.
        out: what to write to; None for memory of its own.

    Returns:
        The rollouts, on the CPU, in float32.
    """
    count = simulator.count
    if count % rollouts:
        raise ValueError(f"{count} simulations are not {rollouts} rollouts of each task")
    tasks = count // rollouts
    found = Rollouts.empty(simulator.family, tasks, rollouts) if out is None else out
    observations, actions, means, rewards, _, valid, terminated, last, achieved = (
        each.numpy() for each in found
    )
    numbers = [(first + task, rollout) for task in range(tasks) for rollout in range(rollouts)]
    with torch.no_grad(), one_library_thread():
        noise = torch.zeros(found.actions.shape)
        if not deterministic:
            generators = streams(key, Purpose.NOISE, numbers)
            for each, generator in zip(noise.flatten(0, 1).numpy(), generators, strict=True):
                generator.standard_normal(out=each, dtype=np.float32)
        std = policy.std(parameters)[..., None, None, :]
        torch.mul(noise, std, out=found.actions)
        found.log_probs.copy_(noise_log_prob(noise, std.log()))

        most_likely = policy.acting(parameters)
        observation = simulator.reset(streams(key, Purpose.START, numbers))
        active = np.ones(count, dtype=bool)
        succeeded = np.zeros(count, dtype=bool)
        steps = 0
        while steps < found.rewards.shape[-1] and active.any():
            observations[:, :, steps] = observation.reshape(tasks, rollouts, -1)
            valid[:, :, steps] = active.reshape(tasks, rollouts)
            means[:, :, steps] = mean = most_likely(observations[:, :, steps])
            actions[:, :, steps] += mean
            action = actions[:, :, steps].reshape(count, -1)
            observation, reward, fallen, arrived = simulator.step(action, active)
            rewards[:, :, steps] = reward.reshape(tasks, rollouts)
            succeeded = np.where(active, arrived, succeeded)
            active = active & ~fallen
            steps += 1

    for padded in (observations, actions, means, rewards, valid):
        padded[:, :, steps:] = 0
    last[:] = observation.reshape(tasks, rollouts, -1)
    terminated[:] = ~active.reshape(tasks, rollouts)
    achieved[:] = succeeded.reshape(tasks, rollouts)
    return found
