"""Each variation against a model compiled from an edited MJCF, bit for bit."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
from mujoco import MjSpec as Spec

from metarl import envs
from metarl.envs import Simulator, TaskFamily, Tasks, dynamics, goals
from metarl.envs.model import Edit
from metarl.envs.mujoco_log import quiet
from metarl.envs.robot import Leg, Robot
from metarl.envs.robots import Ant, HalfCheetah, Hopper, Walker2d
from tests.envs import rig
from tests.envs.rig import Rig, mjcf


def make(robot: Robot, *varies: dynamics.Dynamics) -> TaskFamily:
    return TaskFamily("test", robot, goals.forward(), "", varies, action_scale=1.0)


def fix_inertias(spec: Spec, model: mujoco.MjModel) -> None:
    """Write the compiled inertias into the bodies, so that they no longer follow the geoms."""
    spec.compiler.settotalmass = -1.0
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
    for index, body in enumerate(spec.bodies[1:], start=1):
        assert body.name == model.body(index).name
        body.explicitinertial = True
        body.mass = model.body_mass[index]
        body.ipos = model.body_ipos[index]
        body.iquat = model.body_iquat[index]
        body.inertia = model.body_inertia[index]


def scale_mass(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    fix_inertias(spec, model)
    for body in spec.bodies[1:]:
        body.mass *= value
        body.inertia *= value


def scale_inertia(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    fix_inertias(spec, model)
    for body in spec.bodies[1:]:
        body.inertia *= value


def scale_friction(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    for geom in spec.geoms:
        geom.friction *= value


def scale_damping(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    for joint in spec.joints:
        joint.damping *= value


def scale_force(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    for actuator in spec.actuators:
        actuator.gainprm[0] *= value


def scale_gravity(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    spec.option.gravity *= value


def tilt(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    weight = 9.81
    spec.option.gravity = [-weight * np.sin(value), 0.0, -weight * np.cos(value)]


def load(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    fix_inertias(spec, model)
    spec.body("torso").mass += value


def kill(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    if value >= 0:
        spec.actuators[int(value)].gear[:] = 0.0


def swap(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    spec.actuator("bshin").gainprm[0] *= value


def blow(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    spec.option.wind = [value, 0.0, 0.0]
    spec.option.density = 1.2


def cripple(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    fix_inertias(spec, model)
    leg = Ant.legs[int(value)]
    for index in leg.actuators:
        spec.actuators[index].gear[:] = 0.0
    for name in leg.geoms:
        geom = spec.geom(name)
        geom.fromto = 0.5 * geom.fromto
        geom.size = 0.5 * geom.size


def delayed(spec: Spec, model: mujoco.MjModel, value: float) -> None:
    for actuator in spec.actuators:
        actuator.nsample = 12
        actuator.delay = value * 5 * model.opt.timestep


class Stubborn(HalfCheetah):
    """Loads its model by itself, without the edits of dynamics."""

    def load(self, edits: tuple[Edit, ...] = ()) -> mujoco.MjModel:
        return super().load()


CASES: dict[str, tuple[Robot, dynamics.Dynamics, list[float], Callable]] = {
    "mass": (HalfCheetah(), dynamics.body_mass(0.5, 2.0), [0.5, 1.3, 2.0], scale_mass),
    "inertia": (Ant(contact_forces=False), dynamics.inertia(0.5, 2.0), [0.5, 2.0], scale_inertia),
    "friction": (HalfCheetah(), dynamics.friction(0.3, 3.0), [0.3, 3.0], scale_friction),
    "damping": (HalfCheetah(), dynamics.joint_damping(0.5, 2.0), [0.5, 2.0], scale_damping),
    "strength": (HalfCheetah(), dynamics.motor_strength(0.5, 2.0), [0.5, 1.7], scale_force),
    "gravity": (HalfCheetah(), dynamics.gravity(0.5, 2.0), [0.5, 2.0], scale_gravity),
    "slope": (HalfCheetah(), dynamics.ground_slope(0.3), [-0.3, 0.2], tilt),
    "payload": (HalfCheetah(), dynamics.payload(5.0), [0.0, 5.0], load),
    "dead": (HalfCheetah(), dynamics.dead_actuator((-1, 0, 5)), [-1.0, 0.0, 5.0], kill),
    "reversed": (HalfCheetah(), dynamics.reversed_actuators(("bshin",)), [1.0, -1.0], swap),
    "wind": (HalfCheetah(), dynamics.wind(20.0), [-20.0, 20.0], blow),
    "crippled": (
        Ant(contact_forces=False),
        dynamics.crippled_leg(Ant(), (0, 1, 2, 3)),
        [0.0, 1.0, 2.0, 3.0],
        cripple,
    ),
    "delay": (HalfCheetah(), dynamics.action_delay(2, 5), [0.0, 1.0, 2.0], delayed),
}


def edited(robot: Robot, edit: Callable, value: float) -> mujoco.MjModel:
    base = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    spec = Spec.from_file(str(robot.mjcf))
    edit(spec, base, value)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spec.compile()


def play(simulator: Simulator, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start states, then positions after every action [time, sim, nq]."""
    simulator.reset([np.random.default_rng([3, sim]) for sim in range(simulator.count)])
    start = np.concatenate([simulator.fields["qpos"], simulator.fields["qvel"]], axis=1)
    path = []
    for action in actions:
        simulator.step(action)
        path.append(simulator.fields["qpos"].copy())
    return start, np.stack(path)


