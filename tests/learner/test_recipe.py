"""The words of the settings become functions: which ones, and what stands for a family."""

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.algorithms import losses
from metarl.algorithms.objective import Terms
from metarl.algorithms.trust_region import TrustRegion
from metarl.envs import ForeignFamily, Tasks
from metarl.envs.distributions import Uniform
from metarl.experience.advantages import prepare
from metarl.learner.config import Config
from metarl.learner.recipe import Recipe, device_of, known_family
from tests.conftest import SMALL
from tests.experience.test_advantages import rollouts

CPU = torch.device("cpu")


def recipe(**settings: Any) -> Recipe:
    return Recipe(Config.of({**SMALL, **settings}), CPU)


def test_a_family_is_named_or_given(point: envs.TaskFamily):
    assert known_family("Point2D").describe() == envs.make("Point2D").describe()
    assert known_family(point) is point
    foreign = ForeignFamily(
        "P", lambda: gymnasium.make("Pendulum-v1"), lambda *_: None, (Uniform("m", 0, 1),), 9
    )
    assert known_family(foreign) is foreign


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda: gymnasium.make("Pendulum-v1"), "got one environment .*metarl.envs.ForeignFamily"),
        (lambda: gymnasium.make("metarl/Point2D-v0"), "give the name of a family"),
        (lambda: gymnasium.make_vec("Pendulum-v1", num_envs=2), "got one environment"),
        (lambda: envs.TaskFamily, "got the class TaskFamily: make one of it"),
        (lambda: lambda: envs.make("Point2D"), "got a function: call it"),
        (lambda: None, "a name such as 'HalfCheetahVel', .* got None"),
        (lambda: 3, "got 3"),
        (lambda: Tasks(("x",), np.zeros((1, 1))), "a family is asked for: a name"),
    ],
)
def test_what_is_no_family_is_refused_in_a_line(family, message: str):
    with pytest.raises(TypeError, match=message) as raised:
        metarl.MAML(family())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "task", [3, 1.2, "x=1", None, [0.1, 0.2], [{"x": 0.1, "y": 0.1}], ("x", "y")]
)
def test_adapt_takes_a_task_by_name(learner: metarl.MAML, task: Any):
    with pytest.raises(
        TypeError, match=r"a task of Point2D is \{'x': \.\.\., 'y': \.\.\.\}"
    ) as raised:
        learner.adapt(task)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="parameter x must be a number, got 'far'"):
        learner.adapt({"x": "far", "y": 0.0})  # type: ignore[dict-item]


def test_the_policy_has_the_sizes_of_the_family_and_the_settings(point: envs.TaskFamily):
    state = recipe(hidden=(5, 7), normalise_observations=False).initial_state(point)
    shapes = {name: tuple(value.shape) for name, value in state.parameters.items()}
    assert [shapes[f"weight{layer}"] for layer in range(3)] == [(2, 5), (5, 7), (7, 2)]
    assert shapes["log_std"] == (2,)
    assert state.policy.normaliser is None
    assert (state.iteration, state.num_timesteps, state.optimiser) == (0, 0, {})
    cavia = recipe(algorithm="cavia", context_size=3).initial_state(point)
    assert (cavia.policy.context_size, state.policy.context_size) == (3, 0)


def test_initial_parameters_depend_on_the_seed_alone(point: envs.TaskFamily):
    first, same = (recipe(seed=4).initial_state(point).parameters for _ in range(2))
    other = recipe(seed=5).initial_state(point).parameters
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["weight0"], other["weight0"])


def test_a_learner_has_the_rate_of_every_parameter_only_if_it_learns_them(
    point: envs.TaskFamily,
):
    assert not any("rate" in name for name in recipe().initial_state(point).parameters)
    for settings in ({"algorithm": "meta-sgd"}, {"learned_rates": True}):
        parameters = recipe(**settings).initial_state(point).parameters
        rates = {name: value for name, value in parameters.items() if name.startswith("rate_")}
        assert len(rates) == 5
        assert all((rate == 1.0).all() for rate in rates.values())


def test_inner_losses_are_those_of_the_table():
    for name, loss in losses.INNER_LOSSES.items():
        assert recipe(inner_loss=name).inner(0.1).loss is loss


