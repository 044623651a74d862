"""Forces of every kind of actuator, against edited MJCF and plain `mj_step`, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import Simulator, Tasks, dynamics
from metarl.envs.actuators import actuator_name
from metarl.envs.robot import Leg
from tests.envs.rig import ARM, Rig, family, mjcf

JOINTS = """<body><joint name="j" axis="0 1 0" damping="0.1"{armature}/>
<geom type="capsule" fromto="0 0 0 0.5 0 0" size="0.05"/>
<body pos="0.5 0 0"><joint name="k" axis="0 1 0"/>
<geom type="capsule" fromto="0 0 0 0.5 0 0" size="0.05"/></body></body>
<body pos="0 2 0"><joint name="ball" type="ball"/>
<geom type="ellipsoid" size="0.1 0.2 0.3" pos="0.2 0 0"/></body>"""
TENDON = """<tendon><fixed name="t"><joint joint="j" coef="1"/><joint joint="k" coef="-0.5"/>
</fixed></tendon><option integrator="{}"/>"""

KINDS: dict[str, Callable[[float], str]] = {
    "motor": lambda s: f'<general name="a" joint="j" gear="7" gainprm="{s}" ctrlrange="-1 1"/>',
    "motor with a limit": lambda s: (
        f'<general name="a" joint="j" gear="7" gainprm="{s}" ctrlrange="-1 1" '
        f'forcerange="{-0.4 * s} {0.4 * s}"/>'
    ),
    "motor with damping and armature": lambda s: (
        f'<general name="a" joint="j" gear="3" gainprm="{s}" ctrlrange="-1 1" damping="0.2" '
        f'armature="0.0625"/>'
    ),
    "position": lambda s: (
        f'<position name="a" joint="j" gear="3" kp="{30 * s}" kv="{2 * s}" ctrlrange="-1 1" '
        f'forcerange="{-20 * s} {20 * s}"/>'
    ),
    "velocity": lambda s: f'<velocity name="a" joint="j" gear="2" kv="{5 * s}" ctrlrange="-1 1"/>',
    "intvelocity": lambda s: (
        f'<intvelocity name="a" joint="j" kp="{50 * s}" kv="{2 * s}" ctrlrange="-1 1" '
        f'actrange="-1 1"/>'
    ),
    "general": lambda s: (
        f'<general name="a" joint="j" gear="2" ctrlrange="-1 1" dyntype="filter" dynprm="0.1" '
        f'gaintype="affine" gainprm="{3 * s} {0.5 * s} {-0.25 * s}" '
        f'biastype="affine" biasprm="{1 * s} {-4 * s} {-0.5 * s}"/>'
    ),
    "tendon": lambda s: f'<position name="a" tendon="t" kp="{20 * s}" ctrlrange="-1 1"/>',
    "damper": lambda s: f'<damper name="a" joint="j" kv="{5 * s}" ctrlrange="0 1"/>',
    "cylinder": lambda s: (
        f'<cylinder name="a" joint="j" timeconst="0.1" area="{3 * s}" '
        f'bias="{1 * s} {-2 * s} {-0.5 * s}" ctrlrange="-1 1"/>'
    ),
    "muscle": lambda s: (
        f'<muscle name="a" tendon="t" force="{50 * s}" lengthrange="-1 1" ctrlrange="0 1"/>'
    ),
    "muscle by scale": lambda s: (
        f'<muscle name="a" tendon="t" scale="{50 * s}" lengthrange="-1 1" ctrlrange="0 1"/>'
    ),
    "pid": lambda s: (
        f'<pid name="a" joint="j" kp="{30 * s}" kv="{2 * s}" ki="{3 * s}" ctrlrange="-1 1" '
        f'velrange="-1 1"/>'
    ),
    "orientation": lambda s: (
        f'<orientation name="a" joint="ball" kp="{5 * s}" kv="{0.5 * s}" ctrlrange="-1 1"/>'
    ),
}


def model_file(folder: Path, actuators: str, integrator: str, armature: str = "") -> Path:
    return mjcf(folder, actuators, JOINTS.format(armature=armature), TENDON.format(integrator))


def play(simulator: Simulator, steps: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The start [sim, nq + nv], the controls [time, sim, nu] and the path [time, sim, nq]."""
    start = simulator.reset([np.random.default_rng(0) for _ in range(simulator.count)]).copy()
    generator, controls, path = np.random.default_rng(1), [], []
    for _ in range(steps):
        size = simulator.family.model.nu
        simulator.step(generator.uniform(-1, 1, (1, size)).repeat(simulator.count, axis=0))
        controls.append(simulator.fields["ctrl"].copy())
        path.append(simulator.fields["qpos"].copy())
    return start, np.stack(controls), np.stack(path)


