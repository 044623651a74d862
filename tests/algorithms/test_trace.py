"""What an outer step reports."""

import math

from metarl.algorithms.trace import Trace


def test_a_step_that_kept_the_parameters_changed_nothing():
    trace = Trace.kept("the gradient is zero", loss=0.25, gradient_norm=0.5)
    assert not trace.accepted
    assert trace.reason == "the gradient is zero"
    assert trace.loss_before == trace.loss_after == 0.25
    assert trace.kl == trace.step_fraction == 0.0
    assert trace.gradient_norm == 0.5
    assert math.isnan(trace.cg_residual), "no direction was solved for"
    assert Trace.kept("", 0.0, 0.0, cg_residual=0.125).cg_residual == 0.125
