"""Robots of MuJoCo Menagerie: found, read, and stepped as MuJoCo itself steps them."""

import copy
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from metarl import envs
from metarl.envs import MenagerieRobot, TaskFamily, dynamics, menagerie_families
from metarl.envs.robots import menagerie
from tests.envs.legged import written

MISSING = ", ".join(menagerie_families.missing())
installed = pytest.mark.skipif(bool(MISSING), reason=f"no models for {MISSING}")
every_family = pytest.mark.parametrize("name", menagerie_families.ENTRIES)


def scale_strength(model: mujoco.MjModel, value: float) -> None:
    model.actuator_gainprm[:] *= value
    model.actuator_biasprm[:] *= value
    model.actuator_forcerange[:] *= value
    model.jnt_actfrcrange[:] *= value


def kill(model: mujoco.MjModel, value: float) -> None:
    if value >= 0:
        model.actuator_gainprm[int(value)] = model.actuator_biasprm[int(value)] = 0.0


def load(model: mujoco.MjModel, value: float) -> None:
    model.body_mass[1 if model.nq == 19 else model.body("hand").id] += value


def scale_mass(model: mujoco.MjModel, value: float) -> None:
    model.body_mass[:] *= value
    model.body_inertia[:] *= value


def tilt(model: mujoco.MjModel, value: float) -> None:
    model.opt.gravity[:] = [-9.81 * np.sin(value), 0.0, -9.81 * np.cos(value)]


def blow(model: mujoco.MjModel, value: float) -> None:
    model.opt.wind[0], model.opt.density = value, 1.2


def scaled(field: str) -> Callable[[mujoco.MjModel, float], None]:
    def edit(model: mujoco.MjModel, value: float) -> None:
        owner = model.opt if field == "gravity" else model
        getattr(owner, field)[:] *= value

    return edit


DYNAMICS: dict[str, tuple[Callable, float, Callable[[mujoco.MjModel, float], None]]] = {
    "mass": (lambda robot: dynamics.body_mass(0.5, 2.0), 1.3, scale_mass),
    "inertia": (lambda robot: dynamics.inertia(0.5, 2.0), 1.7, scaled("body_inertia")),
    "friction": (lambda robot: dynamics.friction(0.3, 3.0), 0.4, scaled("geom_friction")),
    "damping": (lambda robot: dynamics.joint_damping(0.1, 2.0), 0.2, scaled("dof_damping")),
    "strength": (lambda robot: dynamics.motor_strength(0.3, 2.0), 0.4, scale_strength),
    "gravity": (lambda robot: dynamics.gravity(0.5, 2.0), 0.6, scaled("gravity")),
    "slope": (lambda robot: dynamics.ground_slope(0.3), -0.2, tilt),
    "wind": (lambda robot: dynamics.wind(20.0), 12.0, blow),
    "payload": (
        lambda robot: dynamics.payload(5.0, body=robot.base if robot.walks else "hand"),
        3.0,
        load,
    ),
    "a dead motor": (lambda robot: dynamics.dead_actuator((-1, 2)), 2.0, kill),
}


def stepped_apart(
    family: TaskFamily, model: mujoco.MjModel, qpos: np.ndarray, actions: np.ndarray
) -> np.ndarray:
    """The states that plain MuJoCo reaches with these actions, [step, nq + nv]."""
    data = mujoco.MjData(model)
    mujoco.mj_setConst(model, data)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    home, stride = data.ctrl.copy(), family.robot.control_range(model)[1]
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    states = []
    for action in actions:
        data.ctrl[: len(stride)] = home[: len(stride)] + stride * action
        mujoco.mj_step(model, data, nstep=family.robot.frame_skip)
        states.append(np.concatenate([data.qpos, data.qvel]))
    return np.array(states)


@installed
@pytest.mark.parametrize("varied", DYNAMICS)
@pytest.mark.parametrize("name", ["Go1Vel", "PandaReach"])
def test_servos_step_as_mujoco_does(name: str, varied: str):
    """To the last bit, whatever varies in the body, beside a body that does not vary."""
    make, value, edit = DYNAMICS[varied]
    plain = envs.make(name, action_scale=1.0)
    varies = make(plain.robot)
    family = plain.replace(dynamics=(varies,))
    (parameter,) = varies.distributions[0].names
    neutral = {"payload": 0.0, "slope": 0.0, "wind": 0.0, "dead_actuator": -1.0}
    values = [neutral.get(parameter, 1.0), value]
    tasks = family.sample_tasks(2, seed=0)
    columns = {**{n: tasks[n] for n in tasks.names}, parameter: np.array(values)}
    simulator = family.simulate(2, threads=1)
    rows = [{n: float(column[sim]) for n, column in columns.items()} for sim in range(2)]
    simulator.set_tasks(envs.Tasks.from_dicts(rows))
    simulator.reset([np.random.default_rng(sim) for sim in range(2)])
    starts = simulator.fields["qpos"].copy()
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (10, 2, family.action_size))
    got = []
    for action in actions:
        simulator.step(action)
        got.append(np.hstack([simulator.fields["qpos"], simulator.fields["qvel"]]))
    for sim in range(2):
        model = copy.copy(family.model)
        edit(model, values[sim])
        expected = stepped_apart(family, model, starts[sim], actions[:, sim])
        np.testing.assert_array_equal(np.array(got)[:, sim], expected)


