"""Controls as offsets from a keyframe, against MuJoCo's own `mj_step` from that keyframe."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from metarl.envs import Physics, ServoRobot, Servos, TaskFamily, Tasks, dynamics, goals
from metarl.envs.dynamics import Dynamics
from metarl.envs.inspection import inspect
from metarl.envs.model import load_model
from metarl.envs.servos import home
from tests.envs.legged import ARM, QUADRUPED, written
from tests.envs.rig import STAND_STILL, Rig, family, mjcf, no_tasks

HOME = Servos(keyframe="home")
ACTION = np.array([[0.5, -0.2, 1.0, -2.0, 0.1, 0.0, -0.4, 0.3]])


def walking(folder: Path, *varies: Dynamics, **settings: Any) -> TaskFamily:
    robot = ServoRobot(written(folder), servos=settings.pop("servos", HOME), **settings)
    goal = goals.velocity_command(0.5)
    return TaskFamily("dog", robot, goal, "", varies, control_cost=0.1, action_scale=1.0)


def plain_steps(model: mujoco.MjModel, control: np.ndarray, count: int) -> np.ndarray:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 1)
    mujoco.mj_forward(model, data)
    data.ctrl[:] = control
    mujoco.mj_step(model, data, nstep=count)
    return data.qpos


def test_an_action_moves_servos_from_where_the_keyframe_has_them(tmp_path: Path):
    tasks = walking(tmp_path)
    simulator = tasks.simulate(2, threads=1)
    simulator.set_tasks(no_tasks(2))
    key = mujoco.MjModel.from_xml_string(QUADRUPED)
    simulator.set_state(np.tile(key.key_qpos[1], (2, 1)), np.zeros((2, key.nv)))
    np.testing.assert_array_equal(simulator.fields["ctrl"], key.key_ctrl[[1, 1]])
    simulator.step(np.concatenate([0.0 * ACTION, ACTION]))
    assert tasks.robot.frame_skip == 4
    for sim, offset in enumerate([np.zeros(8), 0.5 * np.clip(ACTION[0], -1.0, 1.0)]):
        asked = np.clip(key.key_ctrl[1] + offset, *key.actuator_ctrlrange.T)
        expected = plain_steps(key, asked, 4)
        np.testing.assert_array_equal(simulator.fields["qpos"][sim], expected)


def test_standing_still_costs_nothing_and_offsets_their_square(tmp_path: Path):
    tasks = walking(tmp_path)
    free = tasks.replace(control_cost=0.0)
    rewards = []
    for priced in (tasks, free):
        simulator = priced.simulate(2, threads=1)
        simulator.set_tasks(no_tasks(2))
        simulator.reset([np.random.default_rng(0), np.random.default_rng(0)])
        rewards.append(simulator.step(np.concatenate([0.0 * ACTION, ACTION])).reward)
    cost = 0.1 * np.square(0.5 * np.clip(ACTION[0], -1.0, 1.0)).sum()
    np.testing.assert_allclose(rewards[1] - rewards[0], [0.0, cost], atol=1e-12)


def test_a_start_stands_before_the_first_control_arrives(tmp_path: Path):
    """Without the controls of before a start, a delayed servo would go to angle 0."""
    path = written(
        tmp_path,
        """<mujoco><option gravity="0 0 0"/>
        <worldbody><body name="arm"><joint name="j" damping="1"/>
        <geom size="0.1"/></body></worldbody>
        <actuator><position name="a" joint="j" kp="100" ctrlrange="-3 3"/></actuator>
        <keyframe><key qpos="1" ctrl="1"/></keyframe></mujoco>""",
    )
    robot = ServoRobot(path)
    late = dynamics.action_delay(3, robot.frame_skip)
    tasks = TaskFamily("arm", robot, STAND_STILL, "", (late,), action_scale=1.0)
    simulator = tasks.simulate(2, threads=1)
    simulator.set_tasks(Tasks(("delay",), np.array([[0.0], [3.0]])))
    simulator.set_state([[1.0]] * 2, [[0.0]] * 2)
    moved = []
    for _ in range(5):
        simulator.step(np.ones((2, 1)))
        moved.append(simulator.fields["qpos"][:, 0] - 1.0)
    at_once, after = np.transpose(moved)
    assert (at_once > 0.1).all()
    np.testing.assert_array_equal(after[:3], 0.0)
    np.testing.assert_allclose(after[3:], at_once[:2], rtol=1e-12)


def test_a_start_sets_activations_and_mocap_bodies(tmp_path: Path):
    path = written(
        tmp_path,
        """<mujoco><worldbody><body name="m" mocap="true" pos="0 0 1"/>
        <body><joint name="j" axis="0 1 0" damping="1"/><geom size="0.1"/></body></worldbody>
        <actuator>
          <intvelocity name="a" joint="j" kp="10" actrange="-3 3" ctrlrange="-1 1"/>
        </actuator>
        <keyframe><key name="k" qpos="0.5" act="0.5" mpos="1 2 3"/></keyframe></mujoco>""",
    )
    robot = ServoRobot(path)
    tasks = TaskFamily("a", robot, STAND_STILL, "")
    simulator = tasks.simulate(1, threads=1)
    simulator.set_tasks(no_tasks(1))
    simulator.set_state([[0.5]], [[0.0]])
    twin = mujoco.MjData(tasks.model)
    mujoco.mj_resetDataKeyframe(tasks.model, twin, 0)
    simulator.step(np.zeros((1, 1)))
    mujoco.mj_step(tasks.model, twin, nstep=robot.frame_skip)
    np.testing.assert_array_equal(simulator.fields["qpos"][0], twin.qpos)
    assert abs(twin.qpos[0] - 0.5) < 1e-3


def test_strides_are_one_number_or_one_for_each(tmp_path: Path):
    path = written(tmp_path)
    model = mujoco.MjModel.from_xml_path(str(path))
    alike = ServoRobot(path, servos=Servos("home", stride=0.2))
    np.testing.assert_array_equal(alike.control_range(model), np.outer([-0.2, 0.2], np.ones(8)))
    robot = ServoRobot(path, servos=Servos("home", stride={"FL_hip": 0.1, "RR_knee": 0.0}))
    np.testing.assert_array_equal(robot.control_range(model)[1], [0.1, *[0.5] * 6])
    fields = {"ctrl": np.full((1, 8), 9.0)}
    robot.drive(fields, np.full((1, 7), 0.1))
    np.testing.assert_array_equal(fields["ctrl"], model.key_ctrl[1:] + np.array([0.1] * 7 + [0.0]))


def test_motors_can_be_replaced_by_servos(tmp_path: Path):
    """Against the same servo written into the MJCF."""
    path = written(tmp_path, ARM)
    robot = ServoRobot(path, servos=Servos(gains=(30.0, 2.0)))
    servo = '<position joint="{0}" kp="30" kv="2" ctrlrange="-2 2" forcerange="-{1} {1}"/>'
    before, after = ARM.split("<actuator>")[0], "</actuator></mujoco>"
    actuators = servo.format("shoulder", 8) + servo.format("elbow", 4)
    model = mujoco.MjModel.from_xml_string(f"{before}<actuator>{actuators}{after}")
    for field in ("gainprm", "biasprm", "ctrlrange", "forcerange", "forcelimited"):
        own, theirs = (getattr(m, f"actuator_{field}") for m in (robot.load(), model))
        np.testing.assert_array_equal(own, theirs)


def test_servos_have_neither_the_gear_of_motors_nor_need_a_range_of_hinges(tmp_path: Path):
    """The same servo written into the MJCF: as strong as a motor of 1 N m with that gear."""
    model = ARM.replace('range="-2 2"', "", 1).replace("<motor ", '<motor gear="-3" ')
    robot = ServoRobot(written(tmp_path, model), servos=Servos(gains=(30.0, 2.0)))
    made = robot.load()
    strength = mujoco.MjModel.from_xml_string(ARM).actuator_ctrlrange[:, 1]
    np.testing.assert_array_equal(made.actuator_gear, [[1, 0, 0, 0, 0, 0]] * 2)
    np.testing.assert_array_equal(made.actuator_ctrlrange, [[-np.pi, np.pi], [-2, 2]])
    np.testing.assert_array_equal(made.actuator_forcerange[:, 1], 3.0 * strength)
    np.testing.assert_array_equal(made.actuator_forcerange[:, 0], -3.0 * strength)
    # held against what pushes it, it comes where it is asked to
    data = mujoco.MjData(made)
    data.ctrl[:] = 0.5, -0.5
    mujoco.mj_step(made, data, 3000)
    np.testing.assert_allclose(data.actuator_length, data.qpos, atol=1e-12)


def test_servos_take_degrees_for_degrees(tmp_path: Path):
    """MJCF has degrees unless its compiler says otherwise, and slides have metres anyway."""
    degrees = ARM.replace('angle="radian"', 'angle="degree"').replace("-2 2", "-90 45")
    degrees = degrees.replace('axis="0 1 0" range="-90 45"', 'type="slide" range="-90 45"', 1)
    made = ServoRobot(written(tmp_path, degrees), servos=Servos(gains=(30.0, 2.0))).load()
    quarter = np.pi / 2.0
    expected = [[-90.0, 45.0], [-quarter, quarter / 2.0]]
    np.testing.assert_allclose(made.actuator_ctrlrange, expected)
    np.testing.assert_allclose(made.jnt_range, expected)


def test_servos_are_as_strong_as_what_they_replace(tmp_path: Path):
    """A general actuator's gain counts; of a servo without a limit the control is no force."""
    strong = ARM.replace(
        '<motor name="shoulder" joint="shoulder" ctrlrange="-8 8"/>',
        '<general name="shoulder" joint="shoulder" gainprm="100" ctrlrange="-1 1"/>',
    ).replace(
        '<motor name="elbow" joint="elbow" ctrlrange="-4 4"/>',
        '<position name="elbow" joint="elbow" kp="200" ctrlrange="-.6 .6"/>',
    )
    made = ServoRobot(written(tmp_path, strong), servos=Servos(gains=(30.0, 2.0))).load()
    np.testing.assert_array_equal(made.actuator_forcerange[0], [-100.0, 100.0])
    assert made.actuator_forcelimited.tolist() == [True, False]


