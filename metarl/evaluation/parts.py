"""What the return is the sum of, for goals whose reward is a sum of named terms."""

from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.learner.inner_loop import Stage
from metarl.learner.maml import MAML
from metarl.sampling.episodes import most_likely, play
from metarl.sampling.remembering import Remembering
from metarl.sampling.streams import Key, Purpose, streams
from metarl.system.library_threads import one_library_thread

REST = "costs and bonus of the family"
"""What the family adds to the goal's reward, among the parts."""


def parts_of_return(
    learner: MAML, tasks: Tasks, stage: Stage, key: Key
) -> dict[str, NDArray[np.float64]]:
    """Return what each term of the reward gives in an episode, [task] each; {} without terms.

    One episode of each task, with the most likely actions: training keeps no terms, so that they
    cost it nothing.

    Args:
        learner: whose policy acts.
        tasks: a row each.
        stage: of their adaptation.
        key: decides the start states.
    """
    family = learner.family
    if not isinstance(family, TaskFamily) or not family.goal.terms:
        return {}
    act = most_likely(learner.policy, stage.parameters)
    starts = streams(key, Purpose.START, [(task, 0) for task in range(len(tasks))])
    remembering = None if stage.memory is None else Remembering(stage.memory, 1)
    parts = {term.name: np.zeros(len(tasks)) for term in family.goal.terms}
    parts[REST] = np.zeros(len(tasks))
    active = np.zeros(len(tasks), dtype=bool)
    with closing(family.simulate(len(tasks))) as simulator, one_library_thread():
        simulator.set_tasks(tasks)
        for moment in play(simulator, act, starts, remembering):
            of_terms = np.zeros(len(tasks))
            for name, values in simulator.terms.items():
                given = np.where(active, values, 0.0)
                parts[name] += given
                of_terms += given
            parts[REST] += moment.reward - of_terms
            active = moment.active
    return parts