@installed
@every_family
def test_families_run_and_stand(name: str):
    """An action of 0 stands, for as long as the robot can be held by its servos alone."""
    family = envs.make(name)
    assert family.name == name
    simulator = family.simulate(2, threads=1)
    simulator.set_tasks(family.sample_tasks(2, seed=0))
    simulator.reset([np.random.default_rng(sim) for sim in range(2)])
    result = simulator.step(np.zeros((2, family.action_size)))
    for _ in range(9):
        result = simulator.step(np.zeros((2, family.action_size)))
    assert np.isfinite(result.observation).all()
    assert not result.terminated.any()


@installed
@pytest.mark.parametrize(("name", "rate"), [("Go1Vel", 25), ("SpotVel", 25), ("PandaReach", 25)])
def test_families_are_of_the_robots_that_they_name(name: str, rate: int):
    family = envs.make(name)
    assert 1.0 / family.dt == pytest.approx(rate)
    assert family.robot.name == name.removesuffix("Vel").removesuffix("Reach")
    assert family.action_size == (7 if name == "PandaReach" else 12)


@installed
def test_one_leg_never_fails_in_training():
    robot = envs.make("Go1Motors").robot
    never = robot.legs[3].actuators
    for name, left_out in (("Go1Motors", never), ("Go1Crippled", (3,))):
        family = envs.make(name)
        trained = set(family.sample_tasks(300, seed=0).values.flat)
        outside = set(family.sample_tasks(300, seed=0, split="extrapolate").values.flat)
        assert outside == set(map(float, left_out))
        assert trained.isdisjoint(outside)
        assert -1.0 in trained


@installed
def test_the_model_is_not_loaded_before_a_family_is_made():
    code = (
        "import mujoco\n"
        "def refuse(*a): raise AssertionError(a)\n"
        "mujoco.MjSpec.from_file = refuse\n"
        "from metarl import envs; print('Go1Vel' in envs.families())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No models on this machine."""
    real = importlib.util.find_spec
    hidden = ("envpool_assets", "mujoco_menagerie")
    monkeypatch.setattr(
        menagerie, "find_spec", lambda name: None if name.startswith(hidden) else real(name)
    )
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)


@pytest.mark.usefixtures("nowhere")
def test_without_models_one_line_says_what_brings_them():
    assert set(envs.lacking()) >= set(menagerie_families.ENTRIES)
    assert set(envs.families()).isdisjoint(menagerie_families.ENTRIES)
    how = r"in a checkout of metarl, pip install -c constraints\.txt '\.\[menagerie\]', "
    how += "or set MENAGERIE_ROOT to one of"
    with pytest.raises(ValueError, match=f"Go1Vel needs the model unitree_go1 .*{how}"):
        envs.make("Go1Vel")
    with pytest.raises(
        FileNotFoundError, match=f"no model of 'unitree_go2'; there are none; {how}"
    ):
        MenagerieRobot("unitree_go2")


def test_a_checkout_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "unitree_go1"
    folder.mkdir()
    scene = written(folder).rename(folder / "scene.xml")
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    robot = MenagerieRobot("unitree_go1")
    assert (robot.mjcf, robot.name, robot.base) == (scene, "unitree_go1", "trunk")
    with pytest.raises(FileNotFoundError, match=r"unitree_go1 has no scen.xml; there are scene"):
        MenagerieRobot("unitree_go1", scene="scen")


@pytest.mark.parametrize("name", ["arm.urdf", "robots/arm", "./arm"])
def test_a_file_that_is_not_there_is_no_robot_of_menagerie(name: str):
    with pytest.raises(FileNotFoundError, match=f"^there is no file {name}$"):
        menagerie.menagerie_file(name)


@pytest.mark.usefixtures("nowhere")
def test_the_package_downloads_what_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Through the calls that the documentation of mujoco-menagerie names."""
    scene = written(tmp_path)

    class MenagerieError(Exception):
        pass

    def get(name: str) -> SimpleNamespace:
        if name != "unitree_go2":
            raise MenagerieError(f"no robot {name}")
        return SimpleNamespace(
            xml=lambda entry: tmp_path / f"{'robot' if entry == 'scene' else '?'}.xml"
        )

    package = SimpleNamespace(get=get, MenagerieError=MenagerieError)
    monkeypatch.setattr(menagerie, "find_spec", lambda name: name == "mujoco_menagerie" or None)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)
    assert menagerie.available("unitree_go2")
    assert MenagerieRobot("unitree_go2").mjcf == scene
    with pytest.raises(FileNotFoundError, match="no model of nobody: no robot nobody"):
        MenagerieRobot("nobody")
