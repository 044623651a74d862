"""Contact forces of many simulations against MuJoCo's of one."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from metarl.envs.contact_forces import ContactForces
from metarl.envs.robots import Ant

STEPS = 60


def dropped(count: int) -> tuple[Batch, np.ndarray]:
    """Ants that fall from different heights."""
    model = Ant().load()
    heights = np.linspace(0.5, 0.9, count)
    batch = Batch(model, count, 2, persistent=True)
    batch.reset(None, stage=0)
    batch.bind("qpos")[:, 2] = heights
    return batch, heights


def test_forces_are_those_of_each_simulation_alone():
    batch, heights = dropped(3)
    forces = ContactForces(batch)
    batch.step(nstep=STEPS)
    forces.refresh()
    assert forces.cfrc_ext.shape == (3, 14, 6)
    for sim, height in enumerate(heights):
        data = mujoco.MjData(Ant().load())
        data.qpos[2] = height
        mujoco.mj_step(Ant().load(), data, nstep=STEPS)
        mujoco.mj_rnePostConstraint(Ant().load(), data)
        np.testing.assert_array_equal(forces.cfrc_ext[sim], data.cfrc_ext)
    assert np.abs(forces.cfrc_ext).max() > 1.0


def test_only_the_simulations_asked_for_are_computed():
    batch, _ = dropped(3)
    forces = ContactForces(batch)
    batch.step(nstep=STEPS)
    forces.refresh([1])
    assert (forces.cfrc_ext != 0.0).any(axis=(1, 2)).tolist() == [False, True, False]
