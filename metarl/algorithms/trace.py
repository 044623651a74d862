"""`Trace`: what an outer step did, and why it was accepted or not."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor


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

    finite: bool = True
    """Whether all numbers on the way were finite; the parameters are kept otherwise."""

    @classmethod
    def kept(
        cls,
        reason: str,
        loss: float,
        gradient_norm: float,
        cg_residual: float = math.nan,
        *,
        finite: bool = True,
    ) -> "Trace":
        """Return the trace of a step that kept the parameters.

        Args:
            reason: why.
            loss: at the parameters.
            gradient_norm: of the loss there.
            cg_residual: when conjugate gradients ran.
            finite: whether all numbers were.
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
            finite=finite,
        )


def not_finite(loss: Tensor, gradient: Mapping[str, Tensor]) -> str | None:
    """Return whether a loss or its gradient is not finite, in words; None when all is finite.

    Args:
        loss: a scalar.
        gradient: of the loss, by parameter.
    """
    names = [name for name, value in gradient.items() if not value.isfinite().all()]
    if names:
        return f"the gradient of {', '.join(names)} is not finite"
    return None if loss.isfinite() else "the loss is not finite"
