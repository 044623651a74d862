"""`OwnRandomness`: states of the global random generators for third-party environments alone.

Some environments draw from `random` and `numpy.random` themselves. Everyone in a process shares
those, so what one environment draws would depend on what else runs there: other environments, the
user's script. Within this block they are those of some environments alone:

    randomness = OwnRandomness()
    with randomness:
        environments.step(action)
"""

import random

import numpy as np


class OwnRandomness:
    """The state of the global generators that is in force within its `with` blocks.

    Each block continues where the one before ended; outside of them the generators are as if
    there had been none.
    """

    def __init__(self) -> None:
        """Begin with the state of a fixed seed."""
        legacy = np.random.RandomState(0)
        self._inside = (random.Random(0).getstate(), legacy.get_state())
        self._outside = self._inside

    def __enter__(self) -> None:
        self._outside = self._exchange(self._inside)

    def __exit__(self, *_: object) -> None:
        self._inside = self._exchange(self._outside)

    @staticmethod
    def _exchange(state: tuple) -> tuple:
        """Put the global generators into a state; return the one that they were in."""
        before = (random.getstate(), np.random.get_state())  # noqa: NPY002
        random.setstate(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        return before


def seed_globals(seed: int) -> None:
    """Seed `random` and `numpy.random`.

    Args:
        seed: 0 or greater, below 2^32.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
