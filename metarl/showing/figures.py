"""Figures of evaluations and of how similar tasks are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from metarl.evaluation.interval import Interval

if TYPE_CHECKING:
    from metarl.evaluation.changes import Changes


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


def training_figure(
    steps: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> Figure:
    """Draw returns before and after adaptation against environment steps, an entry an iteration."""
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for (label, colour), values in zip(_ENDS, (before, after), strict=True):
        axes.plot(steps / 1e6, values, color=colour, label=f"{label.split()[0]} adaptation")
    axes.set(xlabel="environment steps [million]", ylabel="return", title="Training")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def task_map(
    embeddings: tuple[NDArray[np.float64], NDArray[np.float64]],
    values: tuple[NDArray[np.float64], NDArray[np.float64]],
    names: Sequence[str],
    title: str,
) -> Figure:
    """Draw tasks in the plane where their embeddings vary most, coloured by task parameter.

    Args:
        embeddings: of known tasks and of new ones, [task, embedding] each.
        values: their parameters, [task, parameter] each.
        names: the parameters'; there is a panel for each of the first four.
        title: the figure's.
    """
    known, new = embeddings
    centre = known.mean(0)
    # principal components: the right singular vectors of the centred known tasks
    _, sizes, axes_of = np.linalg.svd(known - centre, full_matrices=False)
    share = sizes**2 / (sizes**2).sum()
    points = [(each - centre) @ axes_of[:2].T for each in (known, new)]
    shown = names[:4]
    figure = Figure(figsize=(1.0 + 5.0 * len(shown), 4.4), layout="constrained")
    for column, (axes, name) in enumerate(
        zip(np.atleast_1d(np.array(figure.subplots(1, len(shown)))), shown, strict=True)
    ):
        every = np.concatenate([each[:, column] for each in values])
        style = {"vmin": every.min(), "vmax": every.max(), "cmap": "viridis"}
        axes.scatter(
            *points[0].T, c=values[0][:, column], s=60, alpha=0.4, label="known task", **style
        )
        label = "new task, one rollout"
        dots = axes.scatter(*points[1].T, c=values[1][:, column], marker="x", label=label, **style)
        figure.colorbar(dots, ax=axes, label=name.replace("_", " "))
        for axis, part in zip((axes.xaxis, axes.yaxis), share, strict=False):
            number = "first" if axis is axes.xaxis else "second"
            axis.set_label_text(f"{number} principal component ({part:.0%} of variance)")
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[["top", "right"]].set_visible(False)
        legend = axes.legend(frameon=False, loc="best")
        for handle in legend.legend_handles:
            handle.set_color("0.3")
    figure.suptitle(f"{title}: tasks as the encoder sees them")
    return figure


def distance_figure(
    apart: NDArray[np.floating], distances: NDArray[np.floating], correlation: float, title: str
) -> Figure:
    """Draw embedding distance against parameter distance, a dot a pair of tasks.

    Args:
        apart: distances of parameters, [new, known], as fractions of the training range.
        distances: distances of embeddings, [new, known].
        correlation: Spearman's.
        title: the figure's.
    """
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(apart, distances, s=3, color="C0", alpha=0.15, linewidth=0, rasterized=True)
    axes.set(
        xlabel="distance of task parameters [training range]",
        ylabel="distance of embeddings",
        title=f"{title}: Spearman correlation {correlation:.3f}",
    )
    axes.set_ylim(bottom=0.0)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def changes_figure(changes: "Changes") -> Figure:
    """Draw what adaptation changed, in four panels."""
    figure = Figure(figsize=(10.0, 7.0), layout="constrained")
    (layers, std), (heeded, reward) = figure.subplots(2, 2)
    layers.barh(list(changes.layers), [100.0 * part for part in changes.layers.values()])
    layers.invert_yaxis()
    layers.set(xlabel="change [% of the parameters' norm]", title="How far each layer moved")
    count = changes.std.shape[1]
    _pairs(std, [str(index + 1) for index in range(count)], changes.std.T)
    std.set(xlabel="action", ylabel="standard deviation", title="How much each action explores")
    most = dict(list(changes.observations.items())[:8])
    for column, (label, colour) in enumerate(_ENDS):
        places = np.arange(len(most)) + 0.4 * column
        values = [pair[column] for pair in most.values()]
        heeded.barh(places, values, height=0.4, color=colour, label=label)
    heeded.set_yticks(np.arange(len(most)) + 0.2, list(most))
    heeded.invert_yaxis()
    heeded.set(
        xlabel="change of the action as it rises by its std",
        title="Which observations move the action\n(those that changed most)",
    )
    _pairs(reward, list(changes.reward), np.array(list(changes.reward.values())))
    reward.axhline(0.0, color="0.3", linewidth=0.8)
    reward.set(ylabel="return", title="Where the return comes from")
    for axes in (layers, std, heeded, reward):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*std.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(changes.title)
    return figure


def comparison_figure(
    curves: Mapping[str, tuple[NDArray[np.int64], Sequence[Interval]]], title: str
) -> Figure:
    """Draw return against environment steps on the new task, the steps as logarithms.

    Args:
        curves: steps and returns by method; a method with no steps is a horizontal line.
        title: the figure's.
    """
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    least = min(int(steps[steps > 0].min()) for steps, _ in curves.values() if steps.any())
    zero = least / 3.0  # where no steps at all are drawn
    for number, (name, (steps, points)) in enumerate(curves.items()):
        means = np.array([point.mean for point in points])
        if len(steps) == 1:
            axes.axhline(means[0], color=f"C{number}", linestyle="--", label=name)
            continue
        x = np.where(steps > 0, steps, zero)
        axes.plot(x, means, color=f"C{number}", marker="o", markersize=4, label=name)
        low, high = [point.low for point in points], [point.high for point in points]
        axes.fill_between(x, low, high, color=f"C{number}", alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    most = max(int(steps.max()) for steps, _ in curves.values())
    decades = 10 ** np.arange(np.ceil(np.log10(least)), np.floor(np.log10(most)) + 1)
    axes.set_xticks([zero, *decades], ["0", *(f"{decade:,.0f}" for decade in decades)])
    axes.set(xlabel="environment steps on the new task", ylabel="return", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False)
    return figure


_ENDS = (("before adaptation", "0.6"), ("after", "C0"))


def _pairs(axes: Axes, names: Sequence[str], values: NDArray[np.float64]) -> None:
    """Draw pairs of bars, [name, 2]."""
    for column, (label, colour) in enumerate(_ENDS):
        axes.bar(
            np.arange(len(names)) + 0.4 * column, values[:, column], 0.4, color=colour, label=label
        )
    axes.set_xticks(np.arange(len(names)) + 0.2, names)
