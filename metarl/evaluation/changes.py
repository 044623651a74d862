"""What adaptation to a task changed: parameters, sensitivity to observations, parts of return."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.policy import CONTEXT, GaussianPolicy
from metarl.envs.observation_names import observation_names
from metarl.envs.plain import whole
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.learner.maml import MAML
from metarl.learner.runs import known_learner
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key, Phase

if TYPE_CHECKING:
    from metarl.skills.library import SkillLibrary

_COSTS = {
    "control cost": "control_cost",
    "survive bonus": "survive_bonus",
    "contact cost": "contact_cost",
}


@dataclass(frozen=True, eq=False)
class Changes:
    """Numbers before and after adaptation to one task; pairs are [2]: before, after."""

    title: str
    layers: dict[str, float]
    """How far each layer's parameters moved, relative to their norm."""
    std: NDArray[np.float64]
    """Standard deviation of each action, [2, action]."""
    observations: dict[str, NDArray[np.float64]]
    """How far the most likely action moves when an observation rises by its std, [2] each; those
    that changed most come first."""
    reward: dict[str, NDArray[np.float64]]
    """Mean return from each part of the reward, [2] each."""

    def __str__(self) -> str:
        moved = ", ".join(
            f"{name} {change:.1%} of its norm" if name != CONTEXT else f"{name} to {change:.3g}"
            for name, change in self.layers.items()
        )
        sensitive = ", ".join(
            f"{name} {before:.2f} -> {after:.2f}"
            for name, (before, after) in list(self.observations.items())[:5]
        )
        parts = ", ".join(
            f"{name} {before:.1f} -> {after:.1f}" for name, (before, after) in self.reward.items()
        )
        before, after = self.std.mean(1)
        return "\n".join(
            [
                self.title,
                f"  layers moved: {moved}",
                f"  action std {before:.2f} -> {after:.2f} on average",
                f"  action responds to {sensitive}",
                f"  return from {parts}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "title": self.title,
            "layers": self.layers,
            "std": self.std.tolist(),
            "observations": {name: pair.tolist() for name, pair in self.observations.items()},
            "reward": {name: pair.tolist() for name, pair in self.reward.items()},
        }


def changes(
    learner: MAML,
    task: Tasks | Mapping[str, float],
    *,
    rollouts: int = 20,
    steps: int = 1,
    seed: int = 0,
    library: "SkillLibrary | None" = None,
) -> Changes:
    """Adapt to a task, as `MAML.adapt` does, and tell what it changed.

        from metarl.showing.figures import changes_figure

        changes = metarl.changes(learner, {"velocity": 1.2})
        print(changes)
        changes_figure(changes).savefig("changes.png")

    Args:
        learner: the learner; it is not changed.
        task: one task's parameters, such as `{"velocity": 1.2}`.
        rollouts: that each step learns from.
        steps: inner steps.
        seed: decides start states and exploration.
        library: skills to take the first step from; see `MAML.adapt`.

    Raises:
        ValueError: for a task that the family does not have, more than one, a third-party
            family, whose rewards cannot be taken apart, or a policy with a memory, which changes no
            parameter.
    """
    family = known_learner(learner).family
    if learner.state.memory:
        raise ValueError(
            "a policy with a memory adapts by what it remembers, and no parameter changes: "
            "metarl.evaluate measures what that gains"
        )
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{family.name} has rewards that cannot be taken apart")
    table = family.task(task)
    if len(table) != 1:
        raise ValueError(f"changes are of one task, got {len(table)}")
    steps = whole("steps", steps)
    inner_lrs = learner.recipe.inner_lrs(steps)
    key = Key(seed, Phase.ADAPT)
    stages = list(learner.adaptation(table, rollouts, inner_lrs, key, library))
    before, after = (
        {name: value[0].cpu() for name, value in stages[step].parameters.items()}
        for step in (0, -1)
    )
    last = stages[-1].rollouts
    visited = last.observations[last.valid]
    names = observation_names(family.robot, family.model)
    names += [f"task coordinate {i}" for i in range(family.observation_size - len(names))]
    sensitivities = np.stack(
        [sensitivity(learner.policy, p, visited) for p in (before, after)], axis=1
    )
    order = np.abs(sensitivities[:, 1] - sensitivities[:, 0]).argsort()[::-1]
    parts_before, parts_after = (
        reward_parts(learner, family, table, parameters, rollouts, key._replace(step=step))
        for parameters, step in ((before, 0), (after, steps))
    )
    noun = "1 step" if steps == 1 else f"{steps} steps"
    return Changes(
        title=f"{family.name}, {table.label(0)}: what {noun} changed",
        layers=layer_changes(before, after),
        std=torch.stack([learner.policy.std(p) for p in (before, after)]).double().numpy(),
        observations={names[index]: sensitivities[index] for index in order},
        reward={name: np.array([parts_before[name], parts_after[name]]) for name in parts_before},
    )


def layer_changes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """Return how far each layer's parameters moved, relative to their norm before.

    A context, which starts at 0, is given by its norm.

    Args:
        before: parameters as in `GaussianPolicy.shapes`.
        after: the same.
    """
    last = max(int(name.removeprefix("weight")) for name in before if name.startswith("weight"))
    layers: dict[str, list[str]] = {}
    for name in after:
        kind = name.rstrip("0123456789")
        if kind in ("weight", "bias"):
            number = int(name.removeprefix(kind))
            layers.setdefault("output" if number == last else f"layer {number + 1}", []).append(
                name
            )
        elif name == CONTEXT:
            layers["context"] = [name]
    relative = {}
    for layer, names in layers.items():
        moves = [after[n] - before[n] if n in before else after[n] for n in names]
        moved = sum(float(move.square().sum()) for move in moves) ** 0.5
        norm = sum(float(before[n].square().sum()) for n in names if n in before) ** 0.5
        relative[layer] = moved / norm if norm else moved
    return relative


def sensitivity(
    policy: GaussianPolicy, parameters: Mapping[str, Tensor], observations: Tensor
) -> NDArray[np.float64]:
    """Return how far the most likely action moves when an observation rises by its std.

    Args:
        policy: the policy.
        parameters: of one network.
        observations: visited, [n, observation].

    Returns:
        [observation]: the norm of the action's derivative, its mean over what was visited, times
        the observation's std.
    """

    def mean(observation: Tensor) -> Tensor:
        return policy(parameters, observation[None]).mean[0]

    # every observation costs a Jacobian: evenly spaced ones, 500 to 1000, bound time and memory
    some = observations[:: max(1, len(observations) // 500)]
    slopes = torch.func.vmap(torch.func.jacrev(mean))(some).norm(dim=1).mean(0)
    return (slopes * observations.std(0)).double().numpy()


def reward_parts(
    learner: MAML,
    family: TaskFamily,
    task: Tasks,
    parameters: Mapping[str, Tensor],
    rollouts: int,
    key: Key,
) -> dict[str, float]:
    """Return the mean return from the goal and from each cost and bonus.

    The same rollouts are simulated with and without each: costs do not change what happens, so
    that the difference of the returns is what each takes or gives.

    Args:
        learner: whose policy acts.
        family: its family.
        task: one.
        parameters: of one network.
        rollouts: how many.
        key: decides start states and exploration.
    """

    def mean_return(variant: TaskFamily) -> float:
        sampler = Sampler(variant, 1, rollouts)
        sampler.set_tasks(task)
        one_task = {name: value[None] for name, value in parameters.items()}
        rollouts_of_task = sampler.sample(learner.policy, one_task, key)
        return float(rollouts_of_task.returns.double().mean())

    total = mean_return(family)
    parts = {
        name: total - mean_return(family.replace(**{field: 0.0}))
        for name, field in _COSTS.items()
        if getattr(family, field)
    }
    return {"goal": total - sum(parts.values()), **parts}
