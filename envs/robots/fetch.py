"""Fetch: a seven-joint arm with a gripper, as in gymnasium-robotics' Fetch environments (v4).

The arm is pulled by a mocap body that is welded to the gripper: an action moves it by up to 5 cm
along each axis, and opens or closes the fingers. The models come with gymnasium-robotics, an extra:
`pip install -c constraints.txt '.[robots]'`.
"""

import copy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.model import Edit, load_model
from metarl.envs.robot import Array, Fields, Robot, always

Task = Literal["reach", "push", "slide", "pick_and_place"]

# gymnasium_robotics/envs/fetch/fetch_env.py
_STRIDE = 0.05  # m moved by an action of 1
_POINTING_DOWN = np.array([1.0, 0.0, 1.0, 0.0])  # quaternion of the gripper, not normalised there
_NEAREST_OBJECT = 0.1  # m between the object and the gripper at the start
_LIFT = np.array([-0.498, 0.005, -0.431])  # m from where the gripper is first to where it starts
_FINGERS = ("robot0:r_gripper_finger_joint", "robot0:l_gripper_finger_joint")


class Setting(NamedTuple):
    """What differs between the four tasks: `initial_qpos` and arguments of gymnasium-robotics."""

    base: float
    """Where the base stands along x [m]."""
    height: float
    """How high above its lowest place the gripper starts [m]."""
    place: tuple[float, float, float] | None
    """Where the object lies in the model [m]; None without one."""
    scatter: float
    """The object starts within so much of the gripper in x and in y [m]."""
    blocked: bool
    """Whether the fingers are held shut."""


SETTINGS: dict[str, Setting] = {
    "reach": Setting(0.4049, 0.2, None, 0.0, True),
    "push": Setting(0.405, 0.0, (1.25, 0.53, 0.4), 0.15, True),
    "slide": Setting(0.05, -0.02, (1.7, 1.1, 0.41), 0.1, True),
    "pick_and_place": Setting(0.405, 0.2, (1.25, 0.53, 0.4), 0.15, False),
}


