"""One episode of every simulation, step by step: what films and comparisons play."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.agents.policy import Parameters
from metarl.envs.family import Simulations
from metarl.envs.robot import Array
from metarl.envs.tasks import Tasks
from metarl.sampling.collect import Acting
from metarl.sampling.remembering import Remembering


class Moment(NamedTuple):
    """An episode at its start or after a step; arrays have a leading simulation axis."""

    reward: Array
    """What the step earned, [sim]; 0 at the start, and in simulations that had ended before."""
    active: NDArray[np.bool_]
    """Whether the episode continues, [sim]."""


def most_likely(policy: Acting, parameters: Parameters) -> Callable[[Array], NDArray[np.floating]]:
    """Return a policy's most likely actions as `play` asks for them, one simulation a task.

    Args:
        policy: the policy.
        parameters: every task's own, [task, ...] each.
    """
    acting = policy.acting({name: value.cpu() for name, value in parameters.items()})

    def act(observation: Array) -> NDArray[np.floating]:
        # the policy's axes are [task, rollout, observation], and its numbers float32
        return acting(observation[:, None].astype(np.float32))[:, 0]

    return act


def play(
    simulator: Simulations,
    act: Callable[[Array], NDArray[np.floating]],
    generators: Iterable[np.random.Generator],
    remembering: Remembering | None = None,
    change: tuple[int, Tasks] | None = None,
) -> Iterator[Moment]:
    """Play one episode in every simulation; yield its start and what each step led to.

    While a moment is looked at, the simulator is in its state. The last moment is that in
    which no simulation is active any more, or the one at the family's horizon.

    Args:
        simulator: with tasks set.
        act: from observations, [sim, observation], to actions in the family's scale,
            [sim, action].
        generators: of the start states, one a simulation.
        remembering: the memories of a policy that has one, which then acts on observations with
            the contexts behind them.
        change: the number of a step, from 0, and the tasks that there are from it on; None for
            tasks that stay.
    """
    observation = simulator.reset(generators)
    if remembering:
        remembering.begin_episode()
    active = np.ones(simulator.count, dtype=bool)
    yield Moment(np.zeros(simulator.count), active)
    for step in range(simulator.family.horizon):
        if change and step == change[0]:
            simulator.set_tasks(change[1], now=True)
            observation = simulator.reset((), np.arange(0))  # of none: the new task may be observed
        seen: Array = observation
        if remembering:
            context = remembering.context().astype(np.float64)
            seen = np.concatenate([observation, context], axis=1)
        action = act(seen)
        result = simulator.step(action, active)
        if remembering:
            remembering.remember(observation, action, result.reward, result.observation, active)
        observation = result.observation
        active = active & ~result.terminated
        yield Moment(result.reward, active)
        if not active.any():
            return
