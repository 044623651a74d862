"""Checkpoints: what is written is read, and what differs is named."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import metarl
from metarl import envs
from metarl.learner import state
from tests.conftest import SMALL
from tests.envs.legged import written


def saved(learner: metarl.MAML, path: Path) -> state.Saved:
    state.write(path, learner.state, learner.family, learner.config)
    return state.read(path)


def test_what_is_written_is_read(learner: metarl.MAML, tmp_path: Path):
    learner.learn(300)
    read = saved(learner, tmp_path / "a")
    assert read.path == tmp_path / "a.safetensors"
    assert (read.iteration, read.num_timesteps) == (learner.iteration, learner.num_timesteps)
    new = metarl.MAML(learner.family, seed=9, **SMALL)
    restored = read.restore(new.state, torch.device("cpu"))
    assert list(restored.parameters) == list(new.parameters), "sums depend on the order"
    assert all(torch.equal(restored.parameters[n], p) for n, p in learner.parameters.items())
    moments = restored.policy.normaliser
    assert moments is not None
    assert learner.policy.normaliser is not None
    assert torch.equal(moments.mean, learner.policy.normaliser.mean)
    assert state.fingerprint(learner.family, restored) == learner.fingerprint


def test_the_fingerprint_changes_with_what_decides_how_it_acts(learner: metarl.MAML):
    start = state.fingerprint(learner.family, learner.state)
    later = dataclasses.replace(learner.state, iteration=5, num_timesteps=7, optimiser={})
    assert state.fingerprint(learner.family, later) == start
    bias = learner.parameters["bias0"].clone()
    bias[0] += 1e-6
    parameters = {**learner.parameters, "bias0": bias}
    moved = dataclasses.replace(learner.state, parameters=parameters)
    others = {
        state.fingerprint(learner.family, moved),
        state.fingerprint(learner.family.replace(horizon=13), learner.state),  # type: ignore[attr-defined]
    }
    assert len(others | {start}) == 3


def test_the_familys_own_changes_come_back(tmp_path: Path):
    family = envs.make("Point2D", preset="maml2017", horizon=7, action_scale=0.4)
    learner = metarl.MAML(family, **SMALL)
    assert saved(learner, tmp_path / "a").catalogue_family().describe() == family.describe()


def test_a_family_that_differs_is_refused_field_by_field(learner: metarl.MAML, tmp_path: Path):
    read = saved(learner, tmp_path / "a")
    read.check_family(learner.family)
    other = envs.make("Point2D", horizon=13, action_scale=0.5)
    with pytest.raises(ValueError, match="differs") as raised:
        read.check_family(other)
    assert "horizon was 12 and is 13" in str(raised.value)
    assert "action_scale was 1.0 and is 0.5" in str(raised.value)
    assert "preset" not in str(raised.value)


def test_other_tensors_are_refused(learner: metarl.MAML, tmp_path: Path):
    read = saved(learner, tmp_path / "a")
    wider = metarl.MAML(learner.family, **{**SMALL, "hidden": (9,)})
    with pytest.raises(ValueError, match="holds other parameters than its settings call for"):
        read.restore(wider.state, torch.device("cpu"))


def test_a_family_that_is_not_in_the_catalogue_is_asked_for(learner: metarl.MAML, tmp_path: Path):
    read = saved(learner, tmp_path / "a")
    unknown = dataclasses.replace(read, family={**read.family, "name": "Mine"})
    with pytest.raises(ValueError, match=r"trained on Mine.*pass it: load\(path, family=...\)"):
        unknown.catalogue_family()


def test_noise_of_each_number_is_that_of_the_same_family_after_a_file(tmp_path: Path):
    for noise in ((0.1, 0.2), [0.1, 0.2]):
        family = envs.make("Point2D", horizon=5, sensor_noise=noise)
        hash(family)
        metarl.MAML(family, **SMALL).save(tmp_path / "noisy")
        metarl.load(tmp_path / "noisy.safetensors", family=family)
        metarl.load(tmp_path / "noisy.safetensors")


def test_a_fingerprint_is_of_all_that_decides_actions(point: envs.TaskFamily):
    settings = {**SMALL, "rollouts": 4, "algorithm": "siamese", "normalise_observations": True}
    learner = metarl.MAML(point, seed=3, **settings)
    policy, encoder = learner.policy, learner.state.encoder
    assert policy.normaliser is not None
    assert encoder is not None
    seen = policy.normaliser.updated(torch.rand(5, policy.observation_size))
    memory = dataclasses.replace(encoder.memory, tolerance=2.0)
    changed = (
        {"policy": dataclasses.replace(policy, normaliser=seen)},
        {"encoder": dataclasses.replace(encoder, memory=memory)},
    )
    for change in changed:
        other = dataclasses.replace(learner.state, **change)
        assert state.fingerprint(point, other) != learner.fingerprint


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"servos": envs.Servos("home", stride=1.0)}, "servos"),
        ({"servos": envs.Servos("home", gains=(60.0, 1.0))}, "servos"),
        ({"physics": envs.Physics(cone="elliptic")}, "physics"),
        ({"feet": ("FL_shin",)}, "feet"),
    ],
)
def test_a_robot_with_other_servos_is_refused(tmp_path: Path, changes: dict, field: str):
    """The same action would do something else."""

    def family(**settings: Any) -> envs.TaskFamily:
        robot = envs.ServoRobot(written(tmp_path), **{"servos": envs.Servos("home"), **settings})
        goal = envs.goals.velocity_command(0.5)
        return envs.TaskFamily("dog", robot, goal, "", action_scale=1.0, horizon=10)

    read = saved(metarl.MAML(family(), **SMALL), tmp_path / "a")
    read.check_family(family())
    with pytest.raises(ValueError, match=f"differs from .*: {field} was"):
        read.check_family(family(**changes))
