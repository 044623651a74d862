"""`Experience`: rollouts that the user brings, such as a real robot's log."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.experience.memories import Remembered, with_contexts
from metarl.experience.rollouts import Rollouts


@dataclass(frozen=True, eq=False)
class Experience:
    """Rollouts of one task as plain arrays, taken with the policy that is to be adapted."""

    observations: ArrayLike
    """[rollout, time, observation], before each step."""
    actions: ArrayLike
    """[rollout, time, action], as the second value of `explore`: in parts of the control range,
    before they are cut off at -1 and 1."""
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

        Actions that were clipped at -1 or 1 are replaced, with a warning, by draws from the
        policy's distribution beyond the limit; see `_beyond`.

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
        whole = np.isin(lengths, np.arange(1, time + 1))
        if not whole.all():
            raise ValueError(f"lengths must be whole, 1 to {time}, got {lengths.tolist()}")
        if not np.isin(arrays["terminated"], (0, 1)).all():
            raise ValueError(f"terminated must be True or False, got {arrays['terminated']}")
        valid = np.arange(time) < lengths[:, None]
        _check_finite(arrays, valid)

        # padding may hold anything, NaN too, which a weight of 0 would not remove: 0 * NaN is NaN
        observations = np.where(valid[..., None], arrays["observations"], 0.0)
        actions = np.where(valid[..., None], arrays["actions"], 0.0)
        rollouts = Rollouts(
            observations=_tensor(observations)[None],
            actions=_tensor(actions / action_scale)[None],
            means=torch.zeros(1, *actions.shape),
            rewards=_tensor(np.where(valid, arrays["rewards"], 0.0))[None],
            log_probs=torch.zeros(1, count, time),
            valid=torch.from_numpy(valid)[None],
            terminated=torch.from_numpy(arrays["terminated"].astype(bool))[None],
            final_observations=_tensor(final)[None],
            succeeded=torch.zeros(1, count, dtype=torch.bool),  # a log does not say
            memories=torch.zeros(1, count, 0),
            failed=torch.zeros(1, count, dtype=torch.bool),
            continued=torch.zeros(1, count, dtype=torch.bool),
        )
        with torch.no_grad():
            if memory:
                rollouts = with_contexts(rollouts, memory)
            gaussian = policy(parameters, rollouts.observations[0].flatten(0, 1))
            acted = _uncut(actions, gaussian, action_scale)
            log_probs = gaussian.log_prob(acted.flatten(0, 1))
        return rollouts._replace(
            actions=acted[None],
            means=gaussian.mean.view(1, count, time, -1),
            log_probs=log_probs.view(1, count, time),
        )

    def _arrays(self) -> dict[str, NDArray]:
        """Return the fields as arrays, with those that were left out filled in.

        Raises:
            ValueError: when observations do not have three axes, all of at least 1.
        """
        observations = _array("observations", self.observations)
        if observations.ndim != 3 or 0 in observations.shape:
            raise ValueError(
                "observations must be [rollout, time, observation], "
                f"got shape {list(observations.shape)}"
            )
        count, time, _ = observations.shape
        return {
            "observations": observations,
            "actions": _array("actions", self.actions),
            "rewards": _array("rewards", self.rewards),
            "final_observations": _array("final_observations", self.final_observations),
            "lengths": np.asarray(np.full(count, time) if self.lengths is None else self.lengths),
            "terminated": np.asarray(
                np.zeros(count, bool) if self.terminated is None else self.terminated
            ),
        }


def _array(name: str, rows: ArrayLike) -> NDArray:
    """Return a field of an experience as float32, or raise a `ValueError` that names it."""
    try:
        return np.asarray(rows, dtype=np.float32)
    except (ValueError, TypeError) as error:
        if "inhomogeneous" in str(error):
            raise ValueError(
                f"{name} are of unequal lengths: pad the rollouts to the length of the longest, "
                "and give the steps that took place as lengths=[...]"
            ) from None
        raise ValueError(f"{name} must be numbers: {error}") from None


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


def _uncut(actions: NDArray, gaussian: Gaussian, action_scale: float) -> Tensor:
    """Return the actions that the policy sampled, [rollout, time, action], in its own units.

    A number of exactly -1 or 1 was cut off. Its density under the Gaussian is not that of what was
    sampled: a policy gradient from it points elsewhere (cosine 0.65 with an action scale of 1).

    Args:
        actions: as logged, [rollout, time, action].
        gaussian: the policy's distributions, [rollout * time, action].
        action_scale: the part of the control range that an action of 1 of the policy asks for.
    """
    acted = _tensor(actions / action_scale)
    cut = np.abs(actions) == 1.0
    if cut.any():
        warnings.warn(
            f"{cut.sum()} of {cut.size} logged actions are exactly -1 or 1: cut off at the end of "
            "the control range. They are replaced by draws from beyond it, which is right on "
            "average only; log the second value of explore(observation) instead",
            stacklevel=2,
        )
        side = torch.from_numpy(np.where(cut, np.sign(actions), 0.0)).flatten(0, 1)
        drawn = _beyond(side / action_scale, gaussian).to(acted.dtype)
        acted = torch.where(side.view_as(acted) == 0.0, acted, drawn.view_as(acted))
    return acted


def _beyond(limit: Tensor, gaussian: Gaussian) -> Tensor:
    """Return draws of the actions that were cut off at limits, given that they lay beyond.

    The robot does the same for all actions beyond a limit, so that given the action that it took,
    what was sampled is independent of all that followed. Draws from the conditional distribution
    are then distributed as the actions themselves were, and gradients from them are as unbiased.
    (Fujita and Maeda 2018, "Clipped Action Policy Gradient", take the conditional expectation of
    the score instead, which no single action has.)

    With c = (|limit| - mean) / std on the limit's side, P(beyond) = Phi(-c), and
    eps = -Phi^-1(u Phi(-c)) for uniform u.

    Args:
        limit: in the policy's units, [..., action]; its sign says the side.
        gaussian: what was sampled from, [..., action].
    """
    side = limit.sign()
    mean, std = gaussian.mean.double(), gaussian.log_std.double().exp()
    nearest = side * (limit - mean) / std
    # the same draws for the same log, so that adapting to it twice gives the same policy
    uniform = torch.rand(limit.shape, dtype=torch.float64, generator=torch.Generator())
    # where the probability underflows, nothing can be drawn: the limit itself is as good
    eps = -torch.special.ndtri((1.0 - uniform) * torch.special.ndtr(-nearest))
    eps = torch.maximum(torch.where(eps.isfinite(), eps, nearest), nearest)
    return mean + side * std * eps


def _tensor(array: NDArray) -> Tensor:
    # a clone is in torch's own memory, whose alignment is always the same, and with it the last
    # digits of products; NumPy's varies from run to run
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).clone()