@pytest.mark.parametrize("case", CASES)
def test_equals_a_model_compiled_from_an_edited_mjcf(case: str):
    robot, variation, values, edit = CASES[case]
    family = make(robot, variation)
    tasks = Tasks(family.parameters, np.array(values)[:, None])
    simulator = Simulator(family, len(values))
    simulator.set_tasks(Tasks(family.parameters, tasks.values[::-1]))  # leaves no trace
    simulator.set_tasks(tasks)
    actions = np.random.default_rng(0).uniform(-1, 1, (60, len(values), family.action_size))
    start, path = play(simulator, actions)

    plain = Simulator(make(robot), len(values))
    plain.set_tasks(Tasks((), np.zeros((len(values), 0))))
    _, unchanged = play(plain, actions)
    for sim, value in enumerate(values):
        model = edited(robot, edit, value)
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = np.split(start[sim], [model.nq])
        mujoco.mj_forward(model, data)
        for time, action in enumerate(actions[:, sim]):
            data.ctrl[:] = action
            mujoco.mj_step(model, data, nstep=robot.frame_skip)
            np.testing.assert_array_equal(path[time, sim], data.qpos)
        neutral = value == {"payload": 0.0, "dead": -1.0, "delay": 0.0, "reversed": 1.0}.get(case)
        assert neutral == np.array_equal(path[:, sim], unchanged[:, sim])


@pytest.mark.parametrize("case", [case for case in CASES if case != "delay"])
def test_the_models_fields_are_those_of_the_edited_mjcf(case: str):
    robot, variation, values, edit = CASES[case]
    family = make(robot, variation)
    bodies = family.bodies(Tasks(family.parameters, np.array(values)[:, None]))
    for sim, value in enumerate(values):
        model = edited(robot, edit, value)
        # the compiler refuses a force range of zero: the edited MJCF has a gear of zero instead
        silent = ~model.actuator_gear.any(axis=1)
        assert {"dead", "crippled"}.isdisjoint({case}) == ("actuator_forcelimited" not in bodies)
        for name, field in bodies.items():
            if name == "actuator_forcelimited":
                np.testing.assert_array_equal(field[sim], silent)
                continue
            if name == "actuator_forcerange":
                assert not field[sim, silent].any()
                continue
            expected = getattr(model.opt, name[4:]) if "." in name else getattr(model, name)
            np.testing.assert_allclose(field[sim], expected, rtol=1e-12, atol=1e-12)


def test_a_delayed_action_acts_late():
    """With a delay of two steps, the third step is the first that differs from doing nothing."""
    family = make(HalfCheetah(), dynamics.action_delay(2, 5))
    for delay in (0, 1, 2):
        paths = []
        for strength in (0.0, 1.0):
            simulator = Simulator(family, 1)
            simulator.set_tasks(family.task({"delay": float(delay)}))
            paths.append(play(simulator, np.full((5, 1, 6), strength))[1][:, 0])
        differs = (paths[0] != paths[1]).any(axis=1)
        assert differs.tolist() == [step >= delay for step in range(5)]


def test_delays_add_to_those_of_the_models_actuators(tmp_path: Path):
    """Of 2 physics steps, in the MJCF, and of control steps of 2 physics steps each."""
    motor = '<motor joint="j" ctrlrange="-1 1" gear="5"{}/>'
    original = mjcf(tmp_path, motor.format(' delay="0.004" nsample="3"'))
    varied = rig.family(Rig(original), dynamics.action_delay(2, 2))
    simulator = Simulator(varied, 3)
    simulator.set_tasks(Tasks(("delay",), np.arange(3.0)[:, None]))
    actions = np.random.default_rng(0).uniform(-1, 1, (30, 3, 1))
    start, path = play(simulator, actions)
    for sim, delay in enumerate((0.004, 0.008, 0.012)):
        expected = mjcf(tmp_path, motor.format(f' delay="{delay}" nsample="20"'))
        model = mujoco.MjModel.from_xml_path(str(expected))
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = np.split(start[sim], [model.nq])
        for time, action in enumerate(actions[:, sim]):
            data.ctrl[:] = action
            mujoco.mj_step(model, data, nstep=2)
            np.testing.assert_array_equal(path[time, sim], data.qpos)


