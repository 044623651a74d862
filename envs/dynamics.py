"""Dynamics: what varies in a robot's body and its surroundings.

Each variation draws task parameters and writes per-simulation model fields. Variations are applied
in the family's order to copies of the unchanged model's fields, so several may change one field,
and setting a task twice is the same as setting it once. What a variation needs of the model (a body
of some name, so many actuators) is checked when the family is made, before any physics runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from metarl.envs.actuators import disable, require_actuators, reverse, scale_forces
from metarl.envs.bodies import Bodies, require_no_meshes
from metarl.envs.distributions import Choice, Distribution, LogUniforms, Signs, Uniform
from metarl.envs.goal import Parameters
from metarl.envs.model import element_index, element_names
from metarl.envs.robot import Robot
from metarl.envs.robot_check import require_instance

Span = tuple[float, float]


@dataclass(frozen=True)
class Dynamics:
    """One thing that varies in a body."""

    name: str
    distributions: tuple[Distribution, ...]
    change: Callable[[Bodies, Parameters], None]
    """Change the fields, in place, to what the tasks ask for."""
    edit: Callable[[mujoco.MjSpec], None] | None = None
    """Change the model before it is compiled, for what no field of the compiled one can say."""


def body_mass(low: float, high: float, extrapolate: Span | None = None) -> Dynamics:
    """Scale the mass of every body, and its inertia with it, by `mass_scale` (log-uniform)."""

    def change(bodies: Bodies, task: Parameters) -> None:
        bodies["body_mass"] *= task["mass_scale"][:, None]
        bodies["body_inertia"] *= task["mass_scale"][:, None, None]

    return _scaled("body mass", "mass_scale", low, high, extrapolate, change)


def inertia(low: float, high: float, extrapolate: Span | None = None) -> Dynamics:
    """Scale the rotational inertia of every body by `inertia_scale`, its mass unchanged.

    Inertias that no shape of that mass could have are possible, as in published variants.
    """

    def change(bodies: Bodies, task: Parameters) -> None:
        bodies["body_inertia"] *= task["inertia_scale"][:, None, None]

    return _scaled("inertia", "inertia_scale", low, high, extrapolate, change)


def friction(low: float, high: float, extrapolate: Span | None = None) -> Dynamics:
    """Scale the friction of every geom by `friction_scale`; contacts take the larger of two.

    Pairs of geoms that the MJCF gives a friction of their own (`<pair>`) keep it.
    """

    def change(bodies: Bodies, task: Parameters) -> None:
        bodies["geom_friction"] *= task["friction_scale"][:, None, None]

    return _scaled("friction", "friction_scale", low, high, extrapolate, change)


def joint_damping(low: float, high: float, extrapolate: Span | None = None) -> Dynamics:
    """Scale the damping of every joint by `damping_scale`, of a polynomial all coefficients."""

    def change(bodies: Bodies, task: Parameters) -> None:
        scale, model = task["damping_scale"][:, None], bodies.model
        if not (model.dof_damping.any() or model.dof_dampingpoly.any()):
            raise ValueError(
                "no joint of the robot has damping to scale: give joints a damping in the MJCF, or "
                "leave joint_damping out"
            )
        bodies["dof_damping"] *= scale
        if model.dof_dampingpoly.any():
            bodies["dof_dampingpoly"] *= scale[..., None]

    return _scaled("joint damping", "damping_scale", low, high, extrapolate, change)


def motor_strength(low: float, high: float, extrapolate: Span | None = None) -> Dynamics:
    """Scale the force of every actuator by `strength_scale`.

    Of a servo too, and with it the limits of forces: it pulls weaker or stronger, towards the same
    setpoint. See `scale_forces`.
    """

    def change(bodies: Bodies, task: Parameters) -> None:
        scale_forces(bodies, task["strength_scale"])

    return _scaled("motor strength", "strength_scale", low, high, extrapolate, change)


def gravity(low: float, high: float, extrapolate: Span | None = None) -> Dynamics:
    """Scale gravity by `gravity_scale`."""

    def change(bodies: Bodies, task: Parameters) -> None:
        bodies["opt.gravity"] *= task["gravity_scale"][:, None]

    return _scaled("gravity", "gravity_scale", low, high, extrapolate, change)


def ground_slope(steepest: float, extrapolate: Span | None = None) -> Dynamics:
    """Let the ground rise along +x by an angle `slope`, uniform up to `steepest` either way.

    Gravity is turned about the y axis instead of the ground. On an infinite plane that is the same
    motion, seen in the plane's frame; x is then measured along the slope.

    Args:
        steepest: the largest angle, up or down [rad].
        extrapolate: angles for tasks outside the training range [rad].
    """
    _require("the steepest slope", 0.0 < steepest < np.pi / 2.0, "between 0 and pi / 2", steepest)

    def change(bodies: Bodies, task: Parameters) -> None:
        field = bodies["opt.gravity"]
        cos, sin = np.cos(task["slope"]), np.sin(task["slope"])
        x, z = field[:, 0].copy(), field[:, 2].copy()
        field[:, 0], field[:, 2] = cos * x + sin * z, cos * z - sin * x

    slope = Uniform("slope", -steepest, steepest, "rad", extrapolate)
    return Dynamics("ground slope", (slope,), change)


def payload(heaviest: float, *, body: str = "torso", extrapolate: Span | None = None) -> Dynamics:
    """Load a body with a point mass `payload` [kg] at its centre of mass, uniform from 0.

    Args:
        heaviest: the largest load [kg].
        body: the body's name in the MJCF.
        extrapolate: loads for tasks outside the training range [kg].
    """
    _require("the heaviest payload", heaviest > 0.0, "positive", heaviest)

    def change(bodies: Bodies, task: Parameters) -> None:
        bodies["body_mass"][:, element_index(bodies.model, "body", body)] += task["payload"]

    return Dynamics("payload", (Uniform("payload", 0.0, heaviest, "kg", extrapolate),), change)


def dead_actuator(train: Sequence[int], extrapolate: Sequence[int] = ()) -> Dynamics:
    """Let one actuator give no force at all, of any kind (Clavera et al. 2019).

    Args:
        train: the indices of actuators that fail in training; -1 for none failing.
        extrapolate: those that fail outside it only.
    """
    for actuator in (*train, *extrapolate):
        _require("a dead actuator", actuator >= -1, "an index, or -1 for none", actuator)

    def change(bodies: Bodies, task: Parameters) -> None:
        require_actuators(bodies.model, (*train, *extrapolate), "be dead")
        dead = np.asarray(task["dead_actuator"], dtype=int)
        failing = np.flatnonzero(dead >= 0)
        disable(bodies, failing, dead[failing])

    return Dynamics("a dead actuator", (_indices("dead_actuator", train, extrapolate),), change)


def reversed_actuators(
    names: Sequence[str], extrapolate: Sequence[Sequence[float]] = ()
) -> Dynamics:
    """Let each of some actuators do the opposite of what is asked of it, or not.

    Their signs `NAME_sign`, 1 or -1, are drawn apart. One policy cannot suit all tasks: what drives
    one robot forward drives another back.

    Args:
        names: of the actuators in the model.
        extrapolate: combinations of signs that are never in training, in the order of `names`.
    """

    def change(bodies: Bodies, task: Parameters) -> None:
        indices = [element_index(bodies.model, "actuator", name) for name in names]
        signs = np.stack([task[f"{name}_sign"] for name in names], axis=1)
        reverse(bodies, signs, indices)

    parameters = tuple(f"{name}_sign" for name in names)
    signs = Signs(parameters, tuple(tuple(map(float, each)) for each in extrapolate))
    return Dynamics("reversed actuators", (signs,), change)


def crippled_leg(
    robot: Robot, train: Sequence[int], extrapolate: Sequence[int] = (), *, size: float = 0.5
) -> Dynamics:
    """Let one leg give no force and shrink to half its size, after Clavera et al. (2019).

    The leg's geoms halve in size and in distance from their joints, and masses stay. Meshes cannot
    shrink: a leg with some is refused, unless `size` is 1.

    Args:
        robot: has `legs`.
        train: the indices of legs that are crippled in training; -1 for none.
        extrapolate: those that are crippled outside it only.
        size: what the geoms are scaled by; 1 for a leg that is limp, but whole.
    """
    require_instance(robot)
    _require("the size of a crippled leg", size > 0.0, "positive", size)
    for leg in (*train, *extrapolate):
        _require(
            "a leg",
            -1 <= leg < len(robot.legs),
            f"-1 to {len(robot.legs) - 1} for {robot.name}",
            leg,
        )

    drawn = {*train, *extrapolate}

    def change(bodies: Bodies, task: Parameters) -> None:
        chosen = np.asarray(task["crippled_leg"], dtype=int)
        for index, leg in enumerate(robot.legs):
            # of all legs, drawn or not: what the model lacks is found when the family is made
            geoms = [element_index(bodies.model, "geom", name) for name in leg.geoms]
            if size != 1.0 and index in drawn:
                require_no_meshes(bodies.model, geoms, leg.name)
            require_actuators(bodies.model, leg.actuators, f"move the leg {leg.name!r}")
            lame = np.flatnonzero(chosen == index)
            if not len(lame):
                continue
            disable(bodies, lame[:, None], leg.actuators)
            if size == 1.0:
                continue
            # the bounds rbound and aabb follow from the size: they differ between simulations too
            for field in ("geom_size", "geom_pos", "geom_rbound", "geom_aabb"):
                bodies[field][lame[:, None], geoms] *= size

    return Dynamics("a crippled leg", (_indices("crippled_leg", train, extrapolate),), change)


def wind(strongest: float, extrapolate: Span | None = None, density: float = 1.2) -> Dynamics:
    """Let wind blow along x at a speed `wind`, uniform up to `strongest` either way.

    Args:
        strongest: the fastest wind [m/s].
        extrapolate: speeds for tasks outside the training range [m/s].
        density: of the medium, which also resists motion where the model has none [kg/m^3].
    """
    _require("the strongest wind", strongest > 0.0, "positive", strongest)
    _require("the density", density > 0.0, "positive", density)

    def change(bodies: Bodies, task: Parameters) -> None:
        bodies["opt.wind"][:, 0] += task["wind"]
        still = bodies["opt.density"] == 0.0
        bodies["opt.density"][still] = density

    return Dynamics("wind", (Uniform("wind", -strongest, strongest, "m/s", extrapolate),), change)


def action_delay(longest: int, frame_skip: int, extrapolate: Sequence[int] = ()) -> Dynamics:
    """Let actions arrive `delay` control steps late, uniform among 0 to `longest`.

    Delays of the model's own actuators are added to.

    Args:
        longest: the longest delay [control steps].
        frame_skip: physics steps per control step, as the robot has.
        extrapolate: delays outside the training range [control steps].
    """
    _require("the longest delay", longest >= 1, "at least 1 control step", longest)
    # MuJoCo keeps the last `nsample` controls, one a physics step, and the size is compiled in; as
    # many as the longest delay has steps suffice, 2 more are a margin
    samples = max((longest, *extrapolate)) * frame_skip + 2

    def edit(spec: mujoco.MjSpec) -> None:
        for actuator in spec.actuators:
            actuator.nsample += samples

    def change(bodies: Bodies, task: Parameters) -> None:
        if (bodies.model.actuator_history[:, 0] < samples).any():
            raise ValueError(
                "actions cannot be delayed: the robot's load(edits) must apply the edits to the "
                "MjSpec before it compiles it: for edit in edits: edit(spec)"
            )
        steps = task["delay"] * frame_skip * bodies.model.opt.timestep
        bodies["actuator_delay"] += steps[:, None]

    delays = _indices("delay", range(longest + 1), extrapolate)
    return Dynamics("action delay", (delays,), change, edit)


def rand_params(robot: Robot) -> Dynamics:
    """Scale every body's mass and inertia, every geom's friction and every joint's damping apart.

    The variation of rand_param_envs (used by Rothfuss et al. 2018 and Rakelly et al. 2019): mass,
    inertia and friction times `1.5 ** u`, damping times `1.3 ** u`, with `u` uniform in -3 to 3 for
    every element that is not zero.
    """
    require_instance(robot)
    model = robot.load()
    groups = {
        "body_mass": ("mass", element_names(model, "body"), 1.5),
        "body_inertia": ("inertia", element_names(model, "body"), 1.5),
        "geom_friction": ("friction", element_names(model, "geom"), 1.5),
        "dof_damping": ("damping", [f"dof{dof}" for dof in range(model.nv)], 1.3),
    }
    sizes = {field: np.asarray(getattr(model, field)).size for field in groups}
    distributions, elements = [], {}
    for field, (word, names, base) in groups.items():
        values = np.asarray(getattr(model, field)).reshape(len(names), -1)
        axes = [""] if values.shape[1] == 1 else [f"_{axis}" for axis in range(values.shape[1])]
        labels = np.array([[f"{word}_{name}{axis}" for axis in axes] for name in names])
        varied = tuple(labels[values != 0.0].tolist())
        if not varied:
            continue  # such as a model without damping
        distributions.append(LogUniforms(word, varied, base**-3, base**3))
        elements[field] = (np.flatnonzero(values != 0.0), varied)

    def change(bodies: Bodies, task: Parameters) -> None:
        for field, (where, varied) in elements.items():
            if bodies[field][0].size != sizes[field]:
                raise ValueError(
                    f"rand_params was made for another model than the family's: {field} has "
                    f"{sizes[field]} values there and {bodies[field][0].size} here; make it of the "
                    f"family's robot"
                )
            flat = bodies[field].reshape(bodies.count, -1)  # a view: fields are contiguous
            flat[:, where] *= np.stack([task[name] for name in varied], axis=1)

    return Dynamics("mass, inertia, friction, damping", tuple(distributions), change)


def _scaled(
    name: str,
    parameter: str,
    low: float,
    high: float,
    extrapolate: Span | None,
    change: Callable[[Bodies, Parameters], None],
) -> Dynamics:
    for bound in (low, high, *(extrapolate or ())):
        _require(f"the scale of {name}", bound > 0.0, "positive", bound)
    scale = Uniform(parameter, low, high, "x", extrapolate, log=True)
    return Dynamics(name, (scale,), change)


def _indices(name: str, train: Sequence[int], extrapolate: Sequence[int]) -> Choice:
    return Choice(name, tuple(map(float, train)), tuple(map(float, extrapolate)))


def _require(what: str, good: bool, expected: str, got: float) -> None:
    if not good:
        raise ValueError(f"{what} must be {expected}, got {got:g}")
