"""Models are compiled once for each content of files and edits, and never print."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import Simulator, dynamics
from metarl.envs import model as module
from metarl.envs.model import Edit, element_index, element_names, gymnasium_asset, load_model
from metarl.envs.robots import Point
from metarl.envs.task_family import TaskFamily
from tests.envs import rig
from tests.envs.rig import Rig


def heavier(spec: mujoco.MjSpec) -> None:
    spec.geoms[-1].mass = 7.0


def longer_steps(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = 0.5


def test_gymnasiums_models_are_found():
    assert all(
        gymnasium_asset(name).is_file() for name in ("ant.xml", "half_cheetah.xml", "pusher_v5.xml")
    )


def test_a_model_is_shared_by_all_who_ask_for_the_same_edits():
    assert Point().load() is Point().load(()) is load_model(Point.mjcf, ())
    assert load_model(str(Point.mjcf)) is load_model(Point.mjcf)
    edited = load_model(Point.mjcf, (heavier,))
    assert edited is load_model(Point.mjcf, (heavier,))
    assert edited is not load_model(Point.mjcf, ())
    assert edited.body_mass[-1] == pytest.approx(7.0)


def test_edits_are_made_in_order():
    def twice(spec: mujoco.MjSpec) -> None:
        spec.option.timestep *= 2.0

    assert load_model(Point.mjcf, (longer_steps, twice)).opt.timestep == 1.0
    assert load_model(Point.mjcf, (twice, longer_steps)).opt.timestep == 0.5


def test_models_that_mujoco_would_warn_about_load_in_silence(tmp_path: Path, capfd):
    path = tmp_path / "half_cheetah.xml"  # never compiled before
    shutil.copy(gymnasium_asset("half_cheetah.xml"), path)  # has attributes that MuJoCo deprecates
    load_model(path, ())
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no MJCF file at .*robot\.xml"):
        load_model(tmp_path / "robot.xml", ())


def tetrahedron(size: float) -> str:
    return f"""v 0 0 0\nv {size} 0 0\nv 0 {size} 0\nv 0 0 {size}
f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4"""


def picture(level: int) -> bytes:
    """A grey 2 x 2 picture, as binary PPM would be, in MuJoCo's own format of heights."""
    return (
        np.array([2, 2], np.int32).tobytes()
        + np.array([0.0, 1.0, level, 0.0], np.float32).tobytes()
    )


def total_mass(model: mujoco.MjModel) -> float:
    return float(model.body_mass.sum())


FILES: dict[str, tuple[str | bytes, str | bytes, Callable[[mujoco.MjModel], float]]] = {
    "robot.xml": ("", "", total_mass),
    "parts/arm.xml": (
        '<mujoco><worldbody><body><joint name="j"/><geom type="mesh" mesh="m" density="1"/>'
        "</body></worldbody></mujoco>",
        '<mujoco><worldbody><body><joint name="j"/><geom type="mesh" mesh="m" density="2"/>'
        "</body></worldbody></mujoco>",
        total_mass,
    ),
    "assets/m.obj": (tetrahedron(1.0), tetrahedron(2.0), total_mass),
    "assets/h.bin": (picture(2), picture(3), lambda model: float(model.hfield_data.sum())),
    "tool.xml": (
        '<mujoco><worldbody><body name="t"><geom size="0.1" mass="1"/></body></worldbody></mujoco>',
        '<mujoco><worldbody><body name="t"><geom size="0.1" mass="3"/></body></worldbody></mujoco>',
        total_mass,
    ),
}
ROBOT = """<mujoco><asset><mesh name="m" file="assets/m.obj"/>
<hfield name="h" file="assets/h.bin" size="1 1 1 1"/><model name="tool" file="tool.xml"/></asset>
<include file="parts/arm.xml"/>
<worldbody><geom type="hfield" hfield="h"/><body name="b" pos="0 0 5"><geom size="{}"/>
<attach model="tool" body="t" prefix="tool_"/></body></worldbody></mujoco>"""
FILES["robot.xml"] = (ROBOT.format(0.1), ROBOT.format(0.2), total_mass)


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("edits", [(), (longer_steps,)])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_edited_is_read_anew(name: str, edits: tuple[Edit, ...], tmp_path: Path):
    """Also within the tick of the file system's clock, and with the same number of bytes."""
    for file, (before, _, _) in FILES.items():
        write(tmp_path / file, before)
    robot = Rig(tmp_path / "robot.xml")
    family = TaskFamily("rig", robot, rig.STAND_STILL, "")
    old = robot.load(edits)
    assert robot.load(edits) is old

    _, after, measure = FILES[name]
    write(tmp_path / name, after)
    new = robot.load(edits)
    assert new is robot.load(edits)
    expected = mujoco.MjSpec.from_file(str(tmp_path / "robot.xml")).compile()
    assert measure(new) == measure(expected) != measure(old)
    # a family keeps the model that its simulations have; one that is made now has the new one
    assert measure(family.model) == measure(old)
    assert measure(family.replace(horizon=5).model) == measure(new)


