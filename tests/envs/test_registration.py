"""Every family is in Gymnasium's registry, as one environment and as a vector of them."""

import gymnasium
import pytest

from metarl import envs
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.gymnasium_vector import TaskVectorEnv


def test_the_registry_has_the_catalogue():
    registered = {name for name in gymnasium.registry if name.startswith("metarl/")}
    assert registered == {f"metarl/{name}-v0" for name in envs.families()}


@pytest.mark.parametrize("name", ["Point2D", "HalfCheetahVel"])
def test_ids_make_both_kinds(name: str):
    single = gymnasium.make(f"metarl/{name}-v0", horizon=7).unwrapped
    assert isinstance(single, TaskEnv)
    assert (single.family.name, single.family.horizon) == (name, 7)
    vector = gymnasium.make_vec(f"metarl/{name}-v0", num_envs=3).unwrapped
    assert isinstance(vector, TaskVectorEnv)
    assert (vector.family.name, vector.num_envs) == (name, 3)
