"""Figures of evaluations."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from metarl.interval import Interval


def adaptation_figure(
    returns: NDArray[np.float64], curve: Sequence[Interval], title: str
) -> Figure:
    """Draw return against inner step: every task thinly, the mean with its interval boldly.

    Args:
        returns: of every task, [task, step].
        curve: mean and interval of each step.
        title: the figure's.
    """
    steps = np.arange(len(curve))
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for index, task in enumerate(returns):
        label = "each task" if index == 0 else None
        axes.plot(steps, task, color="0.75", linewidth=0.7, zorder=1, label=label)
    low, high = [point.low for point in curve], [point.high for point in curve]
    axes.fill_between(steps, low, high, color="C0", alpha=0.3, linewidth=0, zorder=2)
    means = [point.mean for point in curve]
    label = "mean, 95 % interval"
    axes.plot(steps, means, color="C0", marker="o", linewidth=2, zorder=3, label=label)
    axes.set(xlabel="inner steps", ylabel="return", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="best")
    return figure
