"""What meta-learning saves: arithmetic with known answers, and a comparison in small."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import metarl
from metarl import envs
from metarl.evaluation import compare as module
from metarl.evaluation.compare import Comparison, Curve, compare, model_return
from metarl.evaluation.interval import interval
from tests.conftest import SMALL

FAMILY = envs.make("Point2D", horizon=5)


def curve(steps: list[int], means: list[float], asked: int = 0) -> Curve:
    """Two tasks of one run, 1 above and below the mean."""
    returns = np.array([means, means]) + np.array([[-1.0], [1.0]])
    return Curve(np.array(steps), returns[None], asked)


def test_steps_to_a_return_are_interpolated_in_the_logarithm():
    found = curve([100, 1000, 10_000], [-9.0, -5.0, -3.0])
    assert found.reaches(-5.0) == pytest.approx(1000.0)
    assert found.reaches(-4.0) == pytest.approx(10.0**3.5)
    assert found.reaches(-20.0) == 100.0
    assert math.isinf(found.reaches(-2.9))
    from_zero = curve([0, 100], [-9.0, -5.0])
    assert from_zero.reaches(-6.0) == 100.0, "there is no logarithm of 0 to go from"


def test_the_answer_is_a_ratio_of_steps():
    made = Comparison(
        "Point2D",
        {
            "maml-trpo": curve([0, 100, 2000], [-9.0, -8.0, -4.0], asked=2),
            "PPO from scratch": curve([1000, 100_000], [-8.0, -3.0]),
            "PPO from pretraining": curve([0, 1000], [-8.0, -7.0]),
            "told the task": curve([0], [-1.0]),
        },
        100_000,
        {},
    )
    # -4 lies 4 / 5 of the way from 1,000 to 100,000
    assert made.factors("maml-trpo")["PPO from scratch"] == pytest.approx(10.0 ** (3 + 1.6) / 2000)
    answer = made.answer()
    assert "maml-trpo: a return of -4.0 after one step, for 2,000 environment steps" in answer
    assert "PPO from scratch needs 19.9 times as many" in answer
    assert "PPO from pretraining does not get there in 1,000, 0 times as many" in answer
    assert "told the task" not in answer
    better = {**made.curves, "PPO from pretraining": curve([0, 1000], [-3.9, -8.0])}
    answer = Comparison("Point2D", better, 100_000, {}).answer()
    assert "PPO from pretraining brings as much before its first step" in answer


def test_intervals_are_over_runs_where_there_are_some():
    returns = np.arange(12.0).reshape(3, 2, 2)
    runs = Curve(np.array([1, 2]), returns)
    assert runs.intervals()[1] == interval(returns[:, :, 1].mean(1))
    alone = Curve(np.array([1, 2]), returns[:1])
    assert alone.intervals()[1] == interval(returns[0, :, 1])


def test_a_model_is_judged_by_its_return():
    """Standing still costs the distance of the goal in every step."""

    class Still:
        def predict(self, observation: np.ndarray, *, deterministic: bool = False):
            assert deterministic
            return np.zeros((len(observation), 2)), None

    task = FAMILY.task({"x": 0.3, "y": 0.4})
    assert model_return(Still(), FAMILY, task, 0, 0) == pytest.approx(-5 * 0.5, abs=0.1)


# the few skills of a hardly trained encoder do not reach far
@pytest.mark.filterwarnings("ignore:.*unlike all that the library knows")
def test_a_small_comparison(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(module, "ROLLOUTS", (1, 3))
    settings = {**SMALL, "tasks": 2}
    meta = metarl.MAML(FAMILY, **settings)
    similarity = metarl.train_similarity(
        meta, tasks=10, rollouts=2, window=5, hidden=8, iterations=2
    )
    library = metarl.SkillLibrary.build(meta, similarity, tasks=4, rollouts=3, steps=1)
    pretrained = metarl.MAML(FAMILY, **settings, algorithm="pretrain")
    told = metarl.MAML(FAMILY.replace(reveals_task=True), **settings, algorithm="pretrain")
    found = compare(
        [meta, pretrained, told],
        libraries=[library],
        others={"itself": meta},
        tasks=2,
        budget=4000,
        workers=1,
    )
    assert list(found.curves) == [
        "maml-trpo",
        "maml-trpo with skills",
        "told the task",
        "itself",
        "gradient steps, random start",
        "PPO from pretraining",
        "PPO from scratch",
    ]
    assert found.curves["maml-trpo"].steps.tolist() == [0, 5, 15, 30, 45]
    assert found.curves["PPO from scratch"].steps.tolist() == [2000, 4000]
    for each in found.curves.values():
        assert each.returns.shape == (1, 2, len(each.steps))
    start = found.curves["maml-trpo"].returns[0, :, 0]
    # all are judged from the same states: the learner itself, and by way of `predict`
    np.testing.assert_allclose(found.curves["itself"].returns[0, :, 0], start, rtol=1e-4)
    skilled = found.curves["maml-trpo with skills"]
    np.testing.assert_array_equal(skilled.returns[0, :, 0], start)
    numbers, figure = found.save(tmp_path)
    data = json.loads(numbers.read_text())
    assert data["answer"] == found.answer()
    assert data["curves"]["maml-trpo"]["steps"] == [0, 5, 15, 30, 45]
    with Image.open(figure) as picture:
        assert picture.size == (1200, 690)


def test_what_cannot_be_compared_is_named():
    pretrained = metarl.MAML(FAMILY, **SMALL, algorithm="pretrain")
    with pytest.raises(ValueError, match="at least one run that was meta-learned"):
        compare([pretrained])
    other = metarl.MAML(envs.make("Point2D", horizon=6), **SMALL)
    with pytest.raises(ValueError, match="cannot be compared"):
        compare([metarl.MAML(FAMILY, **SMALL), other])
    steeper = metarl.MAML(FAMILY, **{**SMALL, "inner_lr": 0.1})
    with pytest.raises(ValueError, match=r"may differ in seed only: inner_lr is 0\.5 and 0\.1"):
        compare([metarl.MAML(FAMILY, **SMALL), steeper])
    with pytest.raises(ValueError, match="budget must be at least 200 steps"):
        compare([metarl.MAML(FAMILY, **SMALL)], budget=100)