class Fetch(Robot):
    """Reaches for a point, or moves an object to one, which it is not told."""

    frame_skip = 20
    fields = (
        "qpos",
        "qvel",
        "ctrl",
        "mocap_pos",
        "mocap_quat",
        "xpos",
        "xquat",
        "site_xpos",
        "site_xmat",
        "cdof",
        "subtree_com",
    )
    camera = (1.9, 132.0, -14.0)
    lookat = (1.3, 0.75, 0.55)

    def __init__(self, task: Task) -> None:
        """Make the arm with the surroundings of one task.

        Raises:
            ModuleNotFoundError: when gymnasium-robotics is not installed.
        """
        self.task = task
        self.name = "Fetch" + task.title().replace("_", "")
        self.mjcf = _asset(f"{task}.xml")
        self._setting = SETTINGS[task]
        if task in ("push", "pick_and_place"):  # a cube of 5 cm, near the gripper all the time
            self.camera, self.lookat = (1.1, 118.0, -38.0), (1.36, 0.75, 0.42)
        self.tracks = ("x", "y", "z")
        if self._setting.place:
            self.tracks += ("object_x", "object_y", "object_z")
        model = self.load()
        self._qpos, self._qvel, self.grip = _ready(self.mjcf, self._setting)
        """`grip` is where the gripper starts, [3] in m."""
        self.table = (
            float(self._qpos[model.joint("object0:joint").qposadr[0] + 2])
            if (self._setting.place)
            else 0.0
        )
        """Height of the object as it lies on the table [m]."""
        self._grip = _Site(model, "robot0:grip")
        self._object = _Site(model, "object0") if self._setting.place else None
        self._finger_qpos = [model.joint(name).qposadr[0] for name in _FINGERS]
        self._finger_qvel = [model.joint(name).dofadr[0] for name in _FINGERS]
        self._driven_qpos = model.jnt_qposadr[model.actuator_trnid[:, 0]]
        weld = int(np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_WELD.value)[0])
        ends = int(model.eq_obj1id[weld]), int(model.eq_obj2id[weld])
        self._welded = next(body for body in ends if model.body_mocapid[body] < 0)
        self._dt = model.opt.timestep * self.frame_skip

    def load(self, edits: tuple[Edit, ...] = ()) -> mujoco.MjModel:
        """Return the compiled model, with the gripper welded right onto the mocap body."""
        return _welded(self.mjcf, edits)

    def control_range(self, model: mujoco.MjModel) -> tuple[Array, Array]:
        """Return -1 and 1 for x, y, z and the fingers."""
        return -np.ones(4), np.ones(4)

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Put the object near the gripper, in the order in which gymnasium-robotics draws."""
        qpos = self._qpos.copy()
        if self._object:
            place = self.grip[:2]
            while np.linalg.norm(place - self.grip[:2]) < _NEAREST_OBJECT:
                scatter = self._setting.scatter
                place = self.grip[:2] + generator.uniform(-scatter, scatter, 2)
            address = model.joint("object0:joint").qposadr[0]
            qpos[address : address + 2] = place
        return qpos, self._qvel.copy()

    def drive(self, fields: Fields, control: Array) -> None:
        """Move the mocap body from the gripper's place, and the fingers from where they are."""
        fields["mocap_pos"][:, 0] = fields["xpos"][:, self._welded] + _STRIDE * control[:, :3]
        # the sum of two quaternions, as in gymnasium-robotics; MuJoCo normalises it
        fields["mocap_quat"][:, 0] = fields["xquat"][:, self._welded] + _POINTING_DOWN
        fingers = np.zeros_like(control[:, 3:]) if self._setting.blocked else control[:, 3:]
        fields["ctrl"][:] = fields["qpos"][:, self._driven_qpos] + fingers

    def settle(self, fields: Fields, stepped: NDArray[np.bool_] | slice) -> bool:
        """Hold the fingers shut, where the task has it so."""
        if self._setting.blocked:
            for finger in self._finger_qpos:
                fields["qpos"][stepped, finger] = 0.0
        return self._setting.blocked

    def observe(self, fields: Fields) -> Array:
        """The `observation` of gymnasium-robotics: 10 numbers, or 25 with an object.

        Gripper (3), object (3) and object minus gripper (3), fingers (2), the object's Euler angles
        (3), velocity relative to the gripper (3) and angular velocity (3), the gripper's velocity
        (3) and the fingers' (2); velocities in m and rad per control step.
        """
        grip, (grip_velocity, _) = self._grip.position(fields), self._grip.velocity(fields)
        fingers = fields["qpos"][:, self._finger_qpos]
        finger_velocity = fields["qvel"][:, self._finger_qvel] * self._dt
        grip_velocity = grip_velocity * self._dt
        if not self._object:
            return np.concatenate([grip, fingers, grip_velocity, finger_velocity], axis=1)
        placed, (velocity, rotation) = self._object.position(fields), self._object.velocity(fields)
        parts = [
            grip,
            placed,
            placed - grip,
            fingers,
            self._object.angles(fields),
            velocity * self._dt - grip_velocity,
            rotation * self._dt,
            grip_velocity,
            finger_velocity,
        ]
        return np.concatenate(parts, axis=1)

    def position(self, fields: Fields) -> Array:
        """The gripper, and the object if there is one."""
        places = [self._grip.position(fields)]
        if self._object:
            places.append(self._object.position(fields))
        return np.concatenate(places, axis=1)

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always."""
        return always(fields)


class _Site:
    """Position, rotation and velocity of a site, as of the last physics step's kinematics."""

    def __init__(self, model: mujoco.MjModel, name: str) -> None:
        self._site = model.site(name).id
        body = int(model.site_bodyid[self._site])
        self._root = int(model.body_rootid[body])
        dofs: list[int] = []
        while body:
            start = int(model.body_dofadr[body])
            dofs += range(start, start + int(model.body_dofnum[body]))
            body = int(model.body_parentid[body])
        self._dofs = sorted(dof for dof in dofs if dof >= 0)

    def position(self, fields: Fields) -> Array:
        """Return where it is, [sim, 3] in m."""
        return fields["site_xpos"][:, self._site]

    def velocity(self, fields: Fields) -> tuple[Array, Array]:
        """Return linear [m/s] and angular [rad/s] velocity, [sim, 3]: mj_jacSite times qvel.

        `cdof` has for each degree of freedom the rotation w and the translation v that it gives to
        a point at `subtree_com` of the tree's root; a point at r from there moves by v + w x r.
        """
        motion = fields["cdof"][:, self._dofs]
        speed = fields["qvel"][:, self._dofs]
        arm = fields["site_xpos"][:, self._site] - fields["subtree_com"][:, self._root]
        angular = np.einsum("sd,sdi->si", speed, motion[..., :3])
        linear = np.einsum("sd,sdi->si", speed, motion[..., 3:]) + np.cross(angular, arm)
        return linear, angular

    def angles(self, fields: Fields) -> Array:
        """Return Euler angles as gymnasium-robotics' `mat2euler` does, [sim, 3] in rad.

        Where the second is +-pi/2, the first and third are not determined and the first is 0.
        """
        m = fields["site_xmat"][:, self._site].reshape(-1, 3, 3)
        cos = np.hypot(m[:, 2, 2], m[:, 1, 2])
        regular = cos > 4.0 * np.finfo(np.float64).eps
        first = np.where(regular, -np.arctan2(m[:, 1, 2], m[:, 2, 2]), 0.0)
        second = -np.arctan2(-m[:, 0, 2], cos)
        third = np.where(
            regular, -np.arctan2(m[:, 0, 1], m[:, 0, 0]), -np.arctan2(-m[:, 1, 0], m[:, 1, 1])
        )
        return np.stack([first, second, third], axis=1)


