"""`Experience`: rollouts that the user brings, such as a real robot's log."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.experience.rollouts import Rollouts


@dataclass(frozen=True, eq=False)
class Experience:
    """Rollouts of one task as plain arrays, taken with the policy that is to be adapted."""

    observations: ArrayLike
    """[rollout, time, observation], before each step."""
    actions: ArrayLike
    """[rollout, time, action], as `predict` returned them: -1 to 1."""
    rewards: ArrayLike
    """[rollout, time]."""
    final_observations: ArrayLike
    """[rollout, observation], after the last step of each."""
    lengths: ArrayLike | None = None
    """Steps that took place, [rollout]; None when all arrays are full. What follows is not read."""
    terminated: ArrayLike | None = None
    """Whether each ended by itself, not by the clock or by hand, [rollout]; None: none did."""

    def rollouts(
        self, policy: GaussianPolicy, parameters: Parameters, action_scale: float
    ) -> Rollouts:
        """Return the experience as rollouts with a task axis of 1, on the CPU.

        Args:
            policy: the policy that acted.
            parameters: its parameters, without a task axis, on the CPU.
            action_scale: of the family.

        Raises:
            ValueError: when shapes do not fit each other, or a number that counts is not finite.
        """
        observations = np.asarray(self.observations, dtype=np.float32)
        if observations.ndim != 3 or 0 in observations.shape:
            raise ValueError(
                "observations must be [rollout, time, observation], "
                f"got shape {list(observations.shape)}"
            )
        count, time, size = observations.shape
        actions = np.asarray(self.actions, dtype=np.float32)
        rewards = np.asarray(self.rewards, dtype=np.float32)
        final = np.asarray(self.final_observations, dtype=np.float32)
        lengths = np.full(count, time) if self.lengths is None else np.asarray(self.lengths)
        ended = np.zeros(count, bool) if self.terminated is None else np.asarray(self.terminated)
        for name, array, shape in (
            ("observations", observations, (count, time, policy.observation_size)),
            ("actions", actions, (count, time, policy.action_size)),
            ("rewards", rewards, (count, time)),
            ("final_observations", final, (count, size)),
            ("lengths", lengths, (count,)),
            ("terminated", ended, (count,)),
        ):
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {list(shape)}, got {list(array.shape)}")
        if (lengths < 1).any() or (lengths > time).any():
            raise ValueError(f"lengths must be 1 to {time}, got {lengths.tolist()}")

        valid = np.arange(time) < lengths[:, None]
        for name, array in (
            ("observations", observations[valid]),
            ("actions", actions[valid]),
            ("rewards", rewards[valid]),
            ("final_observations", final),
        ):
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite numbers")
        observations = np.where(valid[..., None], observations, 0.0)
        actions = np.where(valid[..., None], actions, 0.0) / action_scale
        with torch.no_grad():
            seen, done = _tensor(observations), _tensor(actions)
            gaussian = policy(parameters, seen.flatten(0, 1))
            log_probs = gaussian.log_prob(done.flatten(0, 1))
        return Rollouts(
            seen[None],
            done[None],
            gaussian.mean.view(1, count, time, -1),
            _tensor(np.where(valid, rewards, 0.0))[None],
            log_probs.view(1, count, time),
            torch.from_numpy(valid)[None],
            torch.from_numpy(ended.astype(bool))[None],
            _tensor(final)[None],
            torch.zeros(1, count, dtype=torch.bool),
        )


def _tensor(array: np.ndarray) -> Tensor:
    # torch's own memory, whose alignment does not vary from run to run
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).clone()
