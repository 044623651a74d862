"""`Bodies`: model fields that differ between simulations."""

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

_MESHES = [mujoco.mjtGeom.mjGEOM_MESH.value, mujoco.mjtGeom.mjGEOM_SDF.value]


class Bodies(dict[str, NDArray]):
    """Model fields with a leading simulation axis, copied from the model when first asked for.

    Fields are named as in `MjModel`; those of `MjOption` as `opt.gravity`.
    """

    def __init__(self, model: mujoco.MjModel, count: int) -> None:
        """Prepare fields for `count` simulations of `model`."""
        super().__init__()
        self.model = model
        self.count = count

    def __missing__(self, name: str) -> NDArray:
        owner, field = (self.model.opt, name[4:]) if name.startswith("opt.") else (self.model, name)
        self[name] = np.repeat(np.asarray(getattr(owner, field))[None], self.count, axis=0)
        return self[name]


def require_no_meshes(model: mujoco.MjModel, geoms: Sequence[int], leg: str) -> None:
    """Check that geoms can change their size: MuJoCo reads that of a mesh from the mesh.

    Raises:
        ValueError: when some of a leg's are meshes.
    """
    if np.isin(model.geom_type[list(geoms)], _MESHES).any():
        raise ValueError(
            f"the leg {leg!r} has geoms that are meshes, whose size cannot change; "
            f"use crippled_leg(..., size=1.0), for a leg that is limp, but whole"
        )
