"""Evaluation: numbers with known answers, plain words, files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import metarl
from metarl import envs
from metarl.envs import goals
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.interval import interquartile, interval
from metarl.sampling.streams import Key, Phase
from metarl.showing import figures
from tests.conftest import SMALL


def invented(returns: np.ndarray) -> Evaluation:
    """An evaluation of one run with given returns, [task, step]."""
    tasks = envs.make("Point2D").sample_tasks(len(returns), seed=0)
    return Evaluation("Point2D", "maml-trpo", tasks, returns[None], None, {})


def test_gain_is_paired_by_task():
    """Tasks differ by far more than adaptation brings; the gain's interval must not show that."""
    before = np.array([0.0, 100.0, 200.0, 300.0])
    gains = np.array([9.0, 10.0, 10.0, 11.0])
    evaluation = invented(np.stack([before, before + gains], axis=1))
    assert evaluation.gain.mean == pytest.approx(10.0)
    low, high = stats.ttest_rel(evaluation.returns[0, :, 1], before).confidence_interval(0.95)
    assert (evaluation.gain.low, evaluation.gain.high) == pytest.approx((low, high))
    assert evaluation.helps
    assert "Adaptation helps: gain 10.0" in str(evaluation)


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ([10.0, 11.0, 9.0], "Adaptation helps"),
        ([10.0, -11.0, 9.0], "NOT shown to help (the interval includes 0)"),
        ([-10.0, -11.0, -9.0], "Adaptation HURTS"),
    ],
)
def test_says_plainly_whether_adaptation_helped(gains: list[float], words: str):
    verdict = invented(np.stack([np.zeros(3), gains], axis=1)).verdict()
    assert words in verdict


def test_returns_are_those_of_the_adaptation(learner: metarl.MAML):
    """With one task's worth of arithmetic by hand: means over rollouts, one row a task."""
    tasks = learner.family.sample_tasks(3, seed=5, split="test")
    evaluation = metarl.evaluate(learner, tasks=3, rollouts=20, steps=2, seed=5)
    assert evaluation.tasks == tasks
    assert evaluation.returns.shape == (1, 3, 3)
    # the first stage can be recomputed: a point's return is minus its distances from the goal
    first = next(learner.adaptation(tasks, 20, [0.5], Key(5, Phase.EVALUATE)))
    path = first.rollouts.observations.double().numpy()
    path = np.concatenate([path[:, :, 1:], first.rollouts.final_observations[:, :, None]], axis=2)
    target = np.stack([tasks["x"], tasks["y"]], axis=1)[:, None, None]
    distance = np.linalg.norm(path - target, axis=-1)
    expected = -(distance * first.rollouts.valid.numpy()).sum(2).mean(1)
    np.testing.assert_allclose(evaluation.returns[0, :, 0], expected, rtol=1e-5)


def test_every_step_starts_from_the_same_states_with_other_exploration():
    learner = metarl.MAML(envs.make("HalfCheetahVel", horizon=5), **SMALL)
    tasks = learner.family.sample_tasks(2, seed=0, split="test")
    stages = list(learner.adaptation(tasks, 3, [0.1, 0.1], Key(0, Phase.EVALUATE)))
    starts = [stage.rollouts.observations[:, :, 0] for stage in stages]
    assert starts[0].equal(starts[1])
    assert starts[0].equal(starts[2])
    assert len(np.unique(starts[0].numpy().reshape(6, -1), axis=0)) == 6
    assert not stages[0].rollouts.actions.equal(stages[1].rollouts.actions)


def test_says_how_many_tasks_there_are():
    evaluation = invented(np.zeros((3, 2)))
    assert evaluation.sample == "3 test tasks"
    two = Evaluation(
        "AntDir",
        "maml-trpo",
        envs.make("AntDir").sample_tasks(9, seed=0),
        np.zeros((1, 9, 2)),
        None,
        {},
    )
    assert two.sample == "9 draws of 2 test tasks"


def test_is_reproducible_and_leaves_the_learner_alone(learner: metarl.MAML):
    before = {name: value.clone() for name, value in learner.parameters.items()}
    first = metarl.evaluate(learner, tasks=3, rollouts=4, steps=1, seed=1)
    again = metarl.evaluate(learner, tasks=3, rollouts=4, steps=1, seed=1)
    other = metarl.evaluate(learner, tasks=3, rollouts=4, steps=1, seed=2)
    np.testing.assert_array_equal(first.returns, again.returns)
    assert not np.array_equal(first.returns, other.returns)
    assert all(value.equal(before[name]) for name, value in learner.parameters.items())