PIDS = ARM.replace(
    '<motor name="shoulder" joint="shoulder" ctrlrange="-8 8"/>',
    '<pid name="shoulder" joint="shoulder" kp="50" kv="5" ctrlrange="-1 1" velrange="-3 3"/>',
)


def test_actuators_with_several_controls_are_driven(tmp_path: Path):
    """A pid has a position and a velocity to follow: two controls, and the elbow's is the third."""
    path = written(tmp_path, PIDS)
    robot = ServoRobot(path)
    model = robot.load()
    assert model.nu == 3
    names = [name for name, _ in robot.driven(model)]
    assert names == ["shoulder", "shoulder", "elbow"]
    still = ServoRobot(path, servos=Servos(stride={"shoulder": 0.0}))
    assert [name for name, _ in still.driven(model)] == ["elbow"]
    replaced = ServoRobot(path, servos=Servos(gains=(30.0, 2.0))).load()
    assert replaced.nu == 2
    assert "ServoRobot" in inspect(path)


def test_the_controls_of_a_reversed_motor_are_its_own(tmp_path: Path):
    """Behind an actuator with two controls."""
    for elbow, is_refused in (("-4 4", False), ("0 4", True)):
        robot = ServoRobot(written(tmp_path, PIDS.replace("-4 4", elbow)))
        varies = dynamics.reversed_actuators(["elbow"])
        arguments = ("arm", robot, goals.forward(), "", (varies,))
        if is_refused:
            with pytest.raises(ValueError, match="'elbow' cannot be reversed"):
                TaskFamily(*arguments)
        else:
            assert TaskFamily(*arguments).parameters


