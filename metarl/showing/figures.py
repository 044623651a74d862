"""Figures of what was measured, and the files of a measurement: its numbers with its figures.

evaluation = metarl.evaluate(learner)
adaptation_figure(evaluation)  # a matplotlib figure
save(evaluation, "runs/velocity")  # evaluation.json, evaluation.csv, evaluation.png
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from metarl.agents.policy import CONTEXT
from metarl.comparing.comparison import Comparison
from metarl.evaluation.changes import Changes
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.interval import Interval, interval
from metarl.evaluation.recovery import Recovery
from metarl.evaluation.retrieval import Retrieval
from metarl.evaluation.seen import QUARTERS
from metarl.system.files import whole_file

DOTS_PER_INCH = 150
"""Of saved figures."""
_SHOWN_PARAMETERS, _SHOWN_OBSERVATIONS = 4, 8
_ENDS = (("before adaptation", "0.6"), ("after", "C0"))
"""Labels and colours."""


def save(
    result: Evaluation | Comparison | Retrieval | Recovery,
    folder: str | Path,
    name: str | None = None,
) -> list[Path]:
    """Write a result's numbers, as its own `save` does, and its figures; return the paths.

    An evaluation gives `evaluation.json`, `.csv` and `.png`; a comparison `comparison.json` and
    `.png`; a retrieval `similarity.json`, `task_map.png` and `task_distances.png`; a recovery
    `change.json` and `.png`.

    Args:
        result: what was measured.
        folder: where to.
        name: of the files of numbers and of the figure that shows them, without their endings;
            before the names of several figures; None for the names above.

    Raises:
        OSError: when the folder cannot be written to.
    """
    paths = result.save(folder) if name is None else result.save(folder, name)
    match result:
        case Evaluation():
            figures = {f"{paths[0].stem}.png": adaptation_figure(result)}
        case Comparison():
            figures = {f"{paths[0].stem}.png": comparison_figure(result)}
        case Recovery():
            figures = {f"{paths[0].stem}.png": recovery_figure(result)}
        case Retrieval():
            before = "" if name is None else f"{name}_"
            figures = {
                f"{before}task_map.png": task_map(result),
                f"{before}task_distances.png": distance_figure(result),
            }
    for file, figure in figures.items():
        with whole_file(Path(folder) / file) as temporary:
            figure.savefig(temporary, dpi=DOTS_PER_INCH)
    return [*paths, *(Path(folder) / file for file in figures)]


def adaptation_figure(evaluation: Evaluation) -> Figure:
    """Draw return against inner step: every task thinly, the mean with its interval boldly.

    Of a single task the thin lines are its rollouts. Of a policy with a memory, return against what
    it has seen: its first episode in quarters, and whole episodes after some rollouts. Of several
    runs, a task's line is the mean over them.
    """
    figure, axes = _single_panel()
    points = _points(evaluation)
    label, quarters = "inner steps", 0
    if evaluation.seen is not None:
        label = "quarters of the first episode, times four; then episodes by what was seen before"
        quarters = len(QUARTERS)
        figure.set_size_inches(max(8.5, 0.95 * len(points)), 4.5)
    thin = "each task" if evaluation.rollouts is None else "each rollout"
    places = np.arange(len(points))
    lines = np.stack([point.returns.mean(0) for point in points])
    # quarters and whole episodes are not joined: each start costs an episode its first quarter
    for part in filter(len, (places[:quarters], places[quarters:])):
        axes.plot(part, lines[part], color="0.75", linewidth=0.7, zorder=1)
        mean, low, high = np.transpose([points[place].mean for place in part])
        axes.fill_between(part, low, high, color="C0", alpha=0.3, linewidth=0, zorder=2)
        axes.plot(part, mean, color="C0", marker="o", linewidth=2, zorder=3)
    axes.lines[0].set_label(thin)
    axes.lines[-1].set_label("mean, 95 % interval")
    axes.set(xlabel=label, ylabel="return")
    axes.set_title(evaluation.title, wrap=True)
    axes.set_xticks(places, [point.name for point in points])
    _legend_below(figure)
    return figure


class _Point(NamedTuple):
    """What is drawn above one label of an evaluation's figure."""

    name: str
    mean: Interval
    returns: NDArray[np.float64]
    """[run, task], or [run, rollout] of a single task."""