def test_few_rollouts_are_scored_by_twenty_others(learner: metarl.MAML):
    """However few rollouts a step learns from, policies are compared from the same starts."""
    from_two = metarl.evaluate(learner, tasks=3, rollouts=2, steps=1)
    from_three = metarl.evaluate(learner, tasks=3, rollouts=3, steps=1)
    np.testing.assert_array_equal(from_two.returns[..., 0], from_three.returns[..., 0])
    assert not np.array_equal(from_two.returns[..., 1], from_three.returns[..., 1])
    stages = list(learner.adaptation(from_two.tasks, 2, [0.5], Key(0, Phase.EVALUATE)))
    key = Key(0, Phase.EVALUATE, iteration=1, step=1)
    scored = learner.sample(from_two.tasks, stages[1].parameters, 20, key)
    expected = scored.returns.double().mean(1)
    np.testing.assert_array_equal(from_two.returns[0, :, 1], expected)


def test_a_published_protocol_judges_few_rollouts_of_the_most_likely_actions(
    learner: metarl.MAML,
):
    evaluation = metarl.evaluate(
        learner, tasks=3, rollouts=4, steps=1, scored=3, deterministic=True
    )
    stages = list(learner.adaptation(evaluation.tasks, 4, [0.5], Key(0, Phase.EVALUATE)))
    for step, stage in enumerate(stages):
        key = Key(0, Phase.EVALUATE, iteration=1, step=step)
        scored = learner.sample(evaluation.tasks, stage.parameters, 3, key, deterministic=True)
        expected = scored.returns.double().mean(1)
        np.testing.assert_array_equal(evaluation.returns[0, :, step], expected)
    assert evaluation.settings["scored"] == 3


def test_several_runs_are_taken_together(point: envs.TaskFamily):
    runs = [metarl.MAML(point, **{**SMALL, "seed": seed}) for seed in range(3)]
    together = metarl.evaluate(runs, tasks=4, rollouts=20, steps=1)
    assert together.returns.shape == (3, 4, 2)
    for run, learner in enumerate(runs):
        alone = metarl.evaluate(learner, tasks=4, rollouts=20, steps=1)
        np.testing.assert_array_equal(together.returns[run], alone.returns[0])
    means = together.returns.mean(1)
    assert together.curve()[1] == pytest.approx(interval(means[:, 1]))
    assert together.gain == pytest.approx(interval(means[:, 1] - means[:, 0]))
    assert together.settings["trained_seeds"] == [0, 1, 2]
    assert ", 3 runs." in together.verdict()
    other = metarl.MAML(envs.make("Point2D", horizon=13), **SMALL)
    with pytest.raises(ValueError, match="may differ in seed only: horizon is 12 and 13"):
        metarl.evaluate([runs[0], other], tasks=4)
    other = metarl.MAML("HalfCheetahVel", **SMALL)
    together = "^runs of Point2D and HalfCheetahVel cannot be evaluated together$"
    with pytest.raises(ValueError, match=together):
        metarl.evaluate([runs[0], other], tasks=4)
    with pytest.raises(ValueError, match=r"averaged must differ in seed; two of them have 1$"):
        metarl.evaluate([*runs, runs[1]], tasks=4)


def test_several_runs_on_one_task_have_a_figure_too(point: envs.TaskFamily, tmp_path: Path):
    """What was seen of the task is a mean over rollouts then, as intervals are over runs."""
    settings = {**SMALL, "algorithm": "siamese", "rollouts": 4}
    runs = [metarl.MAML(point, **settings, seed=seed) for seed in range(2)]
    evaluation = metarl.evaluate(runs, tasks={"x": 0.1, "y": 0.2}, rollouts=3)
    assert evaluation.seen is not None
    assert {values.shape for values in evaluation.seen.values()} == {(2, 1)}
    for run, learner in enumerate(runs):
        alone = metarl.evaluate(learner, tasks={"x": 0.1, "y": 0.2}, rollouts=3)
        assert alone.seen is not None
        for words, values in alone.seen.items():
            assert evaluation.seen[words][run] == pytest.approx(values.mean())
    assert figures.save(evaluation, tmp_path)[-1].is_file()


