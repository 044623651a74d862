"""`ServoRobot`: any robot of an MJCF file, standing as a keyframe says and driven by its servos.

    robot = envs.ServoRobot("scene.xml", base="trunk")

What is not said is read off the model: a base that floats makes it a robot that walks, observed by
its base and its joints; without, it is an arm, observed by its joints and its tip.
"""

import dataclasses
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from metarl.envs.actuators import JOINT_TRANSMISSIONS
from metarl.envs.model import Edit, element_index, element_names, load_model
from metarl.envs.nearest import nearest
from metarl.envs.quantities import UP, to_body
from metarl.envs.robot import Array, Fields, Robot, always, yaw
from metarl.envs.robots.anatomy import anatomy
from metarl.envs.servos import Physics, Servos, edit, gears, home, position_servos

_JOINT_NOISE = 0.05
"""At a start, joints differ by up to this from the keyframe [rad, m]."""
_TILT = 0.5
"""A base has fallen when its vertical axis rises by less than this: 60 degrees."""
_SUNK = 0.5
"""Or when it is lower than this part of the height at which it stands."""
_SLOW = 0.1
"""What joint velocities are multiplied by in an observation, to be of the size of angles."""


class ServoRobot(Robot):
    """Stands as a keyframe says; an action moves its servos from there."""

    def __init__(
        self,
        mjcf: Path | str,
        *,
        name: str | None = None,
        base: str | None = None,
        feet: tuple[str, ...] | None = None,
        tip: str | None = None,
        servos: Servos = Servos(),  # noqa: B008, they never change
        physics: Physics = Physics(),  # noqa: B008
    ) -> None:
        """Read the robot off its model; a scene with a floor, for a robot that walks.

        Args:
            mjcf: the file.
            name: shown to people; by default the model's.
            base: the body that carries everything; by default the one that `root_body` finds.
            feet: bodies that walk on the ground; by default the lowest of each limb.
            tip: of an arm, the site or body that reaches; by default the last of the driven chain.
            servos: how actions become controls.
            physics: what is changed of the model for speed.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: for a body, keyframe or actuator that the model does not have, or a control
                step that is no whole number of physics steps.
        """
        self.mjcf = Path(mjcf)
        self._servos, self._physics = servos, physics
        self.root = base
        # which bodies are feet is not known yet, and what collides changes none of the parts
        colliding = dataclasses.replace(physics, collide="all")
        plain = load_model(self.mjcf, (edit(colliding, servos.gains, 0, ()),))
        stands = home(plain, servos)
        parts = anatomy(plain, self.root_body(plain), stands.qpos)
        self._base = parts.base
        self.root = self.base = element_names(plain, "body")[parts.base]
        """The name of the body that carries everything."""
        self.feet = parts.feet if feet is None else tuple(feet)
        for foot in self.feet:
            element_index(plain, "body", foot)
        self.legs = parts.legs
        self.name = name or _model_name(plain, self.mjcf)
        self.frame_skip = _frame_skip(self.name, plain.opt.timestep, servos.rate)
        self.walks = parts.floats
        """Whether its base floats."""
        self._home = stands
        joints = np.array(parts.joints, int)
        self._qpos, self._qvel = plain.jnt_qposadr[joints], plain.jnt_dofadr[joints]
        free = plain.body_jntadr[parts.base]
        self._free = (plain.jnt_qposadr[free], plain.jnt_dofadr[free]) if self.walks else (0, 0)
        self.tip = _place(plain, tip, parts.tip)
        """The MjData field and the row in it that tell where the end of the driven chain is."""
        self.tracks = ("x", "y", "z", "yaw") if self.walks else ("x", "y", "z")
        self.fields = (
            ("qpos", "qvel", "ctrl") if self.walks else ("qpos", "qvel", "ctrl", self.tip[0])
        )
        extent = float(plain.stat.extent)
        self.camera = (2.6 * extent, 130.0, -20.0) if self.walks else (1.6 * extent, 130.0, -20.0)
        if not self.walks:
            x, y, z = map(float, plain.stat.center)
            self.lookat = (x, y, z)

    def describe(self) -> dict[str, Any]:
        """Return what decides what an action does: servos, physics, feet and tip."""
        gains = self._servos.gains
        return {
            "servos": {
                "keyframe": self._servos.keyframe,
                "stride": self._home.stride.tolist(),
                "gains": list(gains) if gains else None,
            },
            "physics": dataclasses.asdict(self._physics),
            "feet": list(self.feet),
            "tip": [self.tip[0], int(self.tip[1])],
        }

    @property
    def home_qpos(self) -> Array:
        """How it stands, [nq]."""
        return self._home.qpos.copy()

    def driven(self, model: mujoco.MjModel) -> list[tuple[str, int | None]]:
        """Return each action's actuator and the joint it turns; None for one that turns none."""
        found = []
        actuators = np.repeat(np.arange(model.nactuator), model.actuator_ctrlnum)
        for actuator in map(int, actuators[self._home.driven]):
            on_joint = model.actuator_trntype[actuator] in JOINT_TRANSMISSIONS
            joint = int(model.actuator_trnid[actuator, 0]) if on_joint else None
            found.append((model.actuator(actuator).name, joint))
        return found

    def reach(self, model: mujoco.MjModel) -> Array:
        """Return how far a stride moves each action's joint, without the gear of its servo."""
        gear = np.where(position_servos(model), gears(model), 1.0)
        return self._home.stride / gear[self._home.driven]

    def load(self, edits: tuple[Edit, ...] = ()) -> mujoco.MjModel:
        """Return the compiled model, with the servos and the physics that were asked for."""
        own = edit(self._physics, self._servos.gains, self._base, self.feet)
        return load_model(self.mjcf, (own, *edits))

    def rest(self, model: mujoco.MjModel) -> dict[str, Array]:
        """Controls, activations and mocap bodies as in the keyframe."""
        return self._home.rest

    def control_range(self, model: mujoco.MjModel) -> tuple[Array, Array]:
        """A stride to each side; controls are offsets, so that an action of 0 is the keyframe."""
        return -self._home.stride, self._home.stride

    def drive(self, fields: Fields, control: Array) -> None:
        """Set the driven controls; MuJoCo cuts them off at the actuators' range."""
        fields["ctrl"][:] = self._home.rest["ctrl"]
        fields["ctrl"][:, self._home.driven] += control

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """The keyframe, its joints disturbed by up to 0.05 rad, at rest."""
        qpos = self._home.qpos.copy()
        moved = generator.uniform(-_JOINT_NOISE, _JOINT_NOISE, len(self._qpos))
        qpos[self._qpos] += moved
        return qpos, np.zeros(model.nv)

    def observe(self, fields: Fields) -> Array:
        """Of a robot that walks: its base's velocity, rotation and vertical (3 each), in its frame.

        Of an arm: its tip (3). Then the joints from where they stand, a tenth of their velocities,
        and by how much the servos were last asked to move.
        """
        qpos, qvel, driven = fields["qpos"], fields["qvel"], self._home.driven
        if self.walks:
            at, rate = self._free
            turned = qpos[:, at + 3 : at + 7]
            parts = [to_body(turned, qvel[:, rate : rate + 3]), qvel[:, rate + 3 : rate + 6]]
            parts.append(to_body(turned, UP))
        else:
            parts = [self.position(fields)]
        parts += [
            qpos[:, self._qpos] - self._home.qpos[self._qpos],
            _SLOW * qvel[:, self._qvel],
            fields["ctrl"][:, driven] - self._home.rest["ctrl"][driven],
        ]
        return np.concatenate(parts, axis=1)

    def position(self, fields: Fields) -> Array:
        """X, y, z and yaw of the base, or x, y and z of an arm's tip."""
        if not self.walks:
            field, index = self.tip
            return fields[field][:, index]
        at = self._free[0]
        qpos = fields["qpos"]
        return np.column_stack([qpos[:, at : at + 3], yaw(qpos[:, at + 3 : at + 7])])

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Whether the base is neither tilted by 60 degrees nor down at half its height."""
        if not self.walks:
            return always(fields)
        at = self._free[0]
        qpos = fields["qpos"]
        upright = to_body(qpos[:, at + 3 : at + 7], UP)[:, 2] > _TILT
        finite = np.isfinite(qpos).all(axis=1) & np.isfinite(fields["qvel"]).all(axis=1)
        return finite & upright & (qpos[:, at + 2] > _SUNK * self._home.qpos[at + 2])


def _frame_skip(name: str, timestep: float, rate: float) -> int:
    steps = 1.0 / (rate * timestep)
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * steps:
        raise ValueError(
            f"{name}: a rate of {rate:g} actions a second is no whole number of physics steps of "
            f"{timestep:g} s; choose Servos(rate=...) or Physics(timestep=...) so that it is"
        )
    return round(steps)


def _model_name(model: mujoco.MjModel, path: Path) -> str:
    """Return the name that the MJCF gives its model, or the file's."""
    named = model.names[: model.names.index(b"\0")].decode()
    named = named.removesuffix(" scene")
    return named if named and named != "MuJoCo Model" else path.stem


def _place(model: mujoco.MjModel, name: str | None, body: int) -> tuple[str, int]:
    """Return the field and the row that tell where an arm's tip is."""
    if name is None:
        return "xpos", body
    sites = [model.site(number).name for number in range(model.nsite)]
    if name in sites:
        return "site_xpos", sites.index(name)
    bodies = element_names(model, "body")
    if name not in bodies:
        named = [each for each in (*sites, *bodies) if each]
        raise ValueError(f"the model has no site or body {name!r}{nearest(name, named)}")
    return "xpos", bodies.index(name)