def test_a_slide_without_a_range_is_refused(tmp_path: Path):
    model = ARM.replace('range="-2 2"', 'type="slide"', 1)
    with pytest.raises(ValueError, match=r"joint 'shoulder' has no range.*range="):
        ServoRobot(written(tmp_path, model), servos=Servos(gains=(30.0, 2.0)))


def test_physics_is_changed_as_asked(tmp_path: Path):
    path = written(tmp_path)
    robot = ServoRobot(path, servos=HOME, physics=Physics(0.004, "pyramidal", "feet"))
    model = robot.load()
    assert (model.opt.timestep, model.opt.impratio) == (0.004, 1.0)
    assert model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL.value
    touching = {model.body(model.geom_bodyid[g]).name for g in np.flatnonzero(model.geom_contype)}
    assert touching == {"world", "FL_shin", "FR_shin", "RL_shin", "RR_shin"}
    untouched = ServoRobot(path, servos=HOME).load()
    assert (untouched.opt.timestep, untouched.opt.impratio) == (0.005, 10.0)
    assert untouched.geom_contype.all()


@pytest.mark.parametrize(
    ("servos", "message"),
    [
        (Servos("hom"), "no keyframe 'hom'; did you mean home"),
        (
            Servos(stride={"FL_hib": 1.0}),
            r"names the actuator 'FL_hib', which the model does not have; did you mean FL_hip",
        ),
        (Servos(stride=-1.0), "strides must not be negative"),
        (Servos(stride=0.0), "no actuator takes an action"),
        (Servos(rate=300.0), "no whole number of physics steps of 0.005 s"),
    ],
)
def test_what_the_model_does_not_have_is_refused(tmp_path: Path, servos: Servos, message: str):
    with pytest.raises(ValueError, match=message):
        ServoRobot(written(tmp_path), servos=servos)