def available() -> bool:
    """Return whether gymnasium-robotics is installed."""
    return find_spec("gymnasium_robotics") is not None


def _asset(filename: str) -> Path:
    package = find_spec("gymnasium_robotics")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "the Fetch robot needs gymnasium-robotics: in a checkout of metarl, "
            "pip install -c constraints.txt '.[robots]'"
        )
    return Path(package.origin).parent / "envs" / "assets" / "fetch" / filename


@cache  # shared as `load_model`'s models are
def _welded(mjcf: Path, edits: tuple[Edit, ...]) -> mujoco.MjModel:
    model = copy.copy(load_model(mjcf, edits))
    # as `reset_mocap_welds` of gymnasium-robotics: no offset, no rotation between the two bodies
    welds = model.eq_type == mujoco.mjtEq.mjEQ_WELD.value
    model.eq_data[welds, :7] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    return model


@cache
def _ready(mjcf: Path, setting: Setting) -> tuple[Array, Array, Array]:
    """Drive the gripper to where it starts; return qpos, qvel and the gripper's position [3]."""
    model = _welded(mjcf, ())
    data = mujoco.MjData(model)
    base = {"robot0:slide0": setting.base, "robot0:slide1": 0.48, "robot0:slide2": 0.0}
    for name, value in base.items():
        data.joint(name).qpos[0] = value
    if setting.place:
        data.joint("object0:joint").qpos[:] = (*setting.place, 1.0, 0.0, 0.0, 0.0)
    mujoco.mj_forward(model, data)
    offset = np.array([*_LIFT[:2], _LIFT[2] + setting.height])
    data.mocap_pos[0] = offset + data.site("robot0:grip").xpos
    data.mocap_quat[0] = _POINTING_DOWN
    for _ in range(10):
        mujoco.mj_step(model, data, nstep=Fetch.frame_skip)
    return data.qpos.copy(), data.qvel.copy(), data.site("robot0:grip").xpos.copy()
