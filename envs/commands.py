"""Commands to legged robots: go forward, sideways and turn at a rate, however the body may be.

The reward is a sum of named terms, as legged_gym (Rudin et al. 2022) and MuJoCo Playground
(Zakka et al. 2025) have it: how well the command is followed, less what makes a gait harsh.
"""

from collections.abc import Mapping

import numpy as np

from metarl.envs.distributions import Array, Distribution, Uniform
from metarl.envs.goal import Goal, Marker, Parameters, Step, Term

Span = tuple[float, float]
_AXES = ("forward", "sideways", "turn")
_TRACKS = ("x", "y", "yaw")
_WANTED_FLIGHT = 0.1
"""How long a foot should be in the air in each of its steps [s]."""


def velocity_error(step: Step, task: Parameters) -> Array:
    """Return by how much the velocity misses the command, [sim] in m/s."""
    forward, sideways, _ = moved(step)
    wanted = (task.get(axis, 0.0) for axis in _AXES[:2])
    return np.hypot(*(is_ - due for is_, due in zip((forward, sideways), wanted, strict=True)))


def turn_error(step: Step, task: Parameters) -> Array:
    """Return by how much the rate of turning misses the command, [sim] in rad/s."""
    return np.abs(moved(step)[2] - task.get("turn", 0.0))


def moved(step: Step) -> tuple[Array, Array, Array]:
    """Return mean velocity forward and to the left [m/s] and rate of turning [rad/s], [sim] each.

    Forward is where the robot looked when the step began.
    """
    (x, y), yaw = step.velocity[:, :2].T, step.before[:, 2]
    turned = step.after[:, 2] - yaw
    turned = (turned + np.pi) % (2.0 * np.pi) - np.pi  # yaw is in -pi to pi: undo its jump
    cos, sin = np.cos(yaw), np.sin(yaw)
    return cos * x + sin * y, cos * y - sin * x, turned / step.duration


def _square(name: str, first: int = 0, last: int | None = None) -> Term:
    """Return a term of weight 1: the sum of a quantity's squares, or of some of its columns."""
    return Term(
        name,
        1.0,
        lambda step, _: np.square(step.seen[name][:, first:last]).sum(axis=1),
        (name,),
    )


TERMS: dict[str, Term] = {
    "velocity": Term("velocity", 1.0, lambda step, task: -velocity_error(step, task)),
    "turn": Term("turn", 1.0, lambda step, task: -turn_error(step, task)),
    "bounce": _square("base_velocity", 2)._replace(name="bounce"),
    "wobble": _square("base_rotation", 0, 2)._replace(name="wobble"),
    "tilt": _square("up", 0, 2)._replace(name="tilt"),
    "torque": _square("torque"),
    "jerk": Term(
        "jerk",
        1.0,
        lambda step, _: np.square(step.seen["action"] - step.seen["last_action"]).sum(axis=1),
        ("action", "last_action"),
    ),
    "flight": Term(
        "flight",
        1.0,
        lambda step, _: ((step.seen["air_time"] - _WANTED_FLIGHT) * step.seen["landed"]).sum(
            axis=1
        ),
        ("air_time", "landed"),
    ),
}
"""What a reward for a command can be made of: minus the errors of velocity [m/s] and of turning
[rad/s]; squares of the vertical velocity, of rolling and pitching, of the tilt, of torques and of
the change of the action; and the time that feet were in the air beyond 0.1 s when they land."""

WEIGHTS: Mapping[str, float] = {
    "velocity": 1.5,
    "turn": 0.2,
    "bounce": -0.2,
    "wobble": -0.005,
    "tilt": -0.5,
    "torque": -2e-5,
    "jerk": -0.005,
    "flight": 1.0,
}
"""Default weights of the terms; tuned on Go1."""


def velocity_command(
    forward: float | Span = 0.5,
    sideways: float | Span = 0.0,
    turn: float | Span = 0.0,
    *,
    extrapolate: Span | None = None,
    weights: Mapping[str, float] = WEIGHTS,
) -> Goal:
    """Follow a velocity command; each component given as a range is a hidden task parameter.

    Args:
        forward: speed ahead, one or a range [m/s].
        sideways: speed to the left, one or a range [m/s].
        turn: rate of turning to the left, one or a range [rad/s].
        extrapolate: the range of `forward` for tasks outside the training range [m/s].
        weights: of `TERMS`, by name; what is left out counts nothing.

    Raises:
        ValueError: for an unknown term, what is neither a number nor a range, or `extrapolate`
            where `forward` is one number.
    """
    asked = {
        axis: tuple(np.asarray(value, np.float64).tolist()) if np.ndim(value) else value
        for axis, value in zip(_AXES, (forward, sideways, turn), strict=True)
    }
    for axis, value in asked.items():
        if isinstance(value, tuple) and len(value) != 2:
            raise ValueError(f"{axis} must be a number or a range from low to high, got {value}")
    if extrapolate is not None and not isinstance(asked["forward"], tuple):
        raise ValueError(f"extrapolate requires a range of forward, got {forward}")
    for name in weights:
        if name not in TERMS:
            raise ValueError(f"there is no term {name!r}; there are {', '.join(TERMS)}")
    fixed = {axis: value for axis, value in asked.items() if not isinstance(value, tuple)}
    varied: tuple[Distribution, ...] = tuple(
        Uniform(
            axis,
            value[0],
            value[1],
            "rad/s" if axis == "turn" else "m/s",
            extrapolate if axis == "forward" else None,
        )
        for axis, value in asked.items()
        if isinstance(value, tuple)
    )

    def of_command(term: Term) -> Term:
        def value(step: Step, task: Parameters) -> Array:
            constant = {axis: np.full(len(step.after), v) for axis, v in fixed.items()}
            return term.value(step, {**constant, **task})

        return term._replace(value=value, weight=weights[term.name])

    def marker(task: Mapping[str, float], time: float) -> Marker:
        ahead, left, rate = ({**fixed, **task}[axis] for axis in _AXES)
        cos, sin = np.cos(rate * time), np.sin(rate * time)
        x, y = float(cos * ahead - sin * left), float(sin * ahead + cos * left)
        if not rate and not left:
            return Marker("line", ahead * time)
        return Marker("arrow", x, y)

    return Goal.of_terms(
        "follow a command of velocity",
        varied,
        [of_command(TERMS[name]) for name in weights],
        tracks=_TRACKS,
        marker=marker,
    )