def plain_path(mjcf: Path, start: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """The positions [time, nq] that `mj_step` gives, with as many controls as the model takes."""
    model = mujoco.MjModel.from_xml_path(str(mjcf))
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = np.split(start, [model.nq])
    mujoco.mj_forward(model, data)
    path = []
    for control in controls:
        data.ctrl[:] = control[: model.nu]
        mujoco.mj_step(model, data, nstep=Rig.frame_skip)
        path.append(data.qpos.copy())
    return np.stack(path)


@pytest.mark.parametrize("integrator", ["Euler", "implicitfast", "discrete"])
@pytest.mark.parametrize("kind", KINDS)
def test_strength_scales_the_force_of_every_kind(kind: str, integrator: str, tmp_path: Path):
    """Motors too: `gear` would scale their damping and armature, quadratically."""
    scales = np.array([0.5, 1.0, 1.7])
    original = model_file(tmp_path, KINDS[kind](1.0), integrator)
    varied = family(Rig(original), dynamics.motor_strength(0.5, 2.0))
    simulator = Simulator(varied, 3)
    simulator.set_tasks(varied.sample_tasks(3, seed=0))  # leaves no trace
    simulator.set_tasks(Tasks(("strength_scale",), scales[:, None]))
    start, controls, path = play(simulator)
    for sim, scale in enumerate(scales):
        expected = model_file(tmp_path, KINDS[kind](float(scale)), integrator)
        answer = plain_path(expected, start[sim], controls[:, sim])
        np.testing.assert_array_equal(path[:, sim], answer)
    assert not np.array_equal(path[:, 0], path[:, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_strength_is_a_factor_of_the_force_in_every_state(kind: str, tmp_path: Path):
    varied = family(
        Rig(model_file(tmp_path, KINDS[kind](1.0), "Euler")), dynamics.motor_strength(0.5, 2.0)
    )
    weak = varied.model.__copy__()
    for name, values in varied.bodies(varied.task({"strength_scale": 0.6})).items():
        getattr(weak, name)[:] = values[0]
    generator = np.random.default_rng(2)
    for _ in range(5):
        forces = []
        qpos, qvel = generator.normal(0.0, 0.3, weak.nq), generator.normal(size=weak.nv)
        control, activation = generator.uniform(0, 1, weak.nu), generator.uniform(0, 1, weak.na)
        for model in (varied.model, weak):
            data = mujoco.MjData(model)
            data.qpos[:], data.qvel[:] = qpos, qvel
            data.ctrl[:], data.act[:] = control, activation
            mujoco.mj_forward(model, data)
            forces.append(data.qfrc_actuator.copy())
        assert np.abs(forces[0]).max() > 0.0
        np.testing.assert_allclose(forces[1], 0.6 * forces[0], rtol=1e-12, atol=1e-15)


def test_a_weak_servo_settles_where_a_strong_one_does(tmp_path: Path):
    servo = '<position joint="j" gear="3" kp="20" kv="5" ctrlrange="-2 2"/>'
    path = mjcf(tmp_path, servo, before='<option gravity="0 0 0"/>')
    varied = family(Rig(path), dynamics.motor_strength(0.5, 2.0))
    simulator = Simulator(varied, 2)
    simulator.set_tasks(Tasks(("strength_scale",), np.array([[0.5], [2.0]])))
    simulator.reset([np.random.default_rng(sim) for sim in range(2)])
    for _ in range(2000):
        simulator.step(np.full((2, 1), 0.75))
    # gear times the angle is the servo's length, which goes to the setpoint of 0.75 * 2
    np.testing.assert_allclose(simulator.fields["qpos"], 1.5 / 3.0, atol=1e-6)


def test_limits_at_joint_and_tendon_scale_too(tmp_path: Path):
    limited = ARM.replace('name="j"', 'name="j" actuatorfrcrange="-2 3"')
    path = mjcf(tmp_path, '<motor joint="j" gear="9" ctrlrange="-1 1"/>', limited)
    varied = family(Rig(path), dynamics.motor_strength(0.5, 2.0))
    bodies = varied.bodies(varied.task({"strength_scale": 0.5}))
    assert bodies["jnt_actfrcrange"].tolist() == [[[-1.0, 1.5]]]


@pytest.mark.parametrize("integrator", ["Euler", "implicitfast", "implicit", "RK4", "discrete"])
@pytest.mark.parametrize("kind", [*KINDS, "dcmotor"])
def test_a_dead_actuator_is_as_none(kind: str, integrator: str, tmp_path: Path):
    """Bit for bit; the inertia of its rotor is the joint's then, times the gear squared."""
    motor = '<dcmotor name="a" joint="j" motorconst="0.5" resistance="2" ctrlrange="-1 1"/>'
    actuator = KINDS[kind](1.0) if kind in KINDS else motor
    armature = f' armature="{0.0625 * 9}"' if "armature" in kind else ""
    varied = family(
        Rig(model_file(tmp_path, actuator, integrator)), dynamics.dead_actuator((-1, 0))
    )
    simulator = Simulator(varied, 2)
    simulator.set_tasks(Tasks(("dead_actuator",), np.array([[-1.0], [0.0]])))
    start, controls, path = play(simulator)
    none = model_file(tmp_path, "", integrator, armature)
    np.testing.assert_array_equal(path[:, 1], plain_path(none, start[1], controls[:, 1]))
    alive = plain_path(Path(varied.robot.mjcf), start[0], controls[:, 0])
    np.testing.assert_array_equal(path[:, 0], alive)
    assert not np.array_equal(path[:, 0], path[:, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_reversed_actuator_does_the_opposite(kind: str, tmp_path: Path):
    """The force of its control, which is what it gives beyond that of a control of 0."""
    robot = Rig(model_file(tmp_path, KINDS[kind](1.0), "Euler"))
    if kind in ("damper", "muscle", "muscle by scale", "pid", "orientation"):
        with pytest.raises(ValueError, match="actuator 'a' cannot be reversed"):
            family(robot, dynamics.reversed_actuators(("a",)))
        return
    varied = family(robot, dynamics.reversed_actuators(("a",)))
    crossed = varied.model.__copy__()
    for name, values in varied.bodies(varied.task({"a_sign": -1.0})).items():
        getattr(crossed, name)[:] = values[0]
    generator = np.random.default_rng(3)
    qpos, qvel = generator.normal(0.0, 0.02, (2, crossed.nv))
    qpos = np.resize(qpos, crossed.nq)
    control = generator.uniform(-0.2, 0.2, crossed.nu)
    forces = {}
    for model, sign in ((varied.model, 1), (varied.model, -1), (crossed, 1)):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, sign * control
        data.act[:] = sign * 0.1
        mujoco.mj_forward(model, data)
        forces[model is crossed, sign] = data.qfrc_actuator.copy()
    assert np.abs(forces[False, 1] - forces[False, -1]).max() > 0.0
    np.testing.assert_allclose(forces[True, 1], forces[False, -1], rtol=1e-12, atol=1e-12)


def test_gravity_compensation_by_actuators_dies_with_the_last_of_them(tmp_path: Path):
    body = ARM.replace("<body ", '<body gravcomp="1" ').replace(
        'name="j"', 'name="j" actuatorgravcomp="true"'
    )
    motors = '<motor joint="j" ctrlrange="-1 1"/>' * 2
    varied = family(
        Rig(mjcf(tmp_path, motors, body)),
        dynamics.dead_actuator((-1, 0)),
        dynamics.crippled_leg(Legged(""), (-1, 0)),
    )
    forces = []
    for dead, leg in ((-1.0, -1.0), (0.0, -1.0), (0.0, 0.0)):
        model = varied.model.__copy__()
        task = varied.task({"dead_actuator": dead, "crippled_leg": leg})
        for name, values in varied.bodies(task).items():
            getattr(model, name)[:] = values[0]
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        forces.append(float(data.qfrc_actuator[0]))
    assert forces[0] == forces[1] != 0.0
    assert forces[2] == 0.0


class Legged(Rig):
    """With a leg that the second actuator moves."""

    legs = (Leg("only", (1,), ()),)


@pytest.mark.parametrize(
    "actuator",
    [
        '<dcmotor name="a" joint="j" motorconst="0.5" resistance="2" ctrlrange="-1 1"/>',
        '<pid name="a" joint="j" input="pos ff" ctrlrange="-1 1" ffrange="-1 1"/>',
        '<general name="a" joint="j" gaintype="user" ctrlrange="-1 1"/>',
        '<general name="a" joint="j" biastype="user" ctrlrange="-1 1"/>',
    ],
)
def test_a_strength_that_no_parameter_scales_is_refused(actuator: str, tmp_path: Path):
    robot = Rig(mjcf(tmp_path, actuator))
    family(robot)
    with pytest.raises(ValueError, match="the strength of actuator 'a' cannot be scaled"):
        family(robot, dynamics.motor_strength(0.5, 2.0))


def test_actuators_are_named_by_what_they_drive(tmp_path: Path):
    actuators = '<motor joint="j"/><motor name="lift" joint="j"/><motor joint="k"/>'
    model = mujoco.MjModel.from_xml_path(str(model_file(tmp_path, actuators, "Euler")))
    names = [actuator_name(model, index) for index in range(3)]
    assert names == ["0 (of joint 'j')", "'lift'", "2 (of joint 'k')"]
