"""Dynamics: what varies in a robot's body, written into per-simulation model fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco
from numpy.typing import NDArray

from envs.distributions import Distribution, Uniform
from envs.goals import Parameters


@dataclass(frozen=True)
class Dynamics:
    """One thing that varies in a body."""

    name: str
    distributions: tuple[Distribution, ...]
    write: Callable[[mujoco.MjModel, Parameters], Mapping[str, NDArray]]
    """Return the model fields that change, [sim, ...] each, as absolute values computed from the
    unchanged base model: writing twice is the same as writing once."""


def body_mass(low: float, high: float, extrapolate: tuple[float, float] | None = None) -> Dynamics:
    """Scale the mass of every body, and its inertia with it, by `mass_scale` (log-uniform)."""

    def write(model: mujoco.MjModel, task: Parameters) -> Mapping[str, NDArray]:
        scale = task["mass_scale"]
        return {
            "body_mass": scale[:, None] * model.body_mass,
            "body_inertia": scale[:, None, None] * model.body_inertia,
        }

    return Dynamics(
        "body mass", (Uniform("mass_scale", low, high, "x", extrapolate, log=True),), write
    )