def test_one_rollout_of_one_task_has_no_interval(learner: metarl.MAML):
    with pytest.raises(ValueError, match="one rollout of one task has no interval"):
        metarl.evaluate(learner, tasks=1, rollouts=1, scored=1)
    with pytest.raises(ValueError, match="one rollout of one task has no interval"):
        metarl.evaluate(learner, tasks=1, rollouts=20, scored=1, deterministic=True)
    assert metarl.evaluate(learner, tasks=2, rollouts=1, scored=1, steps=1).returns.shape[1] == 2


@pytest.mark.parametrize("runs", ["runs/x", Path("runs/x"), ["runs/x"]])
def test_a_learner_is_asked_for_where_its_folder_is_given(runs: Any):
    with pytest.raises(
        TypeError, match=r"a learner is asked for, got 'runs/x': metarl\.load\('runs/x'\)"
    ):
        metarl.evaluate(runs)
    with pytest.raises(TypeError, match=r"a learner is asked for, .* returns, got 3"):
        metarl.evaluate(3)  # type: ignore[arg-type]


def test_the_worst_tasks_are_named():
    evaluation = invented(np.array([[0.0, 5.0], [0.0, -7.0], [0.0, 3.0], [0.0, -9.0]]))
    first, second, third = evaluation.worst()
    assert first == (evaluation.tasks.label(3), -9.0)
    assert second == (evaluation.tasks.label(1), -7.0)
    assert third[1] == 3.0
    assert f"Worst after the last step: {evaluation.tasks.label(3)} (-9.0)" in str(evaluation)


def test_success_is_told_where_the_goal_says_when():
    """A point that starts within reach of every goal, and one that never gets anywhere."""
    near = envs.make("Point2DSparse", horizon=1)
    learner = metarl.MAML(near, **SMALL)
    tasks = near.sample_tasks(2, seed=0)
    evaluation = metarl.evaluate(learner, tasks=tasks, rollouts=2, steps=1)
    assert evaluation.success is not None
    assert (evaluation.success == 0.0).all()
    assert "success" in str(evaluation)
    goal = goals.position_on_half_circle(1.0, 3.0)
    everywhere = metarl.MAML(near.replace(goal=goal), **SMALL)
    evaluation = metarl.evaluate(everywhere, tasks=tasks, rollouts=2, steps=1)
    assert (evaluation.success == 1.0).all()
    assert evaluation.to_dict()["per_task"][0]["success"] == [1.0, 1.0]
    plain = metarl.MAML(envs.make("Point2D", horizon=3), **SMALL)
    assert metarl.evaluate(plain, tasks=2, rollouts=2, steps=1).success is None


def test_halving_applies_after_the_first_step(learner: metarl.MAML):
    plain = metarl.evaluate(learner, tasks=2, rollouts=4, steps=3)
    halved = metarl.evaluate(learner, tasks=2, rollouts=4, steps=3, halve=True)
    assert plain.settings["inner_lrs"] == [0.5, 0.5, 0.5]
    assert halved.settings["inner_lrs"] == [0.5, 0.25, 0.25]
    np.testing.assert_array_equal(plain.returns[..., :2], halved.returns[..., :2])
    assert not np.array_equal(plain.returns[..., 2], halved.returns[..., 2])


