"""Figures: the lines and dots that they must have, and the files of each kind of result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metarl import envs
from metarl.comparing.comparison import Comparison, Curve
from metarl.evaluation.changes import Changes
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.retrieval import Retrieval
from metarl.evaluation.seen import QUARTERS
from metarl.showing import figures


@pytest.fixture
def evaluation() -> Evaluation:
    """Of two runs on three tasks; every return is different."""
    tasks = envs.make("Point2D").sample_tasks(3, seed=0)
    return Evaluation("Point2D", "promp", tasks, np.arange(12.0).reshape(2, 3, 2), None, {})


@pytest.fixture
def comparison() -> Comparison:
    """Of a meta-learner, of a method that starts at 0 steps and of one that takes none."""
    returns = np.array([[[-9.0, -5.0], [-7.0, -3.0]]])
    curves = {
        "maml-trpo": Curve(np.array([0, 300]), returns, asked=1),
        "PPO": Curve(np.array([300, 30_000]), returns - 1.0),
        "told the task": Curve(np.array([0]), returns[..., :1]),
    }
    return Comparison("Point2D", curves, 30_000, {})


@pytest.fixture
def retrieval() -> Retrieval:
    """Embeddings on a line in three dimensions, at the tasks' own x."""
    family = envs.make("Point2D")
    known, new = family.sample_tasks(5, seed=0), family.sample_tasks(4, seed=1)
    direction = np.array([2.0, 1.0, 2.0]) / 3.0
    return Retrieval(
        family="Point2D",
        known=known,
        new=new,
        embeddings=(known["x"][:, None] * direction, new["x"][:, None] * direction),
        apart=np.abs(new["x"][:, None] - known["x"]),
        novelty=np.zeros(4),
        novelty_outside=None,
        threshold=1.0,
    )