def test_a_rest_of_the_wrong_shape_is_refused(tmp_path: Path):
    class Wrong(Rig):
        def rest(self, model):
            return {"ctrl": np.zeros(3)}

    path = mjcf(tmp_path, '<motor joint="j" ctrlrange="-1 1"/>')
    with pytest.raises(ValueError, match=r"Rig.rest must return .* 'ctrl' with \[3\] for \[1\]"):
        family(Wrong(path))


def test_servos_hold_a_keyframe_that_is_written_without_controls(tmp_path: Path):
    text = (
        '<mujoco><worldbody><body><joint name="j" axis="0 1 0"/><geom size="0.1"/></body>'
        '</worldbody><actuator><position joint="j" kp="5" ctrlrange="-2 2"/></actuator>'
        '<keyframe><key qpos="0.7"/></keyframe></mujoco>'
    )
    (tmp_path / "arm.xml").write_text(text)
    stands = home(load_model(tmp_path / "arm.xml"), Servos())
    np.testing.assert_allclose(stands.rest["ctrl"], [0.7])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0.0}, "rate must be actions a second, above 0, got 0.0"),
        ({"gains": (20.0,)}, "gains must be stiffness and damping"),
        ({"gains": (20.0, -1.0)}, "gains must be stiffness and damping"),
    ],
)
def test_impossible_servos_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Servos(**changes)
    assert Servos(gains=[20.0, 0.5]) == Servos(gains=(20.0, 0.5))  # type: ignore[arg-type]


LINK = """<mujoco><compiler angle="radian"/><option gravity="0 0 0" timestep="0.005"/>
<worldbody><body name="arm"><joint name="j" axis="0 1 0" damping="1"{joint}/>
<geom size="0.1"/><site name="end" pos="0.2 0 0"/></body></worldbody>
<tendon><fixed name="t"><joint joint="j" coef="0.5"/></fixed></tendon>
<actuator>{actuator}</actuator>{keyframe}</mujoco>"""


def link(folder: Path, actuator: str, keyframe: str = "", joint: str = "") -> Path:
    """Return a file with one joint `j`, a tendon `t` over it, and a site `end`."""
    if keyframe:
        keyframe = f"<keyframe><key {keyframe}/></keyframe>"
    return written(folder, LINK.format(actuator=actuator, keyframe=keyframe, joint=joint))


HOLDING = {
    "position": '<position joint="j" kp="50" ctrlrange="-9 9"/>',
    "filtered": '<position joint="j" kp="50" timeconst="0.1" ctrlrange="-9 9"/>',
    "limited": '<position joint="j" kp="50" timeconst="0.1" inheritrange="1"/>',
    "geared": '<position joint="j" kp="50" gear="4" ctrlrange="-9 9"/>',
    "of a tendon": '<position tendon="t" kp="50" timeconst="0.1" ctrlrange="-9 9"/>',
    "intvelocity": '<intvelocity joint="j" kp="50" actrange="-9 9" ctrlrange="-1 1"/>',
    "pid": '<pid joint="j" kp="50" kv="5" ctrlrange="-9 9" velrange="-3 3"/>',
    "pid without velrange": '<pid joint="j" kp="50" kv="5" ctrlrange="-9 9"/>',
    "integrating pid": '<pid joint="j" kp="50" ki="3" kv="5" ctrlrange="-9 9" velrange="-3 3"/>',
}


@pytest.mark.parametrize("actuator", HOLDING.values(), ids=HOLDING)
def test_every_servo_holds_the_pose_of_a_keyframe(tmp_path: Path, actuator: str):
    """Without controls or activations in the keyframe, under MuJoCo's own steps."""
    robot = ServoRobot(link(tmp_path, actuator, 'qpos="0.8"', ' range="-1 1"'))
    model = robot.load()
    data = mujoco.MjData(model)
    data.qpos[:] = robot.home_qpos
    for name, values in robot.rest(model).items():
        getattr(data, name)[:] = values
    mujoco.mj_step(model, data, 200)
    np.testing.assert_allclose(data.qpos, [0.8], atol=1e-9)