def test_writes_every_number(learner: metarl.MAML, tmp_path: Path):
    evaluation = metarl.evaluate(learner, tasks=3, rollouts=4, steps=2)
    numbers, table = evaluation.save(tmp_path)
    data = json.loads(numbers.read_text())
    assert data["family"] == "Point2D"
    assert data["algorithm"] == "maml-trpo"
    assert [entry["step"] for entry in data["returns"]] == [0, 1, 2]
    for column, entry in zip(evaluation.returns[0].T, data["returns"], strict=True):
        expected = interval(column)
        assert entry["mean"] == pytest.approx(column.mean())
        assert entry["ci95"] == pytest.approx([expected.low, expected.high])
        assert entry["interquartile"] == interquartile(column[None]).to_dict()
    gain = interval(evaluation.returns[0, :, 2] - evaluation.returns[0, :, 0])
    assert data["gain"]["mean"] == pytest.approx(gain.mean)
    assert data["gain"]["ci95"] == pytest.approx([gain.low, gain.high])
    assert len(data["per_task"]) == 3
    assert data["per_task"][1]["task"] == evaluation.tasks[1]
    assert data["per_task"][1]["returns"] == pytest.approx(evaluation.returns[0, 1])
    assert data["settings"]["versions"]["torch"]
    header, *rows = table.read_text().splitlines()
    assert header == "run,x,y,return_0,return_1,return_2"
    cells = [float(cell) for cell in rows[2].split(",")]
    assert cells == pytest.approx([0, *evaluation.tasks.values[2], *evaluation.returns[0, 2]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": 0}, "at least 1 task is needed, got 0"),
        ({"rollouts": 0}, "rollouts must be a whole number of at least 1, got 0"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"tasks": {"x": 0.1, "y": 0.1}, "seed": -1}, "seed must be a whole number of at least 0"),
        ({"split": "held-out"}, "split must be one of train, test, extrapolate"),
    ],
)
def test_bad_input_is_named(learner: metarl.MAML, settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        metarl.evaluate(learner, **settings)


def test_a_family_without_an_outside_says_so():
    learner = metarl.MAML("HalfCheetahDir", **SMALL)
    with pytest.raises(ValueError, match="HalfCheetahDir declares no range outside"):
        metarl.evaluate(learner, split="extrapolate")


def test_a_misspelt_setting_is_named(learner: metarl.MAML):
    with pytest.raises(TypeError, match=r"no setting 'step'; did you mean steps"):
        metarl.evaluate(learner, step=2)  # type: ignore[call-arg]


class StoppedError(Exception):
    """What a test stops an evaluation with."""


def test_an_evaluation_that_was_stopped_goes_on_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of three runs with memories, in the middle of the second; each is adapted once in all."""
    family = envs.make("Point2D", horizon=12)
    settings = {**SMALL, "rollouts": 4, "algorithm": "siamese"}
    runs = [metarl.MAML(family, seed=seed, **settings) for seed in (1, 2, 3)]
    asked: dict[str, Any] = {"tasks": 3, "rollouts": 4, "steps": 2}
    whole = metarl.evaluate(runs, **asked)
    adapted, path = [], tmp_path / "partial.safetensors"
    adaptation = metarl.MAML.adaptation

    def counted(learner: metarl.MAML, *arguments):
        adapted.append(learner.config.seed)
        if adapted == [1, 2]:
            raise StoppedError
        return adaptation(learner, *arguments)

    monkeypatch.setattr(metarl.MAML, "adaptation", counted)
    with pytest.raises(StoppedError), metarl.PartialResults(path) as partial:
        metarl.evaluate(runs, partial=partial, **asked)
    with metarl.PartialResults(path) as partial:
        resumed = metarl.evaluate(runs, partial=partial, **asked)
    assert adapted == [1, 2, 2, 3]
    assert not path.exists()
    assert resumed.to_dict() == whole.to_dict()
    assert str(resumed) == str(whole)
    np.testing.assert_array_equal(resumed.returns, whole.returns)


@pytest.mark.parametrize(
    ("other", "words"),
    [({"seed": 1}, "tasks, settings"), ({"steps": 1}, "settings"), ({"halve": True}, "settings")],
)
def test_numbers_of_other_settings_are_not_taken(
    learner: metarl.MAML, tmp_path: Path, other: dict, words: str
):
    path = tmp_path / "partial.safetensors"
    asked: dict[str, Any] = {"tasks": 2, "rollouts": 3, "steps": 2}
    metarl.evaluate(learner, partial=metarl.PartialResults(path), **asked)
    with pytest.warns(UserWarning, match=f"is from an earlier call with other {words}: its"):
        there = metarl.evaluate(learner, partial=metarl.PartialResults(path), **asked | other)
    assert there.to_dict() == metarl.evaluate(learner, **asked | other).to_dict()


def test_numbers_of_another_checkpoint_are_not_taken(learner: metarl.MAML, tmp_path: Path):
    path = tmp_path / "partial.safetensors"
    asked: dict[str, Any] = {"tasks": 2, "rollouts": 3, "steps": 1}
    metarl.evaluate(learner, partial=metarl.PartialResults(path), **asked)
    learner.learn(100)
    with pytest.warns(UserWarning, match="is from an earlier call with other checkpoint: its"):
        there = metarl.evaluate(learner, partial=metarl.PartialResults(path), **asked)
    assert there.to_dict() == metarl.evaluate(learner, **asked).to_dict()
