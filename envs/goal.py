"""`Goal`: what a task asks for, as a reward over many simulations at once.

A goal is a distribution of its parameters and a pure function
`(step, parameters) -> reward [sim]`, which reads the robot's tracks and the named quantities that
the goal asks for, and nothing else of the simulation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metarl.envs.distributions import Array, Distribution

Parameters = Mapping[str, Array]
"""Task parameters by name, each [sim]."""


class Step(NamedTuple):
    """What happened in one control step; every array has a leading simulation axis."""

    before: Array
    """Where the goal's tracks were before the step, [sim, track] in m and rad."""
    after: Array
    """Where they are after it, [sim, track] in m and rad."""
    duration: float
    """Length of the step [s]."""
    seen: Mapping[str, NDArray] = MappingProxyType({})
    """The quantities that the goal `sees`, by name, as of the end of the step; see
    `metarl.envs.quantities`."""

    @property
    def velocity(self) -> Array:
        """Mean velocity over the step, [sim, track] in m/s and rad/s."""
        return (self.after - self.before) / self.duration


class Marker(NamedTuple):
    """How a goal is drawn in a film."""

    kind: Literal["point", "arrow", "line"]
    """A point to reach; an arrow above the robot; a line across x that the robot should be at."""
    x: float = 0.0
    """Where [m]; of an arrow, the x component of its direction."""
    y: float = 0.0
    """Where [m]; of an arrow, the y component of its direction."""
    z: float = 0.0
    """Where [m]."""


class Term(NamedTuple):
    """One part of a reward that is a weighted sum."""

    name: str
    weight: float
    value: Callable[[Step, Parameters], Array]
    """[sim]; what the weight is multiplied with."""
    sees: tuple[str, ...] = ()
    """The quantities that it reads from `Step.seen`."""


def never(step: Step, parameters: Parameters) -> NDArray[np.bool_]:
    """Return False for each simulation: no goal ends its episode, [sim]."""
    return np.zeros(len(step.after), dtype=bool)


def target_place(parameters: Parameters) -> Array:
    """Return x and y of a goal that is a place, [sim, 2] in m."""
    return np.stack([parameters["x"], parameters["y"]], axis=1)


def times(weight: float) -> str:
    """Return a weight as the first factor of a formula."""
    return "" if weight == 1.0 else f"{weight:g} "


@dataclass(frozen=True)
class Goal:
    """What is asked of a robot."""

    name: str
    distributions: tuple[Distribution, ...]
    reward: Callable[[Step, Parameters], Array]
    """The reward of a step, [sim]."""
    reached: Callable[[Step, Parameters], NDArray[np.bool_]] = never
    """Whether the task is done and the episode ends, [sim]."""
    succeeds: Callable[[Step, Parameters], NDArray[np.bool_]] | None = None
    """Whether a step leaves the robot where it is wanted, [sim]; None where the goal's source has
    no criterion of success."""
    tracks: tuple[str, ...] = ("x",)
    """Which of the robot's tracks a `Step` has, in this order."""
    target: Callable[[Parameters], Array] | None = None
    """Where the target is, [sim, 2] in m, for robots whose model shows it."""
    marker: Callable[[Mapping[str, float], float], Marker] | None = None
    """How one task's goal is drawn, so many seconds into the episode."""
    sees: tuple[str, ...] = ()
    """The quantities besides tracks that a `Step` has; they are computed where a goal asks only."""
    terms: tuple[Term, ...] = ()
    """The parts that the reward is the sum of, where it is one; they are reported apart."""
    formula: str = ""
    """The reward of a step for people to read, such as `-|v_x - velocity|`; SI units."""

    @classmethod
    def of_terms(
        cls,
        name: str,
        distributions: tuple[Distribution, ...],
        terms: Sequence[Term],
        **others: Any,  # noqa: ANN401, the fields of a goal
    ) -> "Goal":
        """Return a goal whose reward is the sum of weighted terms.

        Args:
            name: shown to people.
            distributions: of the task parameters.
            terms: with a name each, all different.
            others: further fields of a `Goal`, such as `tracks`.

        Raises:
            ValueError: for no terms, or two of one name.
        """
        names = [term.name for term in terms]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a reward needs terms with a name of their own each, got {names}")
        sees = tuple(dict.fromkeys(quantity for term in terms for quantity in term.sees))

        def reward(step: Step, task: Parameters) -> Array:
            return _total(_parts(terms, step, task))

        signed = [("-" if t.weight < 0 else "+", abs(t.weight), t.name) for t in terms]
        formula = " ".join(f"{sign} {weight:g} {name}" for sign, weight, name in signed)
        formula = formula.removeprefix("+ ")
        others = {"formula": formula, **others}
        return cls(name, distributions, reward, sees=sees, terms=tuple(terms), **others)

    def parts(self, step: Step, parameters: Parameters) -> dict[str, Array]:
        """Return the weighted terms of a step's reward by name, [sim] each; {} without terms."""
        return _parts(self.terms, step, parameters)

    def rewarded(self, step: Step, parameters: Parameters) -> tuple[Array, dict[str, Array]]:
        """Return the reward of a step, [sim], and its `parts`; each term is computed once."""
        parts = self.parts(step, parameters)
        return (_total(parts) if parts else self.reward(step, parameters)), parts

    def ends(self, step: Step, parameters: Parameters) -> NDArray[np.bool_]:
        """Return `reached` of a step, [sim]; ValueError for another shape or kind."""
        return self._checked("reached", self.reached(step, parameters), step)

    def succeeded(self, step: Step, parameters: Parameters) -> NDArray[np.bool_]:
        """Return `succeeds` of a step, [sim], False without it; ValueError as for `ends`."""
        criterion = self.succeeds or never
        return self._checked("succeeds", criterion(step, parameters), step)

    def _checked(self, name: str, flags: NDArray[np.bool_], step: Step) -> NDArray[np.bool_]:
        count = len(step.after)
        if np.shape(flags) not in ((), (count,)) or np.asarray(flags).dtype != bool:
            raise ValueError(
                f"{name} of the goal {self.name!r} must be [{count}] booleans, one of each "
                f"simulation, got {list(np.shape(flags))} of {np.asarray(flags).dtype}"
            )
        return flags


def _parts(terms: Sequence[Term], step: Step, parameters: Parameters) -> dict[str, Array]:
    count = len(step.after)
    parts = {}
    for term in terms:
        value = np.asarray(term.value(step, parameters))
        if value.shape not in ((), (count,)):
            raise ValueError(
                f"the term {term.name!r} must be [{count}], one of each simulation, "
                f"got {list(value.shape)}"
            )
        parts[term.name] = term.weight * np.broadcast_to(value, count)
    return parts


def _total(parts: Mapping[str, Array]) -> Array:
    return np.sum(list(parts.values()), axis=0)
