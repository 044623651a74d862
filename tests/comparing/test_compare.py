"""What meta-learning saves: a comparison in small, and what cannot be compared."""

import json
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image

import metarl
from metarl import envs
from metarl.comparing import ppo, scoring
from metarl.comparing.compare import compare
from metarl.envs.distributions import Uniform
from metarl.showing import figures
from metarl.system.remote import Remote
from tests.conftest import SMALL

FAMILY = envs.make("Point2D", horizon=5)
module = import_module("metarl.comparing.compare")


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
    remembering = metarl.MAML(FAMILY, **settings | {"rollouts": 4}, algorithm="siamese")
    comparison = compare(
        [meta, remembering, pretrained, told],
        libraries=[library],
        others={"itself": meta},
        tasks=2,
        budget=4000,
        workers=1,
    )
    assert list(comparison.curves) == [
        "maml-trpo",
        "maml-trpo with skills",
        "siamese",
        "told the task",
        "itself",
        "gradient steps, random start",
        "PPO from pretraining",
        "PPO from scratch",
    ]
    assert comparison.curves["maml-trpo"].steps.tolist() == [0, 5, 15, 30, 45]
    assert comparison.curves["PPO from scratch"].steps.tolist() == [2000, 4000]
    for curve in comparison.curves.values():
        assert curve.returns.shape == (1, 2, len(curve.steps))
    start = comparison.curves["maml-trpo"].returns[0, :, 0]
    # all are judged from the same states: the learner itself, and by way of `predict`
    np.testing.assert_allclose(comparison.curves["itself"].returns[0, :, 0], start, rtol=1e-4)
    asked = {name: curve.asked for name, curve in comparison.curves.items() if curve.asked}
    # a gradient step is asked what it saves after the most rollouts, the others after one
    assert asked == {"maml-trpo": 2, "maml-trpo with skills": 1, "siamese": 1}
    skilled = comparison.curves["maml-trpo with skills"]
    np.testing.assert_array_equal(skilled.returns[0, :, 0], start)
    numbers, figure = figures.save(comparison, tmp_path)
    data = json.loads(numbers.read_text())
    assert data["answer"] == comparison.answer()
    assert data["curves"]["maml-trpo"]["steps"] == [0, 5, 15, 30, 45]
    with Image.open(figure) as picture:
        assert picture.size == (1200, 690)


class Here(Remote):
    """Trains PPO in this process."""

    def __init__(self, name: str, make: Callable, *arguments: object):
        self.trainer = make(*arguments)

    def __exit__(self, *_: object) -> None: ...

    def answer(self, within: float | None = None) -> None: ...


def test_a_comparison_that_was_stopped_goes_on_to_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """After each of its parts; what is kept is not made again."""
    monkeypatch.setattr(module, "ROLLOUTS", (1, 3))
    monkeypatch.setattr(ppo, "Remote", Here)
    monkeypatch.setattr(
        ppo, "spread", lambda remotes, _, jobs: (remotes[0].trainer.returns(*job) for job in jobs)
    )
    run = metarl.MAML(FAMILY, **{**SMALL, "tasks": 2})
    told = metarl.MAML(FAMILY.replace(reveals_task=True), **{**SMALL, "tasks": 2})
    asked: dict[str, Any] = {"tasks": 2, "budget": 2000, "workers": 1}
    whole = compare([run, told], **asked)
    path, add, added = tmp_path / "partial.safetensors", metarl.PartialResults.add, []

    def stopped(partial: metarl.PartialResults, name: str, *arguments):
        add(partial, name, *arguments)
        added.append(name)
        raise InterruptedError

    monkeypatch.setattr(metarl.PartialResults, "add", stopped)
    resumed = None
    while resumed is None:
        assert len(added) < 6, "what was kept is made again"
        with suppress(InterruptedError), metarl.PartialResults(path) as partial:
            resumed = compare([run, told], partial=partial, **asked)
    of_runs = ["run 0, skills 0", "told 0", "random start 0"]
    assert added == [*of_runs, "PPO 0, task 0", "PPO 0, task 1"]
    assert resumed.to_dict() == whole.to_dict()
    assert not path.exists()


class Steady:
    """Always asks for the torque 1, in the environment's own units of -2 to 2."""

    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,))

    def predict(self, observation: np.ndarray, *, deterministic: bool = False):
        return np.ones((len(observation), 1)), None