def test_devices_are_known_or_refused():
    assert device_of("cpu") == CPU
    assert device_of("auto").type in ("cpu", "cuda")
    for name in ("cuda:99", "hpu"):
        with pytest.raises(ValueError, match=f"device {name!r} cannot be used") as told:
            device_of(name)
        assert str(told.value).isprintable()
    for name in ("gpu", "", "meta", "\x1b[31m\nx"):
        allowed = f"device must be auto, cpu, cuda or cuda:N, got {name!r}"
        with pytest.raises(ValueError, match=re.escape(allowed)) as told:
            device_of(name)
        assert str(told.value).isprintable()


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="torch has MPS here")
@pytest.mark.parametrize("name", ["mps", "xla"])
def test_a_device_that_torch_was_built_without_is_named(name: str):
    reason = f"device '{name}' cannot be used: this build of torch has no {name.upper()}$"
    with pytest.raises(ValueError, match=reason):
        device_of(name)


def test_a_device_without_double_precision_is_refused(monkeypatch: pytest.MonkeyPatch):
    """As torch refuses it on a Mac."""

    def empty(*_: Any, dtype: torch.dtype = torch.float32, **__: Any) -> None:
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.raises(ValueError, match="device 'mps' cannot be used: advantages need float64"):
        device_of("mps")


@pytest.mark.parametrize(
    ("steps", "halve", "expected"),
    [
        (0, True, []),
        (1, True, [0.5]),
        (3, False, [0.5, 0.5, 0.5]),
        (3, True, [0.5, 0.25, 0.25]),
    ],
)
def test_the_step_size_is_halved_once_after_the_first_step(
    steps: int, halve: bool, expected: list[float]
):
    assert Recipe(Config(inner_lr=0.5), CPU).inner_lrs(steps, halve=halve) == expected


def test_gradient_steps_follow_what_a_context_tells():
    siamese = Recipe(Config(inner_lr=0.5, algorithm="siamese", context="siamese"), CPU)
    assert siamese.inner_lrs(1) == [0.0]
    assert siamese.inner_lrs(4, halve=True) == [0.0, 0.5, 0.25, 0.25]
    both = Recipe(Config(inner_lr=0.5, context="siamese"), CPU)
    assert both.inner_lrs(2) == [0.5, 0.5], "MAML is trained with a gradient in its first step"


def test_a_context_makes_room_in_what_the_policy_sees():
    family = envs.make("Point2D")
    plain, seeing = (
        Recipe(Config(context=context, embedding_size=5), CPU).initial_state(family)
        for context in ("none", "siamese")
    )
    assert plain.memory is None
    assert seeing.memory is not None
    assert seeing.memory.context_size == 5
    sizes = [len(state.parameters["weight0"]) for state in (plain, seeing)]
    assert sizes == [family.observation_size, family.observation_size + 5]
    assert seeing.policy.normaliser is not None
    assert len(seeing.policy.normaliser.mean) == sizes[1]


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        (
            {
                "algorithm": "promp",
                "clip_ratio": 0.2,
                "inner_kl_penalty": 0.7,
                "entropy_bonus": 0.1,
            },
            Terms(0.2, 0.7, 0.0, 0.1),
        ),
        ({"algorithm": "e-maml", "exploration_weight": 0.3}, Terms(exploration_weight=0.3)),
        ({"clip_ratio": 0.2, "inner_kl_penalty": 0.7, "exploration_weight": 0.3}, Terms()),
    ],
)
def test_settings_reach_the_outer_loss(settings: dict, terms: Terms):
    assert Recipe(Config.of(settings), CPU).terms == terms


@pytest.mark.parametrize(
    ("settings", "keywords"),
    [
        ({"algorithm": "maml-vpg", "outer_lr": 0.3, "outer_epochs": 7}, {"lr": 0.3, "epochs": 1}),
        ({"algorithm": "promp", "outer_lr": 0.3, "outer_epochs": 7}, {"lr": 0.3, "epochs": 7}),
        ({"algorithm": "reptile", "interpolation": 0.3}, {"rate": 0.3}),
        (
            {
                "max_kl": 0.1,
                "cg_iterations": 2,
                "cg_damping": 0.3,
                "backtrack_ratio": 0.4,
                "max_backtracks": 5,
            },
            {"settings": TrustRegion(0.1, 2, 0.3, 0.4, 5)},
        ),
    ],
)
def test_settings_reach_the_outer_step(settings: dict, keywords: dict):
    step: Any = Recipe(Config.of(settings), CPU).outer_step
    assert step.keywords == keywords


def test_settings_reach_the_advantages():
    data = rollouts()
    data.continued[0, 1] = True
    settings = {"discount": 0.9, "gae_lambda": 0.3, "reward_scale": 2.0, "changes": 0.1}
    settings |= {"normalise_advantages": False, "algorithm": "siamese"}
    expected = prepare(data, 0.9, 0.3, normalise=False, reward_scale=2.0, tasks_change=True)
    found = Recipe(Config.of(settings), CPU).prepare(data)
    torch.testing.assert_close(found.advantages, expected.advantages)
