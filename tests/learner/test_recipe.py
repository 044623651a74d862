"""The recipe: step sizes, and words that become the functions they stand for."""

import pytest
import torch

from metarl import envs
from metarl.learner.config import Config
from metarl.learner.recipe import Recipe, device_of

CPU = torch.device("cpu")


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


def test_an_unusable_device_is_named():
    with pytest.raises(ValueError, match="device 'quantum' cannot be used"):
        device_of("quantum")
