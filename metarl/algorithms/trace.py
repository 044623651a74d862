"""`Trace`: what an outer step did, and why it was accepted or not."""

import math
from typing import NamedTuple


class Trace(NamedTuple):
    """What an outer step did, and why it was accepted or not."""

    accepted: bool
    """Whether the parameters changed."""
    reason: str
    """`accepted`, or why the parameters were kept."""
    loss_before: float
    """The outer loss at the parameters before the step: minus the surrogate return after
    adaptation, with the algorithm's other terms."""
    loss_after: float
    """The outer loss at the parameters after the step."""
    kl: float
    """Mean KL(old || new) of the adapted policies [nat]."""
    gradient_norm: float
    """Euclidean norm of the outer gradient; of the full step for `reptile`, which has none."""
    step_fraction: float = 1.0
    """The accepted part of the full step; 0 when the parameters were kept."""
    cg_residual: float = math.nan
    """Trust region: ||F x - g|| / ||g|| for the direction x that conjugate gradients reached."""

    @classmethod
    def kept(
        cls, reason: str, loss: float, gradient_norm: float, cg_residual: float = math.nan
    ) -> "Trace":
        """Return the trace of a step that kept the parameters.

        Args:
            reason: why.
            loss: at the parameters.
            gradient_norm: of the loss there.
            cg_residual: when conjugate gradients ran.
        """
        return cls(
            accepted=False,
            reason=reason,
            loss_before=loss,
            loss_after=loss,
            kl=0.0,
            gradient_norm=gradient_norm,
            step_fraction=0.0,
            cg_residual=cg_residual,
        )