def test_variations_compose_on_one_field():
    """Strength times a dead actuator, mass plus payload, gravity then slope."""
    family = make(
        HalfCheetah(),
        dynamics.motor_strength(0.5, 2.0),
        dynamics.dead_actuator((0, 1)),
        dynamics.body_mass(0.5, 2.0),
        dynamics.payload(5.0),
        dynamics.gravity(0.5, 2.0),
        dynamics.ground_slope(0.5),
    )
    task = {
        "strength_scale": 2.0,
        "dead_actuator": 1.0,
        "mass_scale": 0.5,
        "payload": 3.0,
        "gravity_scale": 2.0,
        "slope": 0.5,
    }
    bodies = family.bodies(family.task(task))
    model = family.model
    np.testing.assert_array_equal(bodies["actuator_gainprm"][0], 2.0 * model.actuator_gainprm)
    assert bodies["actuator_forcelimited"][0].tolist() == [False, True, False, False, False, False]
    assert not bodies["actuator_forcerange"][0].any()
    mass = 0.5 * model.body_mass
    mass[1] += 3.0
    np.testing.assert_array_equal(bodies["body_mass"][0], mass)
    expected = [-19.62 * np.sin(0.5), 0.0, -19.62 * np.cos(0.5)]
    np.testing.assert_allclose(bodies["opt.gravity"][0], expected)


@pytest.mark.parametrize("robot", [Hopper(), Walker2d(), HalfCheetah()])
def test_rand_params_scales_every_element_apart(robot: Robot):
    family = make(robot, dynamics.rand_params(robot))
    tasks = family.sample_tasks(500, seed=0)
    bodies = family.bodies(tasks)
    for field, base in (
        ("body_mass", 1.5),
        ("body_inertia", 1.5),
        ("geom_friction", 1.5),
        ("dof_damping", 1.3),
    ):
        plain = np.asarray(getattr(family.model, field))
        varied = plain != 0
        exponent = np.log(bodies[field][:, varied] / plain[varied]) / np.log(base)
        assert (np.abs(exponent) <= 3.0 + 1e-9).all()
        assert np.abs(exponent.mean()) < 0.2
        np.testing.assert_allclose(exponent.std(axis=0), np.sqrt(3.0), rtol=0.15)
        correlation = np.corrcoef(exponent.T) - np.eye(varied.sum())
        assert np.abs(correlation).max() < 0.25
        assert (bodies[field][:, ~varied] == 0).all()


def test_bodies_survive_reset_pickling_and_any_number_of_threads():
    family = envs.make("HopperRandParams")
    tasks = family.sample_tasks(9, seed=2)
    actions = np.random.default_rng(1).uniform(-1, 1, (30, 9, 3))
    simulator = Simulator(family, 9, threads=1)
    simulator.set_tasks(tasks)
    first = play(simulator, actions)[1]
    np.testing.assert_array_equal(play(simulator, actions)[1], first)
    again = Simulator(pickle.loads(pickle.dumps(family)), 9, threads=3)
    again.set_tasks(pickle.loads(pickle.dumps(tasks)))
    np.testing.assert_array_equal(play(again, actions)[1], first)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dynamics.body_mass(-1.0, 2.0), "scale of body mass must be positive, got -1"),
        (lambda: dynamics.friction(0.0, 2.0), "scale of friction must be positive, got 0"),
        (lambda: dynamics.gravity(2.0, 1.0), "gravity_scale needs a range from low to high"),
        (lambda: dynamics.payload(-2.0), "heaviest payload must be positive"),
        (lambda: dynamics.ground_slope(2.0), "steepest slope must be between 0 and pi / 2"),
        (lambda: dynamics.wind(float("nan")), "strongest wind must be positive"),
        (lambda: dynamics.action_delay(0, 5), "longest delay must be at least 1"),
        (lambda: dynamics.crippled_leg(Ant(), (7,)), "a leg must be -1 to 3 for Ant, got 7"),
        (lambda: dynamics.crippled_leg(Hopper(), (0,)), "a leg must be -1 to -1 for Hopper"),
        (lambda: dynamics.dead_actuator((-2,)), "dead actuator must be an index, or -1 for none"),
        (lambda: dynamics.dead_actuator(()), "dead_actuator needs at least one value"),
        (
            lambda: make(HalfCheetah(), dynamics.payload(1.0, body="trunk")),
            "the model has no body 'trunk'.*there are: world, torso",
        ),
        (
            lambda: make(HalfCheetah(), dynamics.dead_actuator((6,))),
            "the robot has 6 actuators, 0 to 5; actuator 6 cannot be dead",
        ),
        (
            lambda: make(HalfCheetah(), dynamics.dead_actuator((*range(6), 99))),
            "the robot has 6 actuators, 0 to 5; actuator 99 cannot be dead",
        ),
        (
            lambda: make(Stubborn(), dynamics.action_delay(2, 5)),
            r"load\(edits\) must apply the edits .* for edit in edits: edit\(spec\)",
        ),
        (
            lambda: make(HalfCheetah(), dynamics.wind(1.0), dynamics.wind(2.0)),
            "task parameters must have different names",
        ),
        (
            lambda: TaskFamily("test", HalfCheetah(), goals.heading(), ""),
            "'run in a direction' needs the tracks x, y, but HalfCheetah has x only",
        ),
        (
            lambda: envs.make("AntDir", contact_cost=1.0),
            "contact cost needs contact forces",
        ),
    ],
)
def test_impossible_families_are_refused_before_any_physics(call: Callable, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_variation_is_a_tuple_too():
    with pytest.raises(TypeError, match="the dynamics of a family must be a tuple of Dynamics"):
        TaskFamily("x", Hopper(), goals.forward(), "", dynamics.gravity(0.5, 2.0))  # type: ignore[arg-type]
    lone = goals.Goal("x", dynamics.gravity(0.5, 2.0).distributions[0], lambda step, _: step)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="the distributions of a goal must be a tuple of Distrib"):
        TaskFamily("x", Hopper(), lone, "")


