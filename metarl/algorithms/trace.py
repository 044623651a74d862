"""`Trace`: what an outer step did and why it stopped."""

import math
from typing import NamedTuple


class Trace(NamedTuple):
    """What an outer step did and why it stopped."""

    accepted: bool
    reason: str
    loss_before: float
    """Minus the surrogate return after adaptation, at the parameters before the step."""
    loss_after: float
    kl: float
    """Mean KL(old || new) of the adapted policies [nat]."""
    gradient_norm: float
    step_fraction: float = 1.0
    """The accepted part of the full step; 0 when the parameters were kept."""
    cg_residual: float = math.nan
    """Trust region: norm of F x - g relative to that of g, for the direction x that was found."""

    @classmethod
    def kept(
        cls, reason: str, loss: float, gradient_norm: float, cg_residual: float = math.nan
    ) -> "Trace":
        """Return the trace of a step that kept the parameters.

        Args:
            reason: why.
            loss: at the parameters.
            gradient_norm: of the loss there.
            cg_residual: when a direction was found.
        """
        return cls(False, reason, loss, loss, 0.0, gradient_norm, 0.0, cg_residual)
