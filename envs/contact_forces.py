"""Contact forces on every body, which MuJoCo computes on demand only.

`mj_step` leaves `cfrc_ext` at zero unless a sensor needs it; Gymnasium calls `mj_rnePostConstraint`
after each step, and so does this file. The function reads the solver's contacts, which only a
persistent batch keeps for each simulation: in the default mode an MjData has served others since.
"""

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from metarl.envs.robot import Array


class ContactForces:
    """`cfrc_ext` of every simulation of a persistent batch, as Gymnasium computes it."""

    def __init__(self, batch: Batch) -> None:
        """Prepare for a batch that keeps each simulation's MjData."""
        self._batch = batch
        self._model = batch.get_model(0)
        self._data = mujoco.MjData(self._model)
        self.cfrc_ext: Array = np.zeros((batch.nsim, self._model.nbody, 6))
        """[sim, body, 6]: torque [N m] and force [N] at each body's centre of mass."""

    def refresh(self, sims: Sequence[int] | NDArray[np.integer] | None = None) -> None:
        """Compute the forces after a step.

        Args:
            sims: the simulations that were stepped, as indices; None for all.
        """
        for sim in range(self._batch.nsim) if sims is None else sims:
            self._batch.get_data(sim, self._data)
            mujoco.mj_rnePostConstraint(self._model, self._data)
            self.cfrc_ext[sim] = self._data.cfrc_ext
