"""Privileged information: the task, given to the policy in some trials instead of its memory.

A policy that acts on its memory must learn two things at once: to move, and to use an encoder that
is itself hardly trained. Where moving is hard, it learns faster from trials in which it is given
the task's place, the encoder's regression target. Training first on privileged information and then
on an estimate of it is RMA (Kumar et al. 2021); here every iteration has both kinds of trials and
trains one policy, which therefore always sees its own memory too. Where the encoder identifies a
task within a few steps, even that is unnecessary: after 1 M steps of AntDir with the task given in
all trials, a policy earned 304 with it and 302 without.
"""

from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.memory import SCALE
from metarl.envs.family import Family
from metarl.envs.tasks import Tasks
from metarl.experience.task_map import TaskMap, task_map

MAPPED = 500
"""Tasks drawn from a family to compute its map."""


def family_map(family: Family, size: int) -> tuple[TaskMap, NDArray]:
    """Return the map of a family's tasks, and the coordinates of the tasks it was computed from.

    Args:
        family: whose tasks are drawn; always the same ones.
        size: numbers in an embedding.
    """
    drawn = family.coordinates(family.sample_tasks(MAPPED, seed=0))
    return task_map(drawn, size), drawn


def told_contexts(family: Family, tasks: Tasks, size: int) -> Tensor:
    """Return the contexts of a memory that knows its task exactly, [task, context].

    Args:
        family: the tasks' family.
        tasks: a row each.
        size: numbers in a context.
    """
    places, _ = family_map(family, size)
    return places.places(family.coordinates(tasks)) / SCALE
