"""The policy network and the actor around it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from metarl.agents import Actor, GaussianPolicy
from metarl.agents.normaliser import Normaliser


@pytest.fixture
def policy() -> GaussianPolicy:
    return GaussianPolicy(4, 2, hidden=(8, 5))


def initial(policy: GaussianPolicy, seed: int = 0) -> dict[str, torch.Tensor]:
    return policy.initial(torch.Generator().manual_seed(seed))


def test_equals_a_torch_network(policy: GaussianPolicy):
    parameters = initial(policy)
    linears = [nn.Linear(4, 8), nn.Linear(8, 5), nn.Linear(5, 2)]
    for layer, linear in enumerate(linears):
        linear.weight.data = parameters[f"weight{layer}"].T
        linear.bias.data = torch.randn(linear.bias.shape)
        parameters[f"bias{layer}"] = linear.bias.data
    network = nn.Sequential(linears[0], nn.Tanh(), linears[1], nn.Tanh(), linears[2])
    observation = torch.randn(3, 6, 4)
    torch.testing.assert_close(policy(parameters, observation).mean, network(observation))


def test_a_task_axis_evaluates_each_tasks_network(policy: GaussianPolicy):
    tasks = [initial(policy, seed) for seed in range(3)]
    stacked = {name: torch.stack([task[name] for task in tasks]) for name in tasks[0]}
    observation = torch.randn(3, 6, 4)
    together = policy(stacked, observation)
    for index, parameters in enumerate(tasks):
        torch.testing.assert_close(
            together.mean[index], policy(parameters, observation[index]).mean
        )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 20)])
def test_acting_is_the_mean_in_numpy(activation: str, hidden: tuple[int, ...]):
    normaliser = Normaliser.new(4).updated(5.0 + 2.0 * torch.randn(50, 4))
    policy = GaussianPolicy(
        4, 2, hidden, activation, context_size=3 if hidden else 0, normaliser=normaliser
    )
    common = initial(policy)
    if hidden:
        common["context"] = torch.randn(3)
    per_task = {name: value + 0.1 * torch.randn(5, *value.shape) for name, value in common.items()}
    observation = 9.0 * torch.randn(5, 7, 4)
    before = observation.clone()
    for parameters, seen in (
        (common, observation[0]),
        (common, observation),
        (per_task, observation),
    ):
        actual = policy.acting(parameters)(seen.numpy())
        assert actual.dtype == np.float32
        torch.testing.assert_close(torch.from_numpy(actual), policy(parameters, seen).mean)
    assert torch.equal(observation, before)


def test_a_small_gain_begins_with_actions_around_0():
    plain, quiet = (initial(GaussianPolicy(4, 2, (8,), initial_gain=g)) for g in (1.0, 0.01))
    torch.testing.assert_close(quiet["weight1"], 0.01 * plain["weight1"])
    assert all(torch.equal(quiet[name], plain[name]) for name in plain if name != "weight1")


def test_new_policies_have_the_std_asked_for_and_never_less_than_the_floor():
    policy = GaussianPolicy(4, 2, initial_std=0.5, min_std=0.1)
    parameters = initial(policy)
    torch.testing.assert_close(policy.std(parameters), torch.full((2,), 0.5))
    parameters["log_std"] = torch.tensor([-9.0, 0.0])
    torch.testing.assert_close(policy.std(parameters), torch.tensor([0.1, 1.0]))
    log_std = policy(parameters, torch.zeros(1, 4)).log_std
    torch.testing.assert_close(log_std, torch.tensor([[math.log(0.1), 0.0]]))


def test_initial_parameters_depend_on_the_seed_only(policy: GaussianPolicy):
    torch.manual_seed(1)
    first = initial(policy)
    torch.manual_seed(2)
    second = initial(policy)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["weight0"], initial(policy, 1)["weight0"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "gelu"}, "activation must be one of tanh, relu, got 'gelu'"),
        ({"min_std": 2.0}, "0 < min_std <= initial_std, got 2.0 and 1.0"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        GaussianPolicy(4, 2, **settings)


def test_actor_predicts_one_or_many_like_a_stable_baselines_model(policy: GaussianPolicy):
    actor = Actor(policy, initial(policy))
    many = np.random.default_rng(0).standard_normal((6, 4))
    actions, state = actor.predict(many, deterministic=True)
    assert actions.shape == (6, 2)
    assert actions.dtype == np.float32
    assert state is None
    one, _ = actor.predict(many[3], deterministic=True)
    np.testing.assert_allclose(one, actions[3], rtol=1e-6)


def test_actor_has_one_tasks_parameters(policy: GaussianPolicy):
    one = initial(policy)
    same = Actor(policy, {name: value[None] for name, value in one.items()})
    observation = np.ones(4)
    expected, _ = Actor(policy, one).predict(observation, deterministic=True)
    np.testing.assert_array_equal(same.predict(observation, deterministic=True)[0], expected)
    same.parameters["bias0"].add_(1.0)
    assert not one["bias0"].any(), "an actor's parameters are its own"
    with pytest.raises(ValueError, match=r"parameters of one task, got those of \[3\] tasks"):
        Actor(policy, {name: torch.stack([value] * 3) for name, value in one.items()})
    with pytest.raises(ValueError, match=r"log_std must be \[2\], got \[5\]"):
        Actor(policy, {**one, "log_std": torch.zeros(5)})


def test_actor_samples_with_the_policys_std(policy: GaussianPolicy):
    actor = Actor(policy, initial(policy), action_scale=0.1, seed=1)
    observation = np.tile(np.ones(4), (20_000, 1))
    sampled, _ = actor.predict(observation)
    mean, _ = actor.predict(observation[0], deterministic=True)
    np.testing.assert_allclose(sampled.mean(0), mean, atol=0.003)
    np.testing.assert_allclose(sampled.std(0), 0.1, atol=0.002)


def test_actor_keeps_within_the_control_range(policy: GaussianPolicy):
    actor = Actor(policy, initial(policy), action_scale=5.0)
    actions, _ = actor.predict(np.random.default_rng(0).standard_normal((50, 4)))
    assert np.abs(actions).max() == 1.0


@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 1, 4)])
def test_actor_refuses_other_shapes(policy: GaussianPolicy, shape: tuple[int, ...]):
    actor = Actor(policy, initial(policy))
    with pytest.raises(ValueError, match=r"an observation must be \[4\] or \[n, 4\]"):
        actor.predict(np.zeros(shape))


def test_a_context_is_more_of_the_observation():
    """CAVIA: the same network over the observation with the context beside it."""
    narrow = GaussianPolicy(3, 2, hidden=(8,), context_size=2)
    wide = GaussianPolicy(5, 2, hidden=(8,))
    parameters = initial(narrow)
    context = torch.tensor([0.7, -1.2])
    joined = {**parameters}
    joined["weight0"] = torch.cat([joined["weight0"], joined.pop("context_weight")])
    observation = torch.randn(6, 3)
    beside = torch.cat([observation, context.expand(6, 2)], dim=1)
    actual = narrow({**parameters, "context": context}, observation).mean
    torch.testing.assert_close(actual, wide(joined, beside).mean)
    without = narrow(parameters, observation).mean
    zero = narrow({**parameters, "context": torch.zeros(2)}, observation).mean
    torch.testing.assert_close(without, zero)
    assert not torch.allclose(without, actual)


def test_observations_pass_through_the_normaliser():
    normaliser = Normaliser.new(4).updated(5.0 + 2.0 * torch.randn(50, 4))
    plain, normal = (GaussianPolicy(4, 2, hidden=(8,), normaliser=n) for n in (None, normaliser))
    parameters, observation = initial(plain), torch.randn(6, 4)
    expected = plain(parameters, normaliser(observation)).mean
    torch.testing.assert_close(normal(parameters, observation).mean, expected)