def test_an_evaluation_has_a_line_a_task_and_one_of_means(evaluation: Evaluation):
    (axes,) = figures.adaptation_figure(evaluation).axes
    *tasks, means = [np.asarray(line.get_ydata()) for line in axes.lines]
    np.testing.assert_array_equal(tasks, [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    np.testing.assert_array_equal(means, [5.0, 6.0])
    assert axes.get_title() == "Point2D, promp: 3 test tasks"


def test_of_a_memory_quarters_and_whole_episodes_are_drawn_apart(evaluation: Evaluation):
    """Four quarters, then the first episode, one after a rollout and one after all."""
    quarters = [f"{name} quarter of the first episode" for name in QUARTERS]
    seen = {words: np.full((2, 3), number) for number, words in enumerate(quarters)}
    seen["after 1 rollout"] = np.full((2, 3), 9)
    settings = {"rollouts": 20, "inner_lrs": [0.0]}
    of_memory = replace(evaluation, seen=seen, settings=settings)
    (axes,) = figures.adaptation_figure(of_memory).axes
    means = [line for line in axes.lines if line.get_linewidth() == 2]
    lines = [[np.asarray(part).tolist() for part in line.get_data()] for line in means]
    assert lines == [[[0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0]], [[4, 5, 6], [5.0, 9.0, 6.0]]]
    labels = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
    assert labels[3:] == ["last quarter", "first episode", "after 1 rollout", "after 20 rollouts"]


def test_training_is_in_millions_of_steps():
    steps, before, after = np.array([1e6, 2e6]), np.array([1.0, 2.0]), np.array([3.0, 5.0])
    (axes,) = figures.training_figure(steps, before, after).axes
    assert [list(np.asarray(line.get_xdata())) for line in axes.lines] == [[1.0, 2.0]] * 2
    assert [list(np.asarray(line.get_ydata())) for line in axes.lines] == [[1.0, 2.0], [3.0, 5.0]]
    assert [line.get_label() for line in axes.lines] == ["before adaptation", "after adaptation"]


def test_a_comparison_draws_zero_steps_apart(comparison: Comparison):
    """0 has no logarithm: it stands left of the least number of steps, with a tick of its own."""
    (axes,) = figures.comparison_figure(comparison).axes
    x = [list(np.asarray(line.get_xdata())) for line in axes.lines]
    assert x[:2] == [[100.0, 300.0], [300.0, 30_000.0]]
    assert [float(np.asarray(line.get_ydata())[0]) for line in axes.lines] == [-8.0, -9.0, -8.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1,000", "10,000"]


def test_a_line_of_embeddings_is_a_line_on_the_map(retrieval: Retrieval):
    """All variance is along the line; distances on it are those of the tasks."""
    figure = figures.task_map(retrieval)
    panels = figure.axes[:2]
    for axes in panels:
        known, new = (np.asarray(part.get_offsets()) for part in axes.collections)
        np.testing.assert_allclose(known[:, 1], 0.0, atol=1e-9)
        gaps = np.abs(np.subtract.outer(known[:, 0], new[:, 0]))
        x = np.abs(np.subtract.outer(retrieval.known["x"], retrieval.new["x"]))
        np.testing.assert_allclose(gaps, x)
        assert axes.get_xlabel() == "first principal component (100% of variance)"
    colours = [panels[1].collections[part].get_array() for part in (0, 1)]
    np.testing.assert_array_equal(np.asarray(colours[1]), retrieval.new["y"])


def test_distances_have_a_dot_a_pair(retrieval: Retrieval):
    (axes,) = figures.distance_figure(retrieval).axes
    dots = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(dots[:, 0], retrieval.apart.ravel())
    np.testing.assert_allclose(dots[:, 1], retrieval.distances.ravel())
    assert axes.get_title() == "Point2D: Spearman correlation 1.000"


def test_changes_are_bars_of_before_and_after():
    """Of ten observations, the eight that changed most."""
    observations = {f"angle {i}": np.array([0.0, 10.0 - i]) for i in range(10)}
    changes = Changes(
        title="what 1 step changed",
        layers={"layer 1": 0.25, "output": 0.5},
        std=np.array([[0.5, 0.6], [0.3, 0.4]]),
        observations=observations,
        reward={"goal": np.array([-5.0, 7.0]), "control cost": np.array([-1.0, -2.0])},
    )
    panels: Any = figures.changes_figure(changes).axes  # a bar is a Rectangle, not only a Patch
    layers, std, sensitivity, reward = panels
    assert [bar.get_width() for bar in layers.patches] == [25.0, 50.0]
    assert [bar.get_height() for bar in std.patches] == [0.5, 0.6, 0.3, 0.4]
    assert [bar.get_width() for bar in sensitivity.patches[8:]] == [10.0 - i for i in range(8)]
    assert [bar.get_height() for bar in reward.patches] == [-5.0, -1.0, 7.0, -2.0]


def test_numbers_and_figures_are_saved_together(
    evaluation: Evaluation, comparison: Comparison, retrieval: Retrieval, tmp_path: Path
):
    expected = {
        "evaluation.json": evaluation,
        "comparison.json": comparison,
        "similarity.json": retrieval,
    }
    paths = [figures.save(result, tmp_path / "deep") for result in expected.values()]
    assert [[path.name for path in saved] for saved in paths] == [
        ["evaluation.json", "evaluation.csv", "evaluation.png"],
        ["comparison.json", "comparison.png"],
        ["similarity.json", "task_map.png", "task_distances.png"],
    ]
    every = [path for saved in paths for path in saved]
    assert sorted((tmp_path / "deep").iterdir()) == sorted(every), "nothing else is left"
    with Image.open(tmp_path / "deep" / "evaluation.png") as picture:
        assert picture.size == (900, 600)
    with Image.open(tmp_path / "deep" / "comparison.png") as picture:
        assert picture.size == (1200, 690)


def test_files_may_have_another_name(evaluation: Evaluation, retrieval: Retrieval, tmp_path: Path):
    several = figures.save(retrieval, tmp_path, "mine")
    names = ["mine.json", "mine_task_map.png", "mine_task_distances.png"]
    assert [path.name for path in several] == names
    numbers, table, figure = figures.save(evaluation, tmp_path, "extrapolate")
    assert [p.name for p in (numbers, table, figure)] == [
        "extrapolate.json",
        "extrapolate.csv",
        "extrapolate.png",
    ]
    numbers.unlink()
    assert evaluation.save(tmp_path, "extrapolate") == [numbers, table], "the numbers alone"
