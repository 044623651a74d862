"""Rollouts of some tasks at once, in this thread.

All tasks and rollouts advance together: one policy evaluation and one simulator call a time step.
What is sampled depends on the key and the parameters alone, not on threads or on who asks.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.gaussian import noise_log_prob
from metarl.agents.memory import TaskMemory
from metarl.agents.policy import Array, Parameters
from metarl.envs.family import Family, Result, Simulations
from metarl.experience.memories import Remembered
from metarl.experience.rollouts import Rollouts
from metarl.sampling.remembering import Remembering
from metarl.sampling.streams import Key, Phase, Purpose, streams
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
    key: Key,
    out: Rollouts,
    *,
    first: int = 0,
    deterministic: bool = False,
    memory: Remembered | None = None,
) -> Rollouts:
    """Run every simulation for an episode, or for several in a row; return `out`, filled.

    A policy with a memory sees its context behind the observation, [observation, context], and
    keeps the memory over the episodes of a simulation: together they are a trial (Duan et al. 2016,
    "RL2", section 2.2). Episode e of simulation s of a task is its rollout e * simulations + s.

    Args:
        simulator: its simulations are several of each task, task by task, with tasks set.
        policy: whose actions are taken.
        parameters: common to all tasks, or each with a leading task axis; on the CPU.
        key: decides start states and action noise.
        out: what to write to, such as `empty_rollouts`; it says how many tasks and rollouts.
        first: the number of the first task, when others have those before.
        deterministic: take the most likely action at every step.
        memory: what rollouts begin with; None for a policy that has none.

    Raises:
        ValueError: when the simulations are not the same number for each task, or the number of
            rollouts of a task is not a multiple of its number of simulations.
    """
    tasks, rollouts = out.rewards.shape[:2]
    simulations = simulator.count // tasks
    if simulator.count % tasks or rollouts % simulations:
        raise ValueError(
            f"{simulator.count} simulations cannot take {rollouts} rollouts of {tasks} tasks each"
        )
    remembering = None if memory is None else Remembering(memory, simulations)
    with torch.no_grad(), one_library_thread():
        numbers = [(first + task, rollout) for task in range(tasks) for rollout in range(rollouts)]
        _draw_noise(out, policy.std(parameters), key, None if deterministic else numbers)
        most_likely = policy.acting(parameters)
        for begin in range(0, rollouts, simulations):
            episode = slice(begin, begin + simulations)
            of_episode = [number for number in numbers if begin <= number[1] < episode.stop]
            start = simulator.reset(streams(key, Purpose.START, of_episode))
            part = Rollouts(*(field[:, episode] for field in out))
            try:
                _run_episode(simulator, most_likely, start, part, remembering)
            except NotFiniteError as error:
                raise ValueError(error.located(simulator.family.name, key, first, begin)) from None
    return out


class NotFiniteError(Exception):
    """A number that arose in an episode and is not finite; it says where among the simulations."""

    def __init__(self, what: str, value: NDArray, task: int, simulation: int, when: str) -> None:
        """Take what it is and where.

        Args:
            what: such as `action`.
            value: of one simulation, [number].
            task: the task's number in the chunk.
            simulation: the simulation's number among those of its task.
            when: in the episode.
        """
        super().__init__(what)
        self._what, self._value, self._when = what, value, when
        self._task, self._simulation = task, simulation

    def located(self, family: str, key: Key, first: int, begin: int) -> str:
        """Return where it arose, in words.

        Args:
            family: its name.
            key: of the rollouts.
            first: number of the chunk's first task.
            begin: number of the episode's first rollout.
        """
        iteration = f"iteration {key.iteration}, " if key.phase is Phase.TRAIN else ""
        number = int(np.isfinite(self._value).argmin())
        after = f" after {key.step} inner step{'s' * (key.step > 1)}" if key.step else ""
        if after and self._what == "action":  # observations are the environment's
            after += "; a smaller inner_lr may help"
        return (
            f"{family}: {self._what} of {iteration}task {first + self._task}, rollout "
            f"{begin + self._simulation}, {self._when}, is not finite (number {number} is "
            f"{self._value[number]}){after}"
        )


def _check_finite(what: str, values: NDArray, active: NDArray[np.bool_], when: str) -> None:
    """Raise a `NotFiniteError` for the first active simulation with a bad number.

    Args:
        what: the values are, such as `action`.
        values: [task, simulation of the task, ...].
        active: which simulations count, [task, simulation of the task].
        when: in the episode.
    """
    bad = active & ~np.isfinite(values).reshape(*active.shape, -1).all(-1)
    if bad.any():
        task, simulation = (int(index) for index in np.argwhere(bad)[0])
        raise NotFiniteError(what, values[task, simulation], task, simulation, when)


def _draw_noise(
    out: Rollouts, std: Tensor, key: Key, numbers: list[tuple[int, int]] | None
) -> None:
    """Write action noise, to which means are added later, and log-densities.

    Args:
        out: where to.
        std: of the actions, [action] or [task, action].
        key: decides the noise.
        numbers: of task and rollout, for each rollout; None for no noise.
    """
    noise = torch.zeros(out.actions.shape)
    if numbers is not None:
        rows = noise.flatten(0, 1).numpy()
        for row, generator in zip(rows, streams(key, Purpose.NOISE, numbers), strict=True):
            generator.standard_normal(out=row, dtype=np.float32)
    std = std[..., None, None, :]
    torch.mul(noise, std, out=out.actions)
    out.log_probs.copy_(noise_log_prob(noise, std.log()))


def _run_episode(
    simulator: Simulations,
    most_likely: Callable[[Array], Array],
    observation: NDArray,
    out: Rollouts,
    remembering: Remembering | None,
) -> None:
    """Run every simulation until it has fallen or time is up, and write what happened.

    Args:
        simulator: after a reset.
        most_likely: what the policy sees -> actions.
        observation: after the reset, [simulation, observation].
        out: of this episode, [task, simulation of the task, time]; actions hold their noise.
        remembering: what is remembered so far; None for a policy without memory.
    """
    # by name: a position in a tuple of twelve is easily mistaken for another
    fields = {name: field.numpy() for name, field in out._asdict().items()}
    actions = fields["actions"]
    *each, horizon = fields["rewards"].shape
    count = simulator.count
    if remembering:
        remembering.begin_episode()
    active = np.ones(count, dtype=bool)
    succeeded, blown_up = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    if not simulator.family.native:
        _check_finite("observation", observation.reshape(*each, -1), active.reshape(each), "reset")
    time, once_is_enough = 0, simulator.family.succeeds_at_any_step
    while time < horizon and active.any():
        seen = _policy_input(observation, remembering).reshape(*each, -1)
        fields["observations"][:, :, time] = seen
        fields["valid"][:, :, time] = active.reshape(each)
        fields["means"][:, :, time] = mean = most_likely(fields["observations"][:, :, time])
        actions[:, :, time] += mean
        action = actions[:, :, time].reshape(count, -1)
        before = observation
        result = _step(simulator, actions[:, :, time], active, time)
        observation, reward, fallen, arrived = result
        fields["rewards"][:, :, time] = reward.reshape(each)
        if remembering:
            remembering.remember(before, action, reward, observation, active)
        succeeded = np.where(active, arrived | succeeded & once_is_enough, succeeded)
        blown_up |= active & simulator.failed
        active = active & ~fallen
        time += 1

    # padding repeats the last step, so that its actions are as likely as any: in those of many
    # numbers, the ratio of densities at zeros is infinite, and a weight of 0 makes it nan
    for repeated in ("observations", "actions", "means", "log_probs"):
        fields[repeated][:, :, time:] = fields[repeated][:, :, time - 1 : time]
    for empty in ("rewards", "valid"):
        fields[empty][:, :, time:] = 0
    fields["final_observations"][:] = _policy_input(observation, remembering).reshape(*each, -1)
    if remembering:
        fields["memories"][:] = remembering.memory.reshape(*each, -1)
    fields["terminated"][:] = ~active.reshape(each)
    fields["succeeded"][:] = succeeded.reshape(each)
    fields["failed"][:] = blown_up.reshape(each)
    # `Changing.put_back` sets it where a task changed
    fields["continued"][:] = False


def _policy_input(observation: NDArray, remembering: Remembering | None) -> NDArray:
    """Return observations with what is remembered behind them, [sim, observation + context]."""
    if remembering is None:
        return observation
    return np.concatenate([observation, remembering.context()], axis=1)


def _step(simulator: Simulations, actions: NDArray, active: NDArray[np.bool_], time: int) -> Result:
    """Step the simulations; an action that is not finite is told with its place.

    Args:
        simulator: see `_run_episode`.
        actions: [task, simulation, action].
        active: which simulations to step, [sim].
        time: of the step, from 0.
    """
    try:
        return simulator.step(actions.reshape(simulator.count, -1), active)
    except ValueError:  # an action that is not finite is one reason, and its place is known here
        _check_finite("action", actions, active.reshape(actions.shape[:2]), f"step {time}")
        raise


def rollout_layout(
    family: Family, tasks: int, rollouts: int, memory: TaskMemory | None = None
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return the shape and type of every field of `Rollouts`, by name.

    Args:
        family: of the tasks; decides the sizes of observations and actions, and the horizon.
        tasks: how many.
        rollouts: how many of each task.
        memory: of the policy; None when it has none.
    """
    episodes = (tasks, rollouts)
    steps = (*episodes, family.horizon)
    context, remembered = (memory.context_size, memory.size) if memory else (0, 0)
    observations, actions = family.observation_size + context, family.action_size
    return {
        "observations": ((*steps, observations), torch.float32),
        "actions": ((*steps, actions), torch.float32),
        "means": ((*steps, actions), torch.float32),
        "rewards": (steps, torch.float32),
        "log_probs": (steps, torch.float32),
        "valid": (steps, torch.bool),
        "terminated": (episodes, torch.bool),
        "final_observations": ((*episodes, observations), torch.float32),
        "succeeded": (episodes, torch.bool),
        "memories": ((*episodes, remembered), torch.float32),
        "failed": (episodes, torch.bool),
        "continued": (episodes, torch.bool),
    }


def empty_rollouts(
    family: Family, tasks: int, rollouts: int, memory: TaskMemory | None = None
) -> Rollouts:
    """Return uninitialised memory for rollouts, which `collect` writes; see `rollout_layout`."""
    layout = rollout_layout(family, tasks, rollouts, memory).items()
    return Rollouts(**{name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in layout})
