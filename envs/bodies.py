"""`Bodies`: model fields that differ between simulations."""

import mujoco
import numpy as np
from numpy.typing import NDArray


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
