"""Simulations of any family, ours or not."""

from metarl.envs.family import TaskFamily
from metarl.envs.foreign import ForeignFamily, ForeignSimulator
from metarl.envs.simulator import Simulator

Family = TaskFamily | ForeignFamily
Simulations = Simulator | ForeignSimulator


def simulate(family: Family, count: int, *, threads: int = 0) -> Simulations:
    """Return `count` simulations of a family, with no tasks yet.

    Args:
        family: one of ours, or one made of another environment.
        count: how many.
        threads: native threads for ours; 0 for one a core.
    """
    if isinstance(family, ForeignFamily):
        return ForeignSimulator(family, count)
    return Simulator(family, count, threads=threads)
