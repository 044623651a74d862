"""`Family` and `Simulations`: what learning asks of a family of tasks and of its simulations.

Sampling, training and evaluation know these two protocols only. `TaskFamily` (a robot in
MuJoCo's batch) and `ForeignFamily` (any Gymnasium environment) are the families there are.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import Split
from metarl.envs.robot import Array
from metarl.envs.tasks import Tasks


class Result(NamedTuple):
    """What a step returned; every array has a leading simulation axis."""

    observation: Array
    """[sim, observation]; of a simulation that was not stepped, as before."""
    reward: Array
    """[sim]; 0 for a simulation that was not stepped."""
    terminated: NDArray[np.bool_]
    """Whether the robot fell, reached its goal, or its physics failed, [sim]."""
    succeeded: NDArray[np.bool_]
    """Whether the robot is where it is wanted, [sim]; False where the family does not tell. What
    makes an episode a success is the family's `succeeds_at_any_step`."""


class Simulations(Protocol):
    """Simulations of one family that are stepped together, each with its own task."""

    @property
    def count(self) -> int:
        """How many simulations there are."""
        ...

    @property
    def family(self) -> Any:  # noqa: ANN401, each kind of simulations has its own kind of family
        """The family that is simulated."""
        ...

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether the physics blew up in the last step, [sim]; then it terminated, too."""
        ...

    def set_tasks(self, tasks: Tasks, *, now: bool = False) -> None:
        """Give each simulation its task.

        Args:
            tasks: one row each.
            now: change the task of running episodes, from their next step on, in the state that
                they are in; otherwise a reset must follow.

        Raises:
            ValueError: for another number of rows, a task outside the family's range, or `now`
                where tasks change at resets only.
        """
        ...

    def reset(
        self, generators: Iterable[np.random.Generator], sims: NDArray[np.integer] | None = None
    ) -> Array:
        """Start simulations, each from its own generator; return all observations.

        Args:
            generators: one a simulation, in order.
            sims: which simulations, as ascending indices; None for all.

        Returns:
            [sim, observation].

        Raises:
            ValueError: for some of them only, where they cannot be started apart.
        """
        ...

    def step(self, action: NDArray[np.floating], active: NDArray[np.bool_] | None = None) -> Result:
        """Advance by one control step.

        Args:
            action: [sim, action], in the family's scale; what exceeds the control range is cut off.
            active: the simulations to step, [sim]; None for all.

        Raises:
            ValueError: for another shape, or an action that is not a finite number.
        """
        ...

    def close(self) -> None:
        """Free what the simulations hold; they cannot be stepped afterwards."""
        ...


class Family(Protocol):
    """Tasks that share observations, actions and a horizon."""

    @property
    def name(self) -> str:
        """The name shown to people."""
        ...

    @property
    def preset(self) -> str:
        """The published variant that the numbers follow, or `default`."""
        ...

    @property
    def horizon(self) -> int:
        """Control steps in an episode, unless it terminates before."""
        ...

    @property
    def action_scale(self) -> float:
        """The part of the control range that an action of 1 asks for."""
        ...

    @property
    def observation_size(self) -> int:
        """How many numbers are observed."""
        ...

    @property
    def action_size(self) -> int:
        """How many numbers an action has."""
        ...

    @property
    def cost_of_actions(self) -> Array:
        """The cost of the action in the reward of a step, the same in every task, [2, action].

        Weights w and rests r, of actions in the family's scale: an action a, cut off at the control
        range, costs the sum of w (a - r)^2. Zeros where nothing is known.
        """
        ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the task parameters."""
        ...

    @property
    def extrapolates(self) -> bool:
        """Whether there are tasks to draw from outside the training range."""
        ...

    @property
    def reveals_task(self) -> bool:
        """Whether the observation contains the task, which is hidden otherwise."""
        ...

    @property
    def tells_success(self) -> bool:
        """Whether `Result.succeeded` means anything."""
        ...

    @property
    def succeeds_at_any_step(self) -> bool:
        """Whether an episode succeeds when any of its steps does; otherwise its last one must."""
        ...

    @property
    def native(self) -> bool:
        """Whether native threads step the simulations, without the GIL; otherwise Python does.

        Simulations stepped by Python are stepped by one thread of a process only: a third-party
        environment may not be thread-safe.
        """
        ...

    @property
    def processes(self) -> bool:
        """Whether the simulations run in processes of their own."""
        ...

    def sample_tasks(
        self, count: int, *, seed: int | tuple[int, ...], split: Split = "train"
    ) -> Tasks:
        """Draw tasks; see `TaskSpace.sample`."""
        ...

    def task(self, task: Tasks | Mapping[str, float]) -> Tasks:
        """Return `task` as a checked table; see `TaskSpace.check`."""
        ...

    def coordinates(self, tasks: Tasks | Mapping[str, float]) -> NDArray[np.float64]:
        """Return points whose distance tells how different tasks are; see `TaskSpace`."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the family as plain data, for tables and JSON."""
        ...

    def simulate(self, count: int, *, threads: int = 0) -> Simulations:
        """Return simulations of the family, with no tasks yet; close them when done.

        Args:
            count: how many.
            threads: native threads, where there are any; 0 for one a core.
        """
        ...
