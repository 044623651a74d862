"""Many simulations of one family's robot, each with its own task, on native threads.

    simulator = Simulator(family, 800)
    simulator.set_tasks(tasks.repeat(20))
    observation = simulator.reset(generators)
    observation, reward, terminated, succeeded = simulator.step(action)

Built on `mujoco.batch`, which only this file and `contact_forces` use. Results do not depend on the
number of threads or simulations, to the last bit. This file deals with the batch's pitfalls:

- Derived fields (`xpos`, `cdof`, ...) lag one physics step behind `qpos` and `qvel` after a step,
  as they do after `mj_step`. Gymnasium's environments read them so, and so do the robots.
- Unless the batch is persistent, an MjData serves many simulations, and a field that a call does
  not compute holds the values of another simulation. So robots bind what `step` computes only, and
  contact forces, which it does not, need a persistent batch (`contact_forces`).
- Model fields that tasks change are given a simulation axis by `expand`. Constants that follow from
  them (such as `body_subtreemass`) are stale until `set_const`.
- A simulation that fails keeps its old state while the others continue: its episode ends.
- Simulations are named by ascending indices or a mask, and by one Python thread at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco import mjtWarning
from mujoco.batch import Batch, SimulationError
from numpy.typing import ArrayLike, NDArray

from metarl.envs.bodies import Bodies
from metarl.envs.contact_forces import ContactForces
from metarl.envs.family import Result
from metarl.envs.finite import (
    first_not_finite,
    not_finite,
    require_finite_action,
    require_finite_reward,
)
from metarl.envs.goal import Step
from metarl.envs.mujoco_log import quiet
from metarl.envs.observation_names import observation_names
from metarl.envs.quantities import Quantities
from metarl.envs.rest_fields import rest_fields
from metarl.envs.robot import Array
from metarl.envs.robot_check import Readings
from metarl.envs.sensor_noise import SensorNoise
from metarl.envs.simulated import Simulated
from metarl.envs.tasks import Tasks
from metarl.system.cores import cores

# warnings after which MuJoCo has put a state back to the model's defaults: the episode ends
_BLOWN_UP = [
    mjtWarning.mjWARN_BADQPOS.value,
    mjtWarning.mjWARN_BADQVEL.value,
    mjtWarning.mjWARN_BADQACC.value,
]

Sims = Sequence[int] | NDArray[np.integer] | None


class Simulator:
    """A batch of simulations with live state arrays."""

    def __init__(self, family: Simulated, count: int, *, threads: int = 0) -> None:
        """Make `count` simulations, at rest, with no tasks yet.

        Args:
            family: the robot and what is asked of it.
            count: how many simulations.
            threads: native threads; 0 for one a core.
        """
        if count < 1:
            raise ValueError(f"at least one simulation is needed, got {count}")
        self.family = family
        self.count = count
        self._robot = family.robot
        contact_forces = "cfrc_ext" in self._robot.fields
        # one MjData for each simulation, where a field is read that step does not compute; without
        # it, memory grows with threads only
        self._batch = Batch(family.model, count, threads or cores(), persistent=contact_forces)
        bound = {name: self._batch.bind(name) for name in self._robot.fields if name != "cfrc_ext"}
        self._fields = Readings(self._robot, bound)
        self._contacts = ContactForces(self._batch) if contact_forces else None
        if self._contacts:
            self._fields["cfrc_ext"] = self._contacts.cfrc_ext
        self._tracks = [self._robot.tracks.index(track) for track in family.goal.tracks]
        self._dt = family.dt
        self.failed = np.zeros(count, dtype=bool)
        """Whether the physics blew up in the last step, [sim]."""
        self._tasks: dict[str, Array] | None = None
        self._changed: set[str] = set()
        self._task_coordinates: Array | None = None
        low, high = self._robot.control_range(family.model)
        self._rest = rest_fields(self._robot, family.model)
        shape = count, len(low)
        self._quantities = Quantities(
            family.goal.sees, self._robot, family.model, self._batch.bind, shape
        )
        self._noise = SensorNoise(family.sensor_noise, count)
        self.terms: dict[str, Array] = {}
        """The parts of the last step's reward, weighted, [sim] each, where the goal has terms."""
        self._control_middle, self._control_half = (low + high) / 2.0, (high - low) / 2.0

    @property
    def fields(self) -> dict[str, Array]:
        """The MjData fields that the robot reads, [sim, ...] each, live."""
        return self._fields

    def model(self, sim: int) -> mujoco.MjModel:
        """Return one simulation's model, with its own body, to draw it or to look into it."""
        return self._batch.get_model(sim)

    def data(self, sim: int) -> mujoco.MjData:
        """Return one simulation's data: its state, and all that MuJoCo computes from it."""
        model, data = self.model(sim), self._batch.get_data(sim)
        mujoco.mj_forward(model, data)
        return data

    def set_tasks(self, tasks: Tasks, sims: Sims = None, *, now: bool = False) -> None:
        """Give simulations their tasks: for episodes that a reset begins, or for running ones.

        Args:
            tasks: one row a simulation.
            sims: which simulations, as ascending indices; None for all.
            now: the task changes in the middle of an episode. The next step has the new body and
                the new goal, and starts from the state as it is: as if the fields of an `MjModel`
                were written, and `mj_setConst` called, between two calls of `mj_step`. A target
                that the model shows is moved. Without it, reset before the next step.

        Raises:
            ValueError: for another number of rows, or a task outside the family's range.
            RuntimeError: when a body parameter did not arrive in the model.
        """
        chosen = np.arange(self.count) if sims is None else np.asarray(sims)
        if len(tasks) != len(chosen):
            raise ValueError(f"{len(chosen)} simulations need as many tasks, got {len(tasks)}")
        tasks = self.family.task(tasks)
        if self._tasks is None:
            if len(chosen) < self.count:
                raise ValueError("the first tasks must be those of all simulations")
            self._tasks = {name: tasks[name].copy() for name in tasks.names}
        for name, column in self._tasks.items():
            column[chosen] = tasks[name]
        if self.family.reveals_task:
            coordinates = self.family.coordinates(tasks)
            if self._task_coordinates is None:
                self._task_coordinates = coordinates.copy()
            self._task_coordinates[chosen] = coordinates
        self._set_bodies(self.family.bodies(tasks), chosen)
        if now:
            qpos = self._batch.bind("qpos")
            moved = qpos[chosen]
            self._aim(moved, chosen)
            qpos[chosen] = moved

    def _aim(self, qpos: Array, chosen: NDArray[np.integer]) -> None:
        """Put the targets that the model shows where the tasks have them, in [len(chosen), nq]."""
        target = self.family.goal.target
        if target and self._tasks:
            self._robot.aim(qpos, target({n: column[chosen] for n, column in self._tasks.items()}))

    def _set_bodies(self, bodies: Mapping[str, NDArray], chosen: NDArray[np.integer]) -> None:
        """Write fields, [len(chosen), ...] each; those that other tasks changed are reset."""
        own = Bodies(self.family.model, len(chosen))
        bodies = {name: own[name] for name in self._changed - bodies.keys()} | dict(bodies)
        self._changed |= bodies.keys()
        for name, values in bodies.items():
            self._batch.expand(name)[chosen] = values
        if bodies:
            self._batch.set_const(chosen)
        # what set_const derives must not overwrite what the task asked for: nobody would notice
        for name, values in bodies.items():
            if not np.array_equal(self._batch.expand(name)[chosen], values):
                raise RuntimeError(f"{name} was changed by the simulator after it was set")

    def reset(self, generators: Iterable[np.random.Generator], sims: Sims = None) -> Array:
        """Start simulations from a state drawn with each one's own generator.

        Args:
            generators: one a simulation, in order.
            sims: which simulations, as ascending indices; None for all. Where there are none, what
                is observed is still new: a task that was set `now` may be a part of it.

        Returns:
            The observations of all simulations, [sim, observation].
        """
        chosen = np.arange(self.count) if sims is None else np.asarray(sims)
        if not len(chosen):
            return self._observe(np.zeros(self.count, dtype=bool))
        starts = []
        for sim, generator in zip(chosen, generators, strict=True):
            starts.append(self._robot.start(self.family.model, generator))
            self._noise.restart(sim, generator)
        qpos, qvel = (np.stack(part) for part in zip(*starts, strict=True))
        self._aim(qpos, chosen)
        return self.set_state(qpos, qvel, sims)

    def set_state(self, qpos: ArrayLike, qvel: ArrayLike, sims: Sims = None) -> Array:
        """Put simulations into a state and return all observations, [sim, observation].

        Args:
            qpos: generalised positions, [sim, nq].
            qvel: generalised velocities, [sim, nv].
            sims: which simulations, as ascending indices; None for all.
        """
        chosen = slice(None) if sims is None else np.asarray(sims)
        state = {"qpos": qpos, "qvel": qvel}
        for name, values in state.items():
            expected = self._batch.bind(name)[chosen].shape
            if np.shape(values) != expected:
                raise ValueError(f"{name} must be {list(expected)}, got {list(np.shape(values))}")
        self._batch.reset(sims, stage=0)  # clears time, controls and the solver's warm start too
        for name, values in {**self._rest, **state}.items():
            self._batch.bind(name)[chosen] = values
        with quiet():
            self._batch.forward(sims)
        if self._contacts:
            self._contacts.refresh(sims)
        self._batch.warning[chosen] = 0
        self._quantities.restart(chosen)
        stated = np.zeros(self.count, dtype=bool)
        stated[chosen] = True
        return self._observe(stated)

    def step(self, action: NDArray[np.floating], active: NDArray[np.bool_] | None = None) -> Result:
        """Advance by one control step.

        Args:
            action: [sim, action], in the family's scale; what exceeds the control range is cut off.
            active: the simulations to step, [sim]; None for all. The others cost nothing.

        Raises:
            ValueError: for another shape, or an action that is not a finite number.
        """
        if self._tasks is None:
            raise RuntimeError("give the simulations their tasks first: set_tasks(tasks)")
        control = self._control(action, active)
        before = self._place()
        failed = self._advance(control, active)
        step = Step(before, self._place(), self._dt, self._see(control, active))
        healthy = self._robot.healthy(self._fields) & ~failed
        goal = self.family.goal
        reward, self.terms = goal.rewarded(step, self._tasks)
        reward = self.family.charge(reward, control, healthy, self._fields)
        stepped = ~failed if active is None else ~failed & active
        require_finite_reward(self.family.name, goal.name, reward, stepped, self._tasks)
        terminated = failed | goal.ends(step, self._tasks)
        if self.family.falls:
            terminated |= ~healthy
        succeeded = goal.succeeded(step, self._tasks) & ~failed
        if active is not None:
            terminated &= active
        # of a failed one MuJoCo put the state back to the defaults: that jump is no run
        reward = np.where(stepped, reward, 0.0)
        self.terms = {name: np.where(stepped, term, 0.0) for name, term in self.terms.items()}
        self.failed = failed if active is None else failed & active
        return Result(self._observe(stepped), reward, terminated, succeeded)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Simulator":
        """Return simulations in the same state, which continue as these would."""
        twin = Simulator(self.family, self.count, threads=self._batch.nthread)
        memo[id(self)] = twin
        if self._tasks is not None:
            columns = [self._tasks[name] for name in self._tasks]
            values = np.stack(columns, axis=1) if columns else np.zeros((self.count, 0))
            twin.set_tasks(Tasks(tuple(self._tasks), values))
        # all that the next step depends on, the solver's warm start included
        twin._batch.state[:] = self._batch.state
        twin._batch.warning[:] = self._batch.warning
        twin._quantities.copy_from(self._quantities)
        twin._noise.copy_from(self._noise)
        for name, field in self._fields.items():
            # derived fields lag one physics step behind the state, so they cannot be computed from
            # it; the batch marks them as read-only because its next call writes them anew
            copied = twin._fields[name]
            writeable, copied.flags.writeable = copied.flags.writeable, True
            copied[:] = field
            copied.flags.writeable = writeable
        return twin

    def close(self) -> None:
        """Do nothing: the batch's threads and memory go with the object."""

    def _place(self) -> Array:
        """Return the tracks that the goal names, [sim, track]; a copy, as fields are live."""
        return self._robot.position(self._fields)[:, self._tracks]

    def _see(self, control: Array, active: NDArray[np.bool_] | None) -> Mapping[str, NDArray]:
        """Return the quantities that the goal asks for, after a step."""
        if not self.family.goal.sees:
            return {}
        with np.errstate(invalid="ignore"):  # of a control without a range
            asked = np.nan_to_num((control - self._control_middle) / self._control_half)
        return self._quantities.read(asked, active)

    def _observe(self, fresh: NDArray[np.bool_]) -> Array:
        """Return the observations, [sim, observation]; those of `fresh` [sim] must be finite."""
        sensed = self._robot.observe(self._fields)
        where = first_not_finite(sensed, fresh)
        if where:
            sim, column = where
            name = observation_names(self._robot, self.family.model)[column]
            what = f"number {column} of {self._robot.name}.observe ({name})"
            not_finite(self.family.name, what, float(sensed[sim, column]), sim, self._tasks)
        sensed = self._noise.added(sensed, fresh)
        if self._task_coordinates is None:
            # a copy: a robot may return a live field itself, which the next step would change in
            # the hands of whoever keeps the observation, such as a replay buffer
            return np.array(sensed, dtype=np.float64)
        return np.concatenate([sensed, self._task_coordinates], axis=1)

    def _control(self, action: NDArray[np.floating], active: NDArray[np.bool_] | None) -> Array:
        expected = (self.count, len(self._control_half))
        if np.shape(action) != expected:
            raise ValueError(f"action must be {list(expected)}, got {list(np.shape(action))}")
        require_finite_action(action, active)
        control = np.multiply(action, self.family.action_scale, dtype=np.float64)
        np.clip(control, -1.0, 1.0, out=control)
        control *= self._control_half
        control += self._control_middle
        return control

    def _advance(self, control: Array, active: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Step the physics with these controls; return which simulations failed, [sim]."""
        still = None if active is None or active.all() else ~active
        before = None if still is None else self._batch.state[still]
        self._robot.drive(self._fields, control)
        if before is not None:  # controls are observed, also of who is not stepped
            self._batch.state[still] = before
        failed = np.zeros(self.count, dtype=bool)
        with quiet():
            try:
                self._batch.step(active, nstep=self._robot.frame_skip)
            except SimulationError as error:
                failed[error.ids] = True  # the others were stepped
        if self._batch.warning.any():
            failed |= (self._batch.warning[:, _BLOWN_UP, 1] > 0).any(axis=1)
        if self._robot.settle(self._fields, slice(None) if active is None else active):
            self._batch.forward(active)  # derived fields of the corrected state
        if self._contacts:
            self._contacts.refresh(None if active is None else np.flatnonzero(active))
        return failed