def _points(evaluation: Evaluation) -> list[_Point]:
    """Return inner steps; of a policy with a memory, quarters, whole episodes, gradient steps."""
    steps = [
        _Point(str(step), mean, evaluation.samples[:, :, step])
        for step, mean in enumerate(evaluation.curve())
    ]
    if evaluation.seen is None:
        return steps
    seen = [
        _Point(_in_lines(words), mean, evaluation.seen[words])
        for words, mean in evaluation.seen_curve().items()
    ]
    names = [_in_lines(words) for words in evaluation.steps_in_words()]
    first, *later = (step._replace(name=name) for step, name in zip(steps, names, strict=True))
    count = len(QUARTERS)
    return [*seen[:count], first._replace(name="first\nepisode"), *seen[count:], *later]


def training_figure(
    steps: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> Figure:
    """Draw returns before and after adaptation against environment steps.

    Args:
        steps: environment steps so far, [iteration].
        before: mean return before adaptation, [iteration].
        after: mean return after it, [iteration].
    """
    figure, axes = _single_panel()
    for (label, colour), values in zip(_ENDS, (before, after), strict=True):
        axes.plot(steps / 1e6, values, color=colour, label=f"{label.split()[0]} adaptation")
    axes.set(xlabel="environment steps [million]", ylabel="return", title="Training")
    _legend_below(figure)
    return figure


def task_map(retrieval: Retrieval) -> Figure:
    """Draw tasks in the plane where their embeddings vary most, coloured by task parameter.

    There is a panel for each of the first four parameters.
    """
    known, new = retrieval.embeddings
    centre = known.mean(0)
    # principal components: the right singular vectors of the centred known tasks
    _, sizes, components = np.linalg.svd(known - centre, full_matrices=False)
    share = sizes**2 / (sizes**2).sum()
    known_points, new_points = ((part - centre) @ components[:2].T for part in (known, new))
    shown = retrieval.known.names[:_SHOWN_PARAMETERS]
    figure = Figure(figsize=(1.0 + 5.0 * len(shown), 4.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        of_known, of_new = retrieval.known[name], retrieval.new[name]
        both = np.concatenate([of_known, of_new])
        style = {"vmin": both.min(), "vmax": both.max(), "cmap": "viridis"}
        axes.scatter(*known_points.T, c=of_known, s=60, alpha=0.4, label="known task", **style)
        label = "new task, one rollout"
        dots = axes.scatter(*new_points.T, c=of_new, marker="x", label=label, **style)
        figure.colorbar(dots, ax=axes, label=name.replace("_", " "))
        for axis, part in zip((axes.xaxis, axes.yaxis), share, strict=False):
            number = "first" if axis is axes.xaxis else "second"
            axis.set_label_text(f"{number} principal component ({part:.0%} of variance)")
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[["top", "right"]].set_visible(False)
        legend = axes.legend(frameon=False, loc="best")
        for handle in legend.legend_handles:
            handle.set_color("0.3")  # the dots have the colours of their tasks
    figure.suptitle(f"{retrieval.family}: tasks as the encoder sees them")
    return figure


def distance_figure(retrieval: Retrieval) -> Figure:
    """Draw embedding distance against parameter distance, a dot a pair of tasks."""
    figure, axes = _single_panel()
    axes.scatter(
        retrieval.apart,
        retrieval.distances,
        s=3,
        color="C0",
        alpha=0.15,
        linewidth=0,
        rasterized=True,
    )
    axes.set(
        xlabel="distance of task parameters [training range]",
        ylabel="distance of embeddings",
        title=f"{retrieval.family}: Spearman correlation {retrieval.correlation:.3f}",
    )
    axes.set_ylim(bottom=0.0)
    return figure


def changes_figure(changes: Changes) -> Figure:
    """Draw what adaptation changed, in four panels."""
    figure = Figure(figsize=(10.0, 7.0), layout="constrained")
    (layers, std), (sensitivity, reward) = figure.subplots(2, 2)
    # a context starts at 0, so that its change is no part of what it was
    moved = {name: 100.0 * part for name, part in changes.layers.items() if name != CONTEXT}
    layers.barh(list(moved), list(moved.values()))
    layers.invert_yaxis()
    layers.set(xlabel="change [% of the parameters' norm]", title="How far each layer moved")
    count = changes.std.shape[1]
    _pairs(std, [str(index + 1) for index in range(count)], changes.std.T)
    std.set(xlabel="action", ylabel="standard deviation", title="How much each action explores")
    most = dict(list(changes.observations.items())[:_SHOWN_OBSERVATIONS])
    for column, (label, colour) in enumerate(_ENDS):
        places = np.arange(len(most)) + 0.4 * column
        values = [pair[column] for pair in most.values()]
        sensitivity.barh(places, values, height=0.4, color=colour, label=label)
    sensitivity.set_yticks(np.arange(len(most)) + 0.2, list(most))
    sensitivity.invert_yaxis()
    sensitivity.set(
        xlabel="change of the action as it rises by its std",
        title="Which observations move the action\n(those that changed most)",
    )
    _pairs(reward, list(changes.reward), np.array(list(changes.reward.values())))
    reward.axhline(0.0, color="0.3", linewidth=0.8)
    reward.set(ylabel="return", title="Where the return comes from")
    for axes in (layers, std, sensitivity, reward):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*std.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(changes.title)
    return figure


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw return against environment steps on the new task, the steps as logarithms.

    A method that takes no steps is a horizontal line.
    """
    figure = Figure(figsize=(8.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    steps = np.concatenate([curve.steps for curve in comparison.curves.values()])
    least, most = int(steps[steps > 0].min()), int(steps.max())
    zero = least / 3.0  # where no steps at all are drawn, as there is no logarithm of 0
    for number, (name, curve) in enumerate(comparison.curves.items()):
        points = curve.intervals()
        means = np.array([point.mean for point in points])
        if len(curve.steps) == 1:
            axes.axhline(means[0], color=f"C{number}", linestyle="--", label=name)
            continue
        x = np.where(curve.steps > 0, curve.steps, zero)
        axes.plot(x, means, color=f"C{number}", marker="o", markersize=4, label=name)
        low, high = [point.low for point in points], [point.high for point in points]
        axes.fill_between(x, low, high, color=f"C{number}", alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    decades = 10 ** np.arange(np.ceil(np.log10(least)), np.floor(np.log10(most)) + 1)
    axes.set_xticks([zero, *decades], ["0", *(f"{decade:,.0f}" for decade in decades)])
    axes.set(xlabel="environment steps on the new task", ylabel="return", title=comparison.family)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False)
    return figure


def recovery_figure(recovery: Recovery) -> Figure:
    """Draw the reward of a step against time, for each way in which the policy remembers.

    Means over tasks, and over the half second before (a robot's stride shows less); the first one,
    as asked for, with its 95 % interval.
    """
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    styles = [("C0", 2.0, "-"), ("C1", 1.4, "-"), ("C2", 1.4, "--"), ("0.6", 1.4, "-")]
    for number, (name, course) in enumerate(recovery.courses.items()):
        colour, width, dashes = styles[number]
        seconds = course.dt * (np.arange(course.rewards.shape[1]) + 1)
        rewards = course.smooth
        axes.plot(seconds, rewards.mean(0), dashes, color=colour, linewidth=width, label=name)
        if number == 0:
            points = [interval(column) for column in rewards.T]
            low, high = [point.low for point in points], [point.high for point in points]
            axes.fill_between(seconds, low, high, color=colour, alpha=0.25, linewidth=0)
    first = recovery.first
    axes.axvline(first.change * first.dt, color="0.3", linewidth=1.0, linestyle=":")
    label = "new task from the start"
    axes.axhline(first.steady.mean(), color="0.3", linewidth=1.0, linestyle="--", label=label)
    axes.set(xlabel="time [s]", ylabel="reward of a step")
    axes.set_title(recovery.title, wrap=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(left=0.0)
    figure.legend(loc="outside right center", frameon=False)
    return figure


def _single_panel() -> tuple[Figure, Axes]:
    """Return a figure with one panel that is open at the top and on the right."""
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend_below(figure: Figure) -> None:
    """Put the legend below the panel: above its lines it would hide some of them."""
    figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _in_lines(words: str) -> str:
    """Return what was seen of a task as a narrow label."""
    short = words.split(": ")[-1].removesuffix(" of the first episode").removeprefix("and ")
    if short.endswith(" seen"):
        short = f"after {short.removesuffix(' seen')}"
    *first, last = short.split()
    return f"{' '.join(first)}\n{last}"


def _pairs(axes: Axes, names: Sequence[str], values: NDArray[np.float64]) -> None:
    """Draw pairs of bars, [name, 2]."""
    for column, (label, colour) in enumerate(_ENDS):
        axes.bar(
            np.arange(len(names)) + 0.4 * column, values[:, column], 0.4, color=colour, label=label
        )
    axes.set_xticks(np.arange(len(names)) + 0.2, names)
