"""`Pictures`: the camera's own view of each simulation, with its body and its task."""

from contextlib import closing

import numpy as np
import pytest

from metarl import envs
from metarl.envs.drawing import camera
from metarl.envs.episodes import Episodes
from metarl.envs.pictures import Pictures


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("Point2D", [{"x": 0.25, "y": 0.25}, {"x": -0.5, "y": 0.5}]),
        ("AntCrippled", [{"crippled_leg": 0.0}, {"crippled_leg": 3.0}]),
    ],
)
def test_every_simulation_is_drawn_as_it_is(name: str, tasks: list[dict[str, float]]):
    """Also after its task has changed; a camera made for it alone sees the same."""
    family = envs.make(name)
    episodes = Episodes(family, 2)
    pictures = Pictures(episodes, (64, 48))
    for order in (tasks, tasks[::-1]):
        episodes.begin(task=order)
        episodes.step(np.ones((2, family.action_size)))
        for sim, task in enumerate(order):
            with closing(camera(family, (64, 48), episodes.simulator.model(sim))) as view:
                qpos = episodes.simulator.fields["qpos"][sim]
                expected = view.take(qpos, task, family.dt)
            np.testing.assert_array_equal(pictures.take(sim), expected)
    pictures.close()
