"""What `metarl inspect` prints, and that the lines to paste make a family that trains."""

import re
from pathlib import Path

import pytest

import metarl
from metarl.envs import TaskFamily, menagerie_families
from metarl.envs.inspection import inspect, lines
from metarl.envs.robots.menagerie import menagerie_file
from metarl.envs.robots.servo_robot import ServoRobot
from tests.envs.legged import ARM, QUADRUPED, written

installed = pytest.mark.skipif(
    bool(menagerie_families.missing()), reason="no models of MuJoCo Menagerie"
)
TEN = [
    ("unitree_go1", "scene"),
    ("boston_dynamics_spot", "scene"),
    ("google_barkour_vb", "scene_mjx"),
    ("franka_emika_panda", "scene"),
    ("leap_hand", "scene_right"),
    ("unitree_g1", "scene_mjx"),
    ("unitree_h1", "scene"),
    ("booster_t1", "scene"),
    ("robotis_op3", "scene"),
    ("berkeley_humanoid", "scene"),
]


def pasted(text: str) -> TaskFamily:
    """Return the family that pasted lines make."""
    names: dict = {}
    exec(text, names)
    return names["family"]()


def learns(family: TaskFamily) -> bool:
    short = family.replace(horizon=5)
    return metarl.MAML(short, tasks=2, rollouts=2, seed=0).learn(20).num_timesteps > 0


@pytest.mark.parametrize("model", [QUADRUPED, ARM], ids=["legs", "arm"])
def test_pasted_lines_train(tmp_path: Path, model: str):
    family = pasted(lines(written(tmp_path, model)))
    assert isinstance(family.robot, ServoRobot)
    assert family.robot.walks == (model == QUADRUPED)
    assert learns(family)


@pytest.mark.slow
@installed
@pytest.mark.parametrize(("robot", "scene"), TEN)
def test_pasted_lines_of_menageries_robots_train(robot: str, scene: str):
    path = menagerie_file(robot, scene)
    text = inspect(path)
    code = text[text.index("from metarl.envs") :]
    assert code == lines(path)
    assert learns(pasted(code))


def test_what_there_is_of_a_quadruped_is_printed(tmp_path: Path):
    text = inspect(written(tmp_path))
    assert "9 bodies, 9 joints, 8 actuators" in text
    assert "a physics step is 0.005 s" in text
    assert "\n    trunk  4 kg\n      FL_hip  " in text
    assert "\n    FL_knee_joint  hinge  -1.5 to 0.2\n" in text
    assert "\n    RR_knee  position servo of a joint  -1.5 to 0.2\n" in text
    assert "keyframes\n    'lying'\n    'home'" in text
    assert "elliptic friction cones" in text
    assert 'base="trunk",\n' in text
    assert 'feet=("FL_shin", "FR_shin", "RL_shin", "RR_shin"),\n' in text


@pytest.mark.parametrize(
    ("edit", "warning"),
    [
        ((' ctrlrange="-8 8"', ""), "1 actuator without ctrlrange"),
        (
            ("<actuator>", '<actuator><cylinder joint="elbow" timeconst="1"/>'),
            "a state of their own",
        ),
        (('<geom size="0.03"/>', '<geom size="0.03" type="mesh" mesh="m"/>'), "1 mesh collide"),
        (("<body name=", '<body><freejoint/><geom size="1"/></body><body name='), "no floor"),
        (('axis="0 1 0" range="-2 2"', 'type="ball"'), "1 ball joint: neither observed nor"),
        (("", ""), "no keyframe: starts are the model's zero pose"),
    ],
)
def test_what_may_surprise_is_said(tmp_path: Path, edit: tuple[str, str], warning: str):
    mesh = '<asset><mesh name="m" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1"/></asset><worldbody>'
    model = ARM.replace(*edit, 1).replace("<worldbody>", mesh) if edit[0] else ARM
    text = inspect(written(tmp_path, model))
    assert warning in text[text.index("warnings") :]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r' ctrlrange="[^"]*"', "actuator 'shoulder' has no control range, so no action would"),
        (r"(?s)<actuator>.*</actuator>", "the model has no actuators"),
    ],
)
def test_a_robot_that_nothing_drives_is_described_with_the_reason(
    tmp_path: Path, pattern: str, reason: str
):
    path = written(tmp_path, re.sub(pattern, "", ARM))
    *described, end = inspect(path).split("\n\n")
    assert end.startswith(f"no family is proposed: {reason}")
    assert any(block.startswith("warnings\n") and "actuators" in block for block in described)
    with pytest.raises(ValueError, match=reason):
        lines(path)