def test_activations_of_a_keyframe_are_kept(tmp_path: Path):
    path = link(tmp_path, HOLDING["filtered"], 'qpos="0.8" ctrl="0.8" act="0.5"')
    robot = ServoRobot(path)
    np.testing.assert_array_equal(robot.rest(robot.load())["act"], [0.5])


STRIDES = {
    '<position {} kp="5" ctrlrange="-1 3"/>': (0.5, 2.0),
    '<position {} kp="5" gear="-4" ctrlrange="-9 9"/>': (2.0, 9.0),
    '<motor {} ctrlrange="-2 2"/>': (2.0, 2.0),
    '<velocity {} kv="5" ctrlrange="-2 2"/>': (2.0, 2.0),
    '<intvelocity {} kp="5" actrange="-9 9" ctrlrange="-2 2"/>': (2.0, 2.0),
    '<damper {} kv="5" ctrlrange="0 2"/>': (2.0, 2.0),
    '<cylinder {} timeconst="1" ctrlrange="-1 2"/>': (2.0, 2.0),
    '<muscle {} ctrlrange="0 1" lengthrange="-1 1"/>': (1.0, 1.0),
    '<general {} gainprm="3" ctrlrange="-1 1"/>': (1.0, 1.0),
}


@pytest.mark.parametrize("actuator", STRIDES)
@pytest.mark.parametrize("place", ['joint="j"', 'tendon="t"'])
def test_every_actuator_gets_a_stride(tmp_path: Path, actuator: str, place: str):
    """Half a radian of a hinge for servos, and for all else the range from where it rests."""
    robot = ServoRobot(link(tmp_path, actuator.format(place)))
    expected = STRIDES[actuator][place != 'joint="j"']
    np.testing.assert_array_equal(robot.control_range(robot.load())[1], [expected])


@pytest.mark.parametrize(
    "actuator",
    [
        '<motor site="end" gear="0 0 1 0 0 0" ctrlrange="0 1"/>',
        '<adhesion body="arm" gain="5" ctrlrange="0 1"/>',
    ],
)
def test_actuators_on_sites_and_bodies_use_their_whole_range(tmp_path: Path, actuator: str):
    """Their index is no joint's: a drone has more thrusters than joints."""
    robot = ServoRobot(link(tmp_path, 4 * actuator))
    np.testing.assert_array_equal(robot.control_range(robot.load())[1], np.ones(4))
    assert {joint for _, joint in robot.driven(robot.load())} == {None}


def test_a_stride_is_of_the_joint_where_a_servo_has_a_gear(tmp_path: Path):
    """An action of 1 turns the joint by half a radian, under MuJoCo's own steps."""
    robot = ServoRobot(link(tmp_path, HOLDING["geared"]))
    model = robot.load()
    data = mujoco.MjData(model)
    data.ctrl[:] = robot.control_range(model)[1]
    mujoco.mj_step(model, data, 2000)
    np.testing.assert_allclose(data.qpos, [0.5], atol=1e-6)
    np.testing.assert_allclose(robot.reach(model), [0.5])


@pytest.mark.parametrize(
    ("actuator", "joint"),
    [
        ('<motor name="a" joint="j"/>', ""),
        ('<velocity name="a" joint="j"/>', ""),
        ('<position name="a" joint="j"/>', ' type="slide"'),
        ('<position name="a" tendon="t"/>', ""),
    ],
)
def test_an_actuator_that_nothing_would_move_is_refused(tmp_path: Path, actuator: str, joint: str):
    path = link(tmp_path, '<motor name="b" joint="j" ctrlrange="-1 1"/>' + actuator, "", joint)
    with pytest.raises(ValueError, match=r"actuator 'a' has no control range.*ctrlrange=.*stride"):
        ServoRobot(path)
    for stride, count in ((0.3, 2), ({"a": 0.3}, 2), ({"a": 0.0}, 1)):
        robot = ServoRobot(path, servos=Servos(stride=stride))
        assert len(robot.driven(robot.load())) == count


