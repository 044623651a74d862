"""Evaluation while training: against `evaluate` by hand, and training that does not notice it."""

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import KVWriter, Logger

import metarl
from metarl import envs
from tests.conftest import SMALL

QUICK: dict[str, Any] = {"tasks": 3, "rollouts": 3}


class Rows(KVWriter):
    """Keeps what is logged, by environment steps."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def write(self, key_values: dict, key_excluded: dict, step: int = 0) -> None:
        self.rows.append((step, dict(key_values)))

    def close(self) -> None:
        pass


def test_evaluates_at_its_steps_keeps_the_best_and_leaves_training_alone(
    point: envs.TaskFamily, tmp_path
):
    best, rows = tmp_path / "best.safetensors", Rows()
    callback = metarl.EvaluateCallback(every=500, best=best, **QUICK)
    learner = metarl.MAML(point, seed=3, **SMALL)
    learner.set_logger(Logger(None, [rows]))
    learner.learn(1700, callback)
    at = [steps for steps, _ in callback.evaluations]
    assert at == [576, 1152, 1728], "iterations have 288 steps: the first after each 500"

    twin, by_hand = metarl.MAML(point, seed=3, **SMALL), []
    for _ in at:
        twin.learn(576, reset_num_timesteps=False)
        by_hand.append(metarl.evaluate(twin, steps=1, seed=1, **QUICK))
    for (_, evaluation), expected in zip(callback.evaluations, by_hand, strict=True):
        np.testing.assert_array_equal(evaluation.returns, expected.returns)
    assert all(torch.equal(twin.parameters[n], p) for n, p in learner.parameters.items())

    after = [evaluation.returns[0, :, -1].mean() for evaluation in by_hand]
    assert callback.best_return == pytest.approx(max(after))
    assert metarl.load(best).num_timesteps == at[int(np.argmax(after))]
    logged = {steps: row for steps, row in rows.rows if "eval/return_after" in row}
    assert [logged[steps]["eval/return_after"] for steps in at] == pytest.approx(after)
    assert logged[576]["eval/gain"] == pytest.approx(by_hand[0].gain.mean)
    assert logged[576]["eval/return_before"] == pytest.approx(by_hand[0].returns[..., 0].mean())


def test_the_verdict_is_printed_if_asked(learner: metarl.MAML, capsys: pytest.CaptureFixture[str]):
    task = {"x": 0.25, "y": 0.25}
    learner.learn(1, metarl.EvaluateCallback(every=1, tasks=task, rollouts=3, verbose=1))
    assert "288 environment steps: Adaptation" in capsys.readouterr().out


def test_bad_settings_are_refused_when_it_is_made():
    for every in (0, 2.5, "a"):
        with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
            metarl.EvaluateCallback(every=every)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no setting 'step'; did you mean steps"):
        metarl.EvaluateCallback(every=1, step=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": 0}, "at least .* needed, got 0"),
        ({"tasks": {"z": 1.0}}, "z"),
        ({"tasks": "no.csv"}, r"no\.csv"),
        ({"split": "tset"}, "split"),
        ({"best": "."}, "best must be a file"),
        ({"best": "/proc/none/best.safetensors"}, "/proc/none"),
    ],
)
def test_what_does_not_fit_the_learner_shows_before_it_trains(
    point: envs.TaskFamily, settings: dict, message: str
):
    learner = metarl.MAML(point, **SMALL)
    with pytest.raises((ValueError, OSError), match=message):
        learner.learn(10_000, metarl.EvaluateCallback(every=5_000, **settings))
    assert learner.num_timesteps == 0