def test_a_file_that_lay_still_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    reads: list[Path] = []
    now, digest_of = time.time_ns, module._digest_of
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10_000_000_000)
    monkeypatch.setattr(module, "_digest_of", lambda file: reads.append(file) or digest_of(file))
    for file, (before, _, _) in FILES.items():
        write(tmp_path / file, before)
    first = load_model(tmp_path / "robot.xml")
    assert load_model(tmp_path / "robot.xml") is first
    assert len(reads) == len(FILES)

    time.sleep(0.02)  # a tick of the file system's clock
    _, after, measure = FILES["assets/m.obj"]
    write(tmp_path / "assets/m.obj", after)
    assert measure(load_model(tmp_path / "robot.xml")) != measure(first)
    assert reads[len(FILES) :] == [tmp_path / "assets/m.obj"]


def test_heights_in_the_folder_of_meshes_are_read_anew(tmp_path: Path):
    """MuJoCo's list of dependencies looks for them beside the MJCF."""
    write(
        tmp_path / "robot.xml",
        """<mujoco><compiler meshdir="assets"/><asset><hfield name="h" file="h.bin" size="1 1 1 1"/>
        </asset><worldbody><geom type="hfield" hfield="h"/></worldbody></mujoco>""",
    )
    heights = []
    for level in (2, 3):
        write(tmp_path / "assets" / "h.bin", picture(level))
        heights.append(load_model(tmp_path / "robot.xml").hfield_data.sum())
    assert heights[0] != heights[1]


def test_what_a_model_lacks_is_said_by_the_compiler(tmp_path: Path):
    path = tmp_path / "robot.xml"
    for content, message in (
        ("<mujoco", "XML"),
        ('<mujoco><include file="parts.xml"/></mujoco>', "parts.xml"),
        ('<mujoco><asset><mesh name="m" file="m.obj"/></asset></mujoco>', "m.obj"),
    ):
        path.write_text(content)
        for edits in ((), (longer_steps,)):
            expected = rf"^{path} cannot be compiled: .*{message}"
            with pytest.raises(ValueError, match=expected) as told:
                load_model(path, edits)
            assert "\n" not in str(told.value)


class Assembled(Rig):
    """Has a model that no file has: its joint is stiffer, and its damping counts compilations."""

    compiled = 0

    def load(self, edits: tuple[Edit, ...] = ()) -> mujoco.MjModel:
        type(self).compiled += 1
        spec = mujoco.MjSpec.from_file(str(self.mjcf))
        spec.body("arm").name = "link"
        spec.joint("j").damping[0] = 0.75
        for edit in edits:
            edit(spec)
        return spec.compile()


def test_a_robot_that_loads_its_own_model_is_compiled_once_a_family(tmp_path: Path):
    """And what varies is the model that it loads, not that of its file."""
    robot = Assembled(rig.mjcf(tmp_path, '<motor joint="j" ctrlrange="-1 1"/>'))
    varies = (
        dynamics.joint_damping(0.5, 2.0),
        dynamics.payload(3.0, body="link"),
        dynamics.action_delay(2, 2),
        dynamics.dead_actuator((-1, 0)),
        dynamics.motor_strength(0.5, 2.0),
    )
    Assembled.compiled = 0
    family = rig.family(robot, *varies)
    assert Assembled.compiled == 1
    simulator = Simulator(family, 3)
    for _ in range(3):
        simulator.set_tasks(family.sample_tasks(3, seed=0))
        simulator.reset([np.random.default_rng(sim) for sim in range(3)])
        simulator.step(np.zeros((3, 1)))
    assert family.observation_size == 2
    assert Assembled.compiled == 1
    damping = family.bodies(family.sample_tasks(5, seed=0))["dof_damping"][:, 0]
    scales = family.sample_tasks(5, seed=0)["damping_scale"]
    np.testing.assert_array_equal(damping, 0.75 * scales)

    apart = dynamics.rand_params(robot)
    assert "mass_link" in apart.distributions[0].names
    assert rig.family(robot, apart).model.body(1).name == "link"


def test_rand_params_of_another_model_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"rand_params was made for another model.* has \d+"):
        rig.family(Rig(rig.mjcf(tmp_path, "")), dynamics.rand_params(Point()))


def test_rand_params_of_a_model_without_damping(tmp_path: Path):
    robot = Rig(rig.mjcf(tmp_path, "", rig.ARM.replace(' damping="0.1"', "")))
    family = rig.family(robot, dynamics.rand_params(robot))
    assert not any("damping" in name for name in family.parameters)
    simulator = Simulator(family, 1)
    simulator.set_tasks(family.sample_tasks(1, seed=0))


def test_elements_are_found_by_name():
    model = Point().load()
    assert element_names(model, "body") == ["world", "point"]
    assert element_index(model, "geom", "point") == 1
    with pytest.raises(ValueError, match="the model has no geom 'pont'; did you mean point"):
        element_index(model, "geom", "pont")
