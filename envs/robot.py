"""`Robot`: what a body is, how it starts, what it observes and when it has fallen.

A robot is written once, over arrays with a leading simulation axis [sim]; the simulator steps many
of them and hands over MuJoCo's fields by name. It knows nothing of tasks, rewards or learning.

Fields that MuJoCo derives (`xpos`, `subtree_com`, ...) are one physics step older than `qpos` and
`qvel`, as they are in Gymnasium's environments, which read them right after `mj_step`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.actuators import JOINT_TRANSMISSIONS, actuator_name
from metarl.envs.model import Edit, element_index, load_model

Array = NDArray[np.float64]
Fields = Mapping[str, Array]
"""MjData fields by name, each [sim, ...], live: copy what is to outlast a step. State fields
(`qpos`, `qvel`, `ctrl`, `mocap_pos`, `mocap_quat`) may be written."""


class Leg(NamedTuple):
    """A limb that can be crippled."""

    name: str
    actuators: tuple[int, ...]
    """Indices of the actuators that move it."""
    geoms: tuple[str, ...]
    """Names of its geoms."""


class Robot(ABC):
    """A body in a MuJoCo model, read and driven through arrays over simulations.

    A robot of one's own subclasses this and fills in the class attributes and the four abstract
    methods.
    """

    name: str
    """The name shown to people."""
    mjcf: Path | str
    """The robot's MJCF file, read by `load`."""
    frame_skip: int
    """Physics steps per control step."""
    fields: tuple[str, ...] = ("qpos", "qvel", "ctrl")
    """The MjData fields that the methods read. With `cfrc_ext` among them, contact forces are
    computed after each step."""
    camera: tuple[float, float, float] = (4.0, 90.0, -15.0)
    """For films: distance [m], azimuth and elevation [degrees]."""
    lookat: tuple[float, float, float] | None = None
    """For films: the point to look at [m]; None follows the robot."""
    camera_name: str | None = None
    """For films: a camera of the MJCF to film with; None films with `camera` and `lookat`."""
    root: str | None = None
    """Name of the body that is followed in films; None for that of `root_body`."""
    tracks: tuple[str, ...] = ("x",)
    """Names of the columns of `position`; a goal picks those it needs by name."""
    legs: tuple[Leg, ...] = ()
    """Limbs that can be crippled."""
    feet: tuple[str, ...] = ()
    """Names of the bodies that walk on the ground, whose contacts a goal may see."""

    @abstractmethod
    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Draw one start state: qpos [nq] and qvel [nv]."""

    @abstractmethod
    def observe(self, fields: Fields) -> Array:
        """Return what the robot senses, [sim, observation]."""

    @abstractmethod
    def position(self, fields: Fields) -> Array:
        """Return where the robot is, [sim, len(tracks)] in m and rad.

        Velocities in rewards are this one's difference over a control step, divided by its length.
        """

    @abstractmethod
    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Return whether the robot is upright and its state in bounds, [sim]; False is a fall."""

    def rest(self, model: mujoco.MjModel) -> dict[str, Array]:
        """Return what a start sets besides qpos and qvel: none by default, all else being zero.

        A robot of servos sets `ctrl` [nu] to where they stand, one with activations `act` [na].
        State fields by name, as in MjData, without the simulation axis.
        """
        return {}

    def drive(self, fields: Fields, control: Array) -> None:
        """Apply `control` [sim, action], within `control_range`, for the coming step."""
        fields["ctrl"][:] = control

    @property
    def settings(self) -> dict[str, bool | int | float | str]:
        """The options that the robot was made with: its public attributes that are plain values.

        They are saved with a run, whose family is compared with them when it is loaded.
        """
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and isinstance(value, bool | int | float | str)
        }

    def describe(self) -> dict[str, Any]:
        """Return further plain data that `settings` cannot hold, to be saved and compared alike."""
        return {}

    def settle(self, fields: Fields, stepped: NDArray[np.bool_] | slice) -> bool:
        """Correct the state after a step; return whether derived fields must be computed anew.

        Args:
            fields: `qpos` and `qvel` may be written.
            stepped: the simulations that were stepped.
        """
        return False

    def load(self, edits: tuple[Edit, ...] = ()) -> mujoco.MjModel:
        """Return the compiled model, shared by all who ask; see `load_model`."""
        return load_model(self.mjcf, edits)

    def control_range(self, model: mujoco.MjModel) -> tuple[Array, Array]:
        """Return the lowest and highest controls, [action] each; by default the actuators'.

        Raises:
            ValueError: for an actuator without a range, which MuJoCo takes for unlimited.
        """
        low, high = model.actuator_ctrlrange.T
        actuators = np.repeat(np.arange(model.nactuator), model.actuator_ctrlnum)
        for actuator in actuators[low >= high]:
            raise ValueError(
                f"{self.name}: actuator {actuator_name(model, actuator)} has no control range to "
                f'scale actions to; write ctrlrange="-1 1", or what its limits are, in the MJCF, '
                f"or override control_range in the robot"
            )
        return low, high

    def root_body(self, model: mujoco.MjModel) -> int:
        """Return the index of the body that is followed in films.

        The one that `root` names. By default, the body nearest to the world that moves and carries
        the joint of the first actuator; the first body that moves, where none drives a joint; the
        first one where none moves.

        Raises:
            ValueError: when the model has no body of the name `root`.
        """
        if self.root is not None:
            return element_index(model, "body", self.root)
        on_joint = np.flatnonzero(np.isin(model.actuator_trntype, JOINT_TRANSMISSIONS))
        if not len(on_joint):
            moving = np.flatnonzero(model.body_dofnum)
            return int(moving[0]) if len(moving) else min(1, model.nbody - 1)
        body = int(model.jnt_bodyid[model.actuator_trnid[on_joint[0], 0]])
        while (parent := int(model.body_parentid[body])) and model.body_weldid[parent]:
            body = parent
        return body

    def aim(self, qpos: Array, target: Array) -> None:  # noqa: B027, most models show no target
        """Move the target that the model shows, if it has one, in start states.

        Args:
            qpos: [sim, nq], changed in place.
            target: x and y of the goal, [sim, 2] in m.
        """

    def contact_forces(self, fields: Fields) -> Array:
        """Return the forces that a family's contact cost counts, [sim, force]."""
        raise NotImplementedError(f"{self.name} has no contact forces")


def uniform_start(
    model: mujoco.MjModel, generator: np.random.Generator, qpos_noise: float, qvel_noise: float
) -> tuple[Array, Array]:
    """Return the rest pose with uniform noise on qpos [nq] and qvel [nv]."""
    qpos = model.qpos0 + generator.uniform(-qpos_noise, qpos_noise, model.nq)
    return qpos, generator.uniform(-qvel_noise, qvel_noise, model.nv)


def always(fields: Fields) -> NDArray[np.bool_]:
    """Return True for each simulation, [sim]."""
    return np.ones(len(fields["qpos"]), dtype=bool)


def yaw(quaternion: Array) -> Array:
    """Return the rotation about the vertical axis [rad], [sim], of unit quaternions [sim, 4]."""
    w, x, y, z = quaternion.T
    return np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