@pytest.mark.slow
def test_families_of_others_are_compared_alike(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ROLLOUTS", (1, 2))
    family = envs.ForeignFamily(
        "PendulumMass",
        lambda: gymnasium.make("Pendulum-v1"),
        lambda env, task: setattr(env.unwrapped, "m", task["mass"]),
        (Uniform("mass", 0.5, 2.0, "kg"),),
        horizon=5,
    )
    settings = {**SMALL, "tasks": 2}
    meta = metarl.MAML(family, **settings)
    pretrained = metarl.MAML(family, **settings, algorithm="pretrain")
    others = {"itself": meta, "steady": Steady()}
    comparison = compare([meta, pretrained], others=others, tasks=2, budget=2000, workers=1)
    start = comparison.curves["maml-trpo"].returns[0, :, 0]
    np.testing.assert_allclose(comparison.curves["itself"].returns[0, :, 0], start, rtol=1e-4)
    handed_on = comparison.curves["PPO from pretraining"].returns[0, :, 0]
    table = envs.Tasks.from_dicts(comparison.settings["tasks"])
    expected = scoring.policy_returns(pretrained, table, pretrained.parameters, 0)
    np.testing.assert_allclose(handed_on, expected, rtol=1e-4)
    assert comparison.curves["PPO from scratch"].steps.tolist() == [2000]
    half = [scoring.model_return(HalfOfTheRange(), family, table[i : i + 1], i, 0) for i in (0, 1)]
    steady = comparison.curves["steady"].returns[0, :, 0]
    np.testing.assert_allclose(steady, half, rtol=1e-12)


class HalfOfTheRange:
    """As `Steady`, with actions in -1 to 1."""

    def predict(self, observation: np.ndarray, *, deterministic: bool = False):
        return np.full((len(observation), 1), 0.5), None


def test_what_cannot_be_compared_is_named():
    pretrained = metarl.MAML(FAMILY, **SMALL, algorithm="pretrain")
    told = metarl.MAML(FAMILY.replace(reveals_task=True), **SMALL)
    with pytest.raises(ValueError, match=r"one run that .*got pretrain, maml-trpo \(--reveal-task"):
        compare([pretrained, told])
    other = metarl.MAML(envs.make("Point2D", horizon=6), **SMALL)
    with pytest.raises(ValueError, match=r"one and the same Point2D .*: horizon is 5 and 6$"):
        compare([metarl.MAML(FAMILY, **SMALL), other])
    noisy = metarl.MAML(FAMILY.replace(sensor_noise=0.1), **SMALL)
    with pytest.raises(ValueError, match=r"sensor_noise is None and 0\.1"):
        compare([metarl.MAML(FAMILY, **SMALL), noisy])
    cheetah = metarl.MAML(envs.make("HalfCheetahVel", horizon=5), **SMALL)
    with pytest.raises(ValueError, match="runs of Point2D and HalfCheetahVel cannot be compared"):
        compare([metarl.MAML(FAMILY, **SMALL), cheetah])
    with pytest.raises(ValueError, match="workers must be a whole number of at least 0, got -1"):
        compare([metarl.MAML(FAMILY, **SMALL)], workers=-1)
    steeper = metarl.MAML(FAMILY, **{**SMALL, "inner_lr": 0.1})
    with pytest.raises(ValueError, match=r"may differ in seed only: inner_lr is 0\.5 and 0\.1"):
        compare([metarl.MAML(FAMILY, **SMALL), steeper])
    meta = metarl.MAML(FAMILY, **SMALL)
    with pytest.raises(ValueError, match="averaged must differ in seed; two of them have 0"):
        compare([meta, meta])
    others = [{"hidden": (8,)}, {"hidden": (4,), "seed": 1}]
    others = [metarl.MAML(FAMILY, algorithm="pretrain", **{**SMALL, **each}) for each in others]
    with pytest.raises(ValueError, match="may differ in seed only: hidden is"):
        compare([meta, *others])
    remembering = metarl.MAML(FAMILY, **{**SMALL, "algorithm": "pretrain", "context": "siamese"})
    with pytest.raises(ValueError, match="pretrain that has a context cannot be fine-tuned"):
        compare([meta, remembering])
    for family, least in ((FAMILY, 2000), (envs.make("Point2D", horizon=80), 3200)):
        with pytest.raises(ValueError, match=f"budget must be at least {least} steps, got 1999"):
            compare([metarl.MAML(family, **SMALL)], budget=1999)
    for name in ("told the task", "PPO from scratch", "maml-trpo with skills"):
        with pytest.raises(ValueError, match=f"names that no method has, got {name}"):
            compare([meta], others={"mine": meta, name: meta})
    similarity = metarl.train_similarity(
        meta, tasks=10, rollouts=2, window=5, hidden=8, iterations=2
    )
    libraries = [
        metarl.SkillLibrary.build(meta, similarity, tasks=2, rollouts=2, steps=1, seed=seed)
        for seed in (0, 1)
    ]
    words = "two libraries belong to the same run, maml-trpo with seed 0: they would be averaged"
    with pytest.raises(ValueError, match=words):
        compare([meta], libraries=libraries)


def test_a_misspelt_setting_is_named():
    with pytest.raises(TypeError, match="no setting 'budgets'; did you mean budget"):
        compare([metarl.MAML(FAMILY, **SMALL)], budgets=1000)  # type: ignore[call-arg]


def test_the_random_start_takes_the_meta_learners_own_steps():
    """Those of a learner that takes gradient steps in training, else the defaults."""
    own = {"inner_lr": 0.5, "hidden": (8,), "inner_loss": "loaded-dice"}
    meta = metarl.MAML(FAMILY, **SMALL | own, seed=3, device="cpu")
    remembering = metarl.MAML(FAMILY, **SMALL | {"rollouts": 4}, algorithm="siamese", seed=3)
    new = metarl.MAML(FAMILY, **module._untrained([remembering, meta]), seed=3)
    assert new.config == meta.config
    plain = module._untrained([remembering])
    assert plain.keys() == {"threads", "workers", "device"}
    assert metarl.MAML(FAMILY, **plain).config.algorithm == "maml-trpo"