def test_strides_are_as_many_as_controls(tmp_path: Path):
    path = written(tmp_path, ARM)
    robot = ServoRobot(path, servos=Servos(stride=[0.1, 0.2]))  # type: ignore[arg-type]
    np.testing.assert_array_equal(robot.control_range(robot.load())[1], [0.1, 0.2])
    with pytest.raises(ValueError, match="one number, one for each of the 2 controls, or numbers"):
        ServoRobot(path, servos=Servos(stride=[0.1, 0.2, 0.3]))  # type: ignore[arg-type]


def test_servos_of_an_attached_model_have_its_joints_ranges(tmp_path: Path):
    """The part is in radians, the scene that it is attached to in degrees."""
    written(tmp_path, ARM).rename(tmp_path / "part.xml")
    scene = """<mujoco><asset><model name="arm" file="part.xml"/></asset><worldbody>
    <frame><attach model="arm" body="upper" prefix="a_"/></frame></worldbody></mujoco>"""
    model = ServoRobot(written(tmp_path, scene), servos=Servos(gains=(30.0, 2.0))).load()
    np.testing.assert_array_equal(model.jnt_range, [[-2.0, 2.0]] * 2)
    np.testing.assert_array_equal(model.actuator_ctrlrange, model.jnt_range)


@pytest.mark.parametrize(
    "shoulder",
    [
        '<intvelocity joint="shoulder" kp="50" actrange="-1 1" ctrlrange="-1 1"/>',
        '<position joint="shoulder" kp="30" timeconst=".1" ctrlrange="-1 1"/>',
        '<pid joint="shoulder" kp="50" ki="3" ctrlrange="-1 1" velrange="-3 3"/>',
    ],
)
def test_servos_replace_what_has_a_state_of_its_own(tmp_path: Path, shoulder: str):
    """With a keyframe for this state; what is on a tendon keeps its own."""
    controls = "0.1 0 0.3 0.4" if "pid" in shoulder else "0.1 0.3 0.4"
    tendon = '<tendon><fixed name="t"><joint joint="elbow" coef="1"/></fixed></tendon><actuator>'
    lever = '<cylinder name="c" tendon="t" timeconst="1" ctrlrange="-1 1"/></actuator>'
    key = f'<keyframe><key qpos="0.1 0.2" act="0.7 0.6" ctrl="{controls}"/></keyframe></mujoco>'
    motor = '<motor name="shoulder" joint="shoulder" ctrlrange="-8 8"/>'
    text = ARM.replace(motor, shoulder).replace("<actuator>", tendon)
    text = text.replace("</actuator>", lever).replace("</mujoco>", key)
    robot = ServoRobot(written(tmp_path, text), servos=Servos(gains=(30.0, 2.0)))
    rest = robot.rest(robot.load())
    np.testing.assert_array_equal(rest["ctrl"], [0.1, 0.2, 0.4])
    np.testing.assert_array_equal(rest["act"], [0.6])


def test_what_is_not_the_robots_keeps_its_contacts(tmp_path: Path):
    """A floor on a body, a ball, and pairs of geoms, of which one is of a foot."""
    ground = '<geom name="floor" type="plane" size="0 0 1"/>'
    others = f'<body name="terrain">{ground}</body><body name="ball" pos="0 3 .5"><freejoint/>'
    text = QUADRUPED.replace(ground, others + '<geom size=".1"/></body>')
    text = text.replace('<geom type="box"', '<geom name="box" type="box"')
    text = text.replace('<geom size="0.03"', '<geom name="sole" size="0.03"', 1)
    pairs = '<pair geom1="floor" geom2="box"/><pair geom1="floor" geom2="sole"/>'
    text = text.split("<keyframe>")[0] + f"<contact>{pairs}</contact></mujoco>"
    robot = ServoRobot(written(tmp_path, text), base="trunk", physics=Physics(collide="feet"))
    model = robot.load()
    touching = {model.body(model.geom_bodyid[g]).name for g in np.flatnonzero(model.geom_contype)}
    assert touching == {"terrain", "ball", *robot.feet}
    assert [model.geom(geom).name for geom in model.pair_geom2] == ["sole"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"collide": "foot"}, "collide must be one of all, feet, got 'foot'"),
        ({"collide": None}, "collide must be one of all, feet, got None"),
        ({"cone": "Pyramidal"}, "cone must be one of pyramidal, elliptic, got 'Pyramidal'"),
        ({"timestep": 0.0}, "timestep must be seconds, above 0, got 0.0"),
        ({"timestep": -0.01}, "timestep must be seconds, above 0"),
    ],
)
def test_impossible_physics_is_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Physics(**changes)
