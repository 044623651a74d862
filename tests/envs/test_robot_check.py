"""Robots that return the wrong thing are refused when a family is made of them."""

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import TaskFamily, dynamics, goals
from metarl.envs.robot import Array, Fields
from metarl.envs.robots import HalfCheetah
from tests.envs import rig
from tests.envs.rig import Rig

MOTORS = '<motor joint="j" ctrlrange="-1 1"/><motor joint="j" ctrlrange="-2 2"/>'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return rig.mjcf(tmp_path, MOTORS)


def changed(method: str, function: Callable) -> type[Rig]:
    return type("Mine", (Rig,), {method: function, "name": "Mine"})


@pytest.mark.parametrize(
    ("method", "function", "message"),
    [
        (
            "observe",
            lambda _, fields: np.concatenate([fields["qpos"], fields["qvel"]]),
            r"Mine.observe must return \[2, observation\] for 2 simulations, got \[4, 1\]; "
            "parts are joined along axis=1",
        ),
        (
            "observe",
            lambda _, fields: np.stack([fields["qpos"][:, 0], fields["qvel"][:, 0]]),
            r"observe must return \[3, observation\] for 3 simulations, got \[2, 3\]",
        ),
        (
            "observe",
            lambda _, fields: fields["qpos"][:, 0],
            r"observe must return \[2, observation\] for 2 simulations, got \[2\]",
        ),
        (
            "observe",
            lambda _, fields: fields["qpos"][0],
            r"observe must return \[2, observation\] for 2 simulations, got \[1\]",
        ),
        (
            "position",
            lambda _, fields: fields["qpos"][:, 0],
            r"position must return \[2, 1\] for 2 simulations, got \[2\]",
        ),
        (
            "healthy",
            lambda _, fields: (np.abs(fields["qpos"]) < 1.0).all(),
            r"healthy must return \[2\] for 2 simulations, got \[\]",
        ),
        (
            "healthy",
            lambda _, fields: np.abs(fields["qpos"]) < 1.0,
            r"healthy must return \[2\] for 2 simulations, got \[2, 1\]",
        ),
        (
            "healthy",
            lambda _, fields: (fields["qpos"][:, 0] < 9.0).astype(int),
            "Mine.healthy must return booleans, got int64: write a comparison",
        ),
        (
            "healthy",
            lambda _, fields: fields["qpos"][:, 0],
            "Mine.healthy must return booleans, got float64",
        ),
        (
            "healthy",
            lambda _, fields: fields["qpos"][:, 0] > 9.0,
            "Mine has fallen where it starts, as Mine.healthy says.*falls=False",
        ),
        (
            "start",
            lambda _, model, generator: (np.zeros((1, model.nq)), np.zeros(model.nv)),
            r"Mine.start must return \[1\], got \[1, 1\]",
        ),
        (
            "control_range",
            lambda _, model: (np.array([-1.0]), np.array([1.0])),
            r"Mine.control_range must return \[2\], got \[1\]",
        ),
        (
            "control_range",
            lambda _, model: (np.full(2, -np.inf), np.full(2, np.inf)),
            "two arrays of the same shape .* with finite numbers",
        ),
        (
            "control_range",
            lambda _, model: (np.ones(2), -np.ones(2)),
            "must return the lowest controls first",
        ),
        (
            "observe",
            lambda _, fields: np.concatenate([fields["qpos"], fields["site_xpos"][:, 0]], axis=1),
            r"Mine reads the field 'site_xpos', which it does not list: write "
            r"fields = \('qpos', 'qvel', 'ctrl', 'site_xpos'\) in the robot",
        ),
        (
            "healthy",
            lambda _, fields: fields["xpos"][:, 1, 2] > 0.5,
            "Mine reads the field 'xpos', which it does not list",
        ),
        (
            "observe",
            lambda _, fields: fields["position"],
            "Mine reads the field 'position', which MjData does not have",
        ),
        ("fields", ("qpos", "velocity"), "Mine lists the field 'velocity', which MjData does not"),
        ("root", "trunk", "no body 'trunk'.*there are: world, arm"),
        ("camera_name", "side", "the model has no camera 'side'; there are none"),
    ],
)
def test_a_robot_is_refused_with_what_it_returned(
    method: str, function: Callable, message: str, path: Path
):
    rig.family(Rig(path))
    with pytest.raises(ValueError, match=message):
        rig.family(changed(method, function)(path))


@pytest.mark.parametrize(
    "field", ["subtree_linvel", "subtree_angmom", "cacc", "cfrc_int", "energy", "qfrc_inverse"]
)
def test_a_field_that_no_step_computes_is_refused(field: str, path: Path):
    """MuJoCo's own steps leave it at 0, although the arm turns."""
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    data.qvel[:], data.ctrl[:] = 1.0, 1.0
    mujoco.mj_step(model, data, 5)
    assert not getattr(data, field).any()
    with pytest.raises(ValueError, match=f"Mine lists the field '{field}', which is not computed"):
        rig.family(changed("fields", ("qpos", "qvel", "ctrl", field))(path))  # type: ignore[arg-type]


def test_a_robot_may_lie_where_falls_end_nothing(path: Path):
    lying = changed("healthy", lambda _, fields: fields["qpos"][:, 0] > 9.0)(path)
    assert not TaskFamily("x", lying, rig.STAND_STILL, "", falls=False).falls


class Driven(Rig):
    """Reads in `drive`, which is called in a step only."""

    def drive(self, fields: Fields, control: Array) -> None:
        fields["ctrl"][:] = control - fields["actuator_velocity"]


def test_a_field_that_only_a_step_reads_is_named_too(path: Path):
    simulator = rig.family(Driven(path)).simulate(1)
    simulator.set_tasks(rig.no_tasks(1))
    simulator.reset([np.random.default_rng(0)])
    with pytest.raises(ValueError, match="reads the field 'actuator_velocity', which it does not"):
        simulator.step(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TaskFamily("x", HalfCheetah, goals.forward(), ""),  # type: ignore[arg-type]
            r"the robot is the class HalfCheetah; call it: HalfCheetah\(\)",
        ),
        (
            lambda: dynamics.rand_params(HalfCheetah),  # type: ignore[arg-type]
            r"the robot is the class HalfCheetah; call it: HalfCheetah\(\)",
        ),
        (
            lambda: dynamics.crippled_leg(HalfCheetah, (0,)),  # type: ignore[arg-type]
            r"the robot is the class HalfCheetah; call it: HalfCheetah\(\)",
        ),
        (
            lambda: TaskFamily("x", "HalfCheetah", goals.forward(), ""),  # type: ignore[arg-type]
            "must be an instance of a subclass of Robot, got 'HalfCheetah'",
        ),
    ],
)
def test_a_class_is_no_robot(call: Callable, message: str):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_path_may_be_a_string(path: Path):
    family = rig.family(Rig(str(path)), dynamics.rand_params(Rig(str(path))))
    assert family.action_size == 2
    assert family.observation_size == 2