@pytest.mark.parametrize("damping", ["0.1", "0.1 0.2 0.3", "0 0.2 0.3"])
def test_all_coefficients_of_damping_are_scaled(tmp_path: Path, damping: str):
    """Against the scaled numbers in the MJCF; robots without damping are refused."""
    made = []
    for scale in (1.0, 1.5):
        numbers = " ".join(f"{scale * float(number):g}" for number in damping.split())
        body = rig.ARM.replace('damping="0.1"', f'damping="{numbers}"')
        made.append(Rig(mjcf(tmp_path, '<motor joint="j" ctrlrange="-1 1"/>', body)))
    plain, scaled = made
    varied = rig.family(plain, dynamics.joint_damping(0.5, 2.0))
    bodies = varied.bodies(varied.task({"damping_scale": 1.5}))
    for field in ("dof_damping", "dof_dampingpoly"):
        got = bodies.get(field, np.asarray(getattr(plain.load(), field))[None])
        np.testing.assert_allclose(got[0], getattr(scaled.load(), field), rtol=1e-15)
    free = rig.ARM.replace('damping="0.1"', "")
    with pytest.raises(ValueError, match="no joint of the robot has damping to scale"):
        rig.family(
            Rig(mjcf(tmp_path, '<motor joint="j" ctrlrange="-1 1"/>', free)),
            dynamics.joint_damping(0.5, 2.0),
        )


@pytest.mark.parametrize("drawn", [(0,), (1,)])
def test_a_leg_with_meshes_cannot_shrink(tmp_path: Path, drawn: tuple[int, ...]):
    """Visible ones neither; a limp leg of its own size is possible, and legs that stay whole."""
    mesh = '<asset><mesh name="m" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1"/></asset>'
    bare = '<geom type="mesh" mesh="m" contype="0" conaffinity="0"/>'
    body = rig.ARM.replace("</body>", bare + "</body>")
    robot = Rig(mjcf(tmp_path, '<motor joint="j" ctrlrange="-1 1"/>', body, mesh))
    robot.legs = (Leg("meshes", (0,), ("geom1",)), Leg("capsule", (0,), ("geom0",)))
    assert rig.family(robot, dynamics.crippled_leg(robot, (-1, *drawn), size=1.0)).parameters
    shrunk = dynamics.crippled_leg(robot, (-1, *drawn))
    if drawn == (1,):
        assert rig.family(robot, shrunk).parameters
    else:
        with pytest.raises(ValueError, match=r"the leg 'meshes' has geoms that are meshes.*size=1"):
            rig.family(robot, shrunk)


def test_a_thousand_bodies_cost_little():
    """Construction under two seconds; a loose bound, for a busy machine too."""
    import time

    family = envs.make("HopperRandParams")
    began = time.perf_counter()
    simulator = Simulator(family, 1000)
    simulator.set_tasks(family.sample_tasks(1000, seed=0))
    assert time.perf_counter() - began < 2.0