def test_motors_are_given_gains_and_an_arm_its_surroundings(tmp_path: Path):
    text = lines(written(tmp_path, ARM))
    assert "Servos(stride=1.0, gains=(18.0, 0.6), rate=50.0)" in text  # of 6 N m, between 4 and 8
    assert "Physics" not in text, "what is not used is not imported"
    assert 'tip="grasp"' in text, "the site at the end, and not the body whose frame is in a joint"
    # the hand moves in a plane
    assert ", 0.0, " in text[text.index("reach_in_box(") :]
    family = pasted(text)
    assert family.action_scale == 1.0
    assert isinstance(family.robot, ServoRobot)
    start = family.robot.home_qpos
    assert start.shape == (2,)


def test_sites_are_listed_since_a_tip_may_be_one(tmp_path: Path):
    path = written(tmp_path, ARM)
    assert "sites\n    grasp  on hand" in inspect(path)
    with pytest.raises(ValueError, match=r"no site or body 'grapes'.*grasp"):
        ServoRobot(path, tip="grapes")


def test_a_pasted_file_can_be_run_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written(tmp_path, ARM)
    monkeypatch.chdir(tmp_path)
    text = lines("robot.xml")
    monkeypatch.chdir("/")
    assert pasted(text).name == "reacher"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no MJCF file at"):
        inspect(tmp_path / "none.xml")


DRONE = """<mujoco><worldbody><geom type="plane" size="0 0 1"/><body name="frame" pos="0 0 1">
<freejoint/><geom type="box" size=".1 .1 .02" mass="1"/><site name="a" pos=".1 .1 0"/></body>
</worldbody><actuator><motor site="a" gear="0 0 1 0 0 0" ctrlrange="0 5"/></actuator></mujoco>"""
TENDONS = ARM.replace(
    "<actuator>",
    '<tendon><fixed name="t"><joint joint="elbow" coef="1"/></fixed></tendon><actuator>',
)
TENDONS = re.sub(r"<motor[^>]*>", "", TENDONS).replace(
    "</actuator>", '<muscle tendon="t" ctrlrange="0 1" lengthrange="-2 2"/></actuator>'
)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (DRONE, "its base floats, but no actuator drives a joint of a limb to walk with"),
        (TENDONS, "its tip stays in one place whatever servos of joints are asked"),
    ],
    ids=["drone", "tendons"],
)
def test_no_family_is_proposed_that_could_not_be_learned(tmp_path: Path, model: str, reason: str):
    path = written(tmp_path, model)
    assert inspect(path).split("\n\n")[-1].startswith(f"no family is proposed: {reason}")
    with pytest.raises(ValueError, match=reason):
        lines(path)


@pytest.mark.parametrize(
    ("elbow", "stride"),
    [
        ('<position name="elbow" joint="elbow" kp="9" ctrlrange="-2 2"/>', "stride=1.0, "),
        (
            '<position name="elbow" joint="elbow" kp="9" gear="5" ctrlrange="-9 9"/>',
            'stride={"shoulder": 1.0, "elbow": 5.0}, ',
        ),
        ('<velocity name="elbow" joint="elbow" ctrlrange="-2 2"/>', 'stride={"shoulder": 1.0}, '),
        ('<pid name="elbow" joint="elbow" kp="9" ctrlrange="-2 2"/>', 'stride={"shoulder": 1.0}, '),
    ],
)
def test_an_arm_is_given_a_stride_where_servos_turn_hinges(tmp_path: Path, elbow: str, stride: str):
    model = ARM.replace('<motor name="elbow" joint="elbow" ctrlrange="-4 4"/>', elbow)
    model = model.replace("<motor", '<position kp="9"')
    assert f"Servos({stride}rate=50.0)" in lines(written(tmp_path, model))


def test_slides_have_half_of_their_range(tmp_path: Path):
    """A radian would be a metre."""
    model = ARM.replace("<motor", '<position kp="9"').replace(
        'name="elbow" axis="0 1 0" range="-2 2"', 'name="elbow" type="slide" range="-.1 .1"'
    )
    model = model.replace('ctrlrange="-4 4"', 'ctrlrange="-.1 .1"')
    assert 'Servos(stride={"shoulder": 1.0}, rate=50.0)' in lines(written(tmp_path, model))
