"""`Experience`: rollouts that the user brings, such as a real robot's log."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.experience.memories import Remembered, with_contexts
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
        self,
        policy: GaussianPolicy,
        parameters: Parameters,
        action_scale: float,
        memory: Remembered | None = None,
    ) -> Rollouts:
        """Return the experience as rollouts with a task axis of 1, on the CPU.

        Args:
            policy: the policy that acted.
            parameters: its parameters, without a task axis, on the CPU.
            action_scale: the part of the control range that an action of 1 of the policy asks for.
            memory: what each rollout began with, of one task; None for a policy without memory.

        Raises:
            ValueError: when the shapes do not fit the policy or each other, or a number of a step
                that took place is not finite.
        """
        arrays = self._arrays()
        context = memory.rules.context_size if memory else 0
        _check_shapes(arrays, policy, policy.observation_size - context)
        count, time = arrays["rewards"].shape
        lengths, final = arrays["lengths"], arrays["final_observations"]
        if (lengths < 1).any() or (lengths > time).any():
            raise ValueError(f"lengths must be 1 to {time}, got {lengths.tolist()}")
        valid = np.arange(time) < lengths[:, None]
        _check_finite(arrays, valid)

        # padding may hold anything, NaN too, which a weight of 0 would not remove: 0 * NaN is NaN
        observations = np.where(valid[..., None], arrays["observations"], 0.0)
        actions = np.where(valid[..., None], arrays["actions"], 0.0) / action_scale
        rollouts = Rollouts(
            observations=_tensor(observations)[None],
            actions=_tensor(actions)[None],
            means=torch.zeros(1, *actions.shape),
            rewards=_tensor(np.where(valid, arrays["rewards"], 0.0))[None],
            log_probs=torch.zeros(1, count, time),
            valid=torch.from_numpy(valid)[None],
            terminated=torch.from_numpy(arrays["terminated"].astype(bool))[None],
            final_observations=_tensor(final)[None],
            succeeded=torch.zeros(1, count, dtype=torch.bool),  # a log does not say
            memories=torch.zeros(1, count, 0),
        )
        with torch.no_grad():
            if memory:
                rollouts = with_contexts(rollouts, memory)
            gaussian = policy(parameters, rollouts.observations[0].flatten(0, 1))
            log_probs = gaussian.log_prob(rollouts.actions[0].flatten(0, 1))
        return rollouts._replace(
            means=gaussian.mean.view(1, count, time, -1),
            log_probs=log_probs.view(1, count, time),
        )

    def _arrays(self) -> dict[str, NDArray]:
        """Return the fields as arrays, with those that were left out filled in.

        Raises:
            ValueError: when observations do not have three axes, all of at least 1.
        """
        observations = np.asarray(self.observations, dtype=np.float32)
        if observations.ndim != 3 or 0 in observations.shape:
            raise ValueError(
                "observations must be [rollout, time, observation], "
                f"got shape {list(observations.shape)}"
            )
        count, time, _ = observations.shape
        return {
            "observations": observations,
            "actions": np.asarray(self.actions, dtype=np.float32),
            "rewards": np.asarray(self.rewards, dtype=np.float32),
            "final_observations": np.asarray(self.final_observations, dtype=np.float32),
            "lengths": np.asarray(np.full(count, time) if self.lengths is None else self.lengths),
            "terminated": np.asarray(
                np.zeros(count, bool) if self.terminated is None else self.terminated
            ),
        }


def _check_shapes(arrays: dict[str, NDArray], policy: GaussianPolicy, seen: int) -> None:
    """Raise a `ValueError` that names the first array whose shape does not fit."""
    count, time, size = arrays["observations"].shape
    shapes = {
        "observations": (count, time, seen),
        "actions": (count, time, policy.action_size),
        "rewards": (count, time),
        "final_observations": (count, size),
        "lengths": (count,),
        "terminated": (count,),
    }
    for name, shape in shapes.items():
        actual = arrays[name].shape
        if actual != shape:
            raise ValueError(f"{name} must have shape {list(shape)}, got {list(actual)}")


def _check_finite(arrays: dict[str, NDArray], valid: NDArray[np.bool_]) -> None:
    """Raise a `ValueError` that names the first array with a bad number in a valid step.

    Args:
        arrays: of an experience.
        valid: which steps took place, [rollout, time].
    """
    for name in ("observations", "actions", "rewards", "final_observations"):
        numbers = arrays[name] if name == "final_observations" else arrays[name][valid]
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} must be finite numbers")


def _tensor(array: NDArray) -> Tensor:
    # a clone is in torch's own memory, whose alignment is always the same, and with it the last
    # digits of products; NumPy's varies from run to run
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).clone()
