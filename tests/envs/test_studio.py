"""Pictures of models that are not ours: their colours, their sky, and what the camera follows."""

from contextlib import closing
from functools import partial
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from metarl.envs import studio
from metarl.envs.goal import Marker
from metarl.envs.opengl_camera import OpenGLCamera
from metarl.envs.ray_camera import RayCamera
from metarl.envs.robot import Robot
from metarl.envs.studio import FLOOR, SKY, Studio

SIZE = (160, 120)
CAMERAS = pytest.mark.parametrize("camera", [OpenGLCamera, RayCamera], ids=["opengl", "rays"])
SQUARES = "type='2d' builtin='checker' rgb1='1 0 0' rgb2='0 0.2 1' width='64' height='64'"
FLAT = "type='2d' builtin='flat' rgb1='0 1 0' width='8' height='8'"
ASSETS = (
    f"<texture name='squares' {SQUARES}/><texture name='flat' {FLAT}/>"
    "<material name='squares' texture='squares'/>"
    "<material name='flat' texture='flat' rgba='1 0.5 1 1'/>"
)
SKYBOX = "<texture type='skybox' builtin='flat' rgb1='0 0 1' width='8' height='48'/>"
FLOOR_BODY = "<body name='floor0' pos='5 0 0'><geom type='plane' size='9 9 1'/></body>"
"""A static floor is the first body, at x = 5 m."""


def model_of(world: str, assets: str = "") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(
        f"<mujoco><asset>{assets}</asset><worldbody>{world}</worldbody></mujoco>"
    )


def family_of(
    model: mujoco.MjModel, camera: tuple[float, float, float], camera_name: str | None = None
) -> Any:
    """As much of a family as pictures ask for."""
    robot: Any = SimpleNamespace(camera=camera, lookat=None, root=None, camera_name=camera_name)
    robot.root_body, robot.rest = partial(Robot.root_body, robot), lambda model: {}
    return SimpleNamespace(model=model, goal=SimpleNamespace(marker=None), robot=robot)


def picture_by(
    camera: type[OpenGLCamera] | type[RayCamera],
    model: mujoco.MjModel,
    qpos: ArrayLike | None = None,
    *,
    azimuth: float = 90.0,
    elevation: float = 0.0,
    ghost: ArrayLike | None = None,
    camera_name: str | None = None,
) -> NDArray[np.int64]:
    """Return a picture of a model without goal, by a camera that looks along +y by default."""
    family = family_of(model, (4.0, azimuth, elevation), camera_name)
    try:
        drawer = camera(family, SIZE)
    except RuntimeError as error:
        pytest.skip(f"{error}")
    place = model.qpos0 if qpos is None else np.asarray(qpos, np.float64)
    other = None if ghost is None else np.asarray(ghost, np.float64)
    with closing(drawer):
        return drawer.take(place, {}, 0.0, other).astype(np.int64)


def box(look: str) -> str:
    """Return a box of 1 m that slides along x, from the origin."""
    joint = "<joint type='slide' axis='1 0 0'/>"
    return f"<body name='box'>{joint}<geom type='box' size='0.5 0.5 0.5' {look}/></body>"


@CAMERAS
@pytest.mark.parametrize("assets", ["", SKYBOX], ids=["no sky", "skybox"])
def test_what_is_black_stays_black_before_a_light_sky(camera: type, assets: str):
    model = model_of(box("rgba='0 0 0 1'"), assets)
    picture = picture_by(camera, model)
    assert (picture[50:70, 70:90] < 80).all()  # a geom without material shines
    assert (picture[:20] == SKY).all()
    # 1 m, 3.5 m before the camera, whose field of view is 45 degrees high
    expected = (120 / (2.0 * np.tan(np.radians(22.5)) * 3.5)) ** 2
    assert (picture < 100).all(-1).sum() == pytest.approx(expected, rel=0.05)


@CAMERAS
def test_truly_black_pixels_are_no_sky(camera: type):
    """A dull black material, whose pixels are 0."""
    assets = "<material name='soot' specular='0' rgba='0 0 0 1'/>"
    model = model_of(box("material='soot'"), assets)
    model.vis.headlight.specular[:] = 0.0
    picture = picture_by(camera, model)
    assert (picture[50:70, 70:90] == 0).all()
    assert (picture[:20] == SKY).all()


@CAMERAS
def test_a_robot_keeps_its_texture_and_its_materials_colour(camera: type):
    """Against a box without texture, in the product of the two colours: (1, 0.5, 1) (0, 1, 0)."""
    plain = "<material name='plain' rgba='0 0.5 0 1'/>"
    models = model_of(box("material='flat'"), ASSETS), model_of(box("material='plain'"), plain)
    for model in models:
        model.vis.headlight.specular[:] = 0.0  # a texture colours highlights, too
    textured, painted = (picture_by(camera, model) for model in models)
    assert painted[60, 80, 1] > 50
    np.testing.assert_allclose(textured[45:75, 65:95], painted[45:75, 65:95], atol=2)


@CAMERAS
def test_a_mesh_keeps_its_texture(camera: type):
    corners = " ".join(f"{x} {y} {z}" for x in (-1, 1) for y in (-1, 1) for z in (-1, 1))
    assets = ASSETS + f"<mesh name='cube' scale='0.5 0.5 0.5' vertex='{corners}'/>"
    joint = "<joint type='slide' axis='1 0 0'/>"
    cube = f"<body>{joint}<geom type='mesh' mesh='cube' material='flat'/></body>"
    red, green, blue = picture_by(camera, model_of(cube, assets))[60, 80]
    assert green > 50
    assert max(red, blue) < 0.5 * green


@CAMERAS
def test_squares_of_a_box_keep_their_colours(camera: type):
    """Red and blue, seen from above; never the greys of the floor."""
    picture = picture_by(camera, model_of(box("material='squares'"), ASSETS), elevation=-90.0)
    inside = picture[45:75, 65:95]
    red, blue = inside[..., 0] - inside[..., 2] > 60, inside[..., 2] - inside[..., 0] > 60
    assert red.mean() > 0.3
    assert blue.mean() > 0.3


@CAMERAS
@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ((0.0, 0.0), "green red yellow blue"),
        ((90.0, 0.0), "red green blue yellow"),
        ((180.0, 0.0), "red green blue yellow"),
        ((270.0, 0.0), "green red yellow blue"),
        ((90.0, -90.0), "red green blue yellow"),
        ((90.0, 90.0), "blue yellow red green"),
    ],
    ids=["-x", "-y", "+x", "+y", "+z", "-z"],
)
def test_a_texture_lies_on_each_face_of_a_box(
    camera: type, view: tuple[float, float], expected: str
):
    """Four quarters of a texture, from the upper left to the lower right."""
    colours = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}
    model = model_of(box("material='squares'").replace("0.5 0.5 0.5", "0.6 0.5 0.4"), ASSETS)
    start = model.tex_adr[model.texture("squares").id]
    texels = model.tex_data[start : start + 3 * 64 * 64].reshape(2, 32, 2, 32, 3)
    texels[:] = 255 * np.reshape(list(colours.values()), (2, 1, 2, 1, 3))
    model.vis.headlight.specular[:] = 0.0
    picture = picture_by(camera, model, azimuth=view[0], elevation=view[1])
    corners = [picture[y, x] for y in (53, 67) for x in (73, 87)]
    for seen, name in zip(corners, expected.split(), strict=True):
        np.testing.assert_array_equal(seen > 40, np.array(colours[name]) > 0)


def test_a_floor_gets_calm_squares_but_what_it_shares_its_texture_with_does_not():
    floor = "<geom type='plane' size='9 9 1' material='squares'/>"
    for world, calm in ((floor + box(""), True), (floor + box("material='squares'"), False)):
        model = model_of(world, ASSETS)
        drawn = Studio(family_of(model, (4.0, 90.0, 0.0)), SIZE).model
        texture = model.texture("squares").id
        start, count = model.tex_adr[texture], 3 * 64 * 64
        before, after = (m.tex_data[start : start + count].reshape(-1, 3) for m in (model, drawn))
        if calm:
            np.testing.assert_array_equal(np.unique(after, axis=0), FLOOR)
        else:
            np.testing.assert_array_equal(after, before)


@CAMERAS
@pytest.mark.parametrize("repeat", ["texrepeat='60 40'", "texrepeat='0.5 1' texuniform='true'"])
def test_ground_goes_on_where_a_robot_leaves_it(
    camera: type, repeat: str, monkeypatch: pytest.MonkeyPatch
):
    """MuJoCo's planes hold at any distance; squares stay where they are, and tables small."""
    assets = ASSETS.replace("<material name='squares'", f"<material name='squares' {repeat}")
    robot = "<body pos='0 0 0.5'><joint type='slide' axis='1 0 0'/><geom size='0.3'/></body>"

    def seen(half: float, x: float) -> NDArray[np.int64]:
        times = half / 40.0 if "uniform" not in repeat else 1.0
        wider = assets.replace("60 40", f"{60.0 * times} {40.0 * times}")
        size = f"size='{half} {half} 1'"
        world = f"<geom type='plane' {size} euler='0 0 30' material='squares'/>{robot}"
        return picture_by(camera, model_of(world, wider), [x], elevation=-30.0)

    for x in (0.0, 7.3, 30.0, 61.7):
        moved = seen(40.0, x)
        with monkeypatch.context() as patch:
            patch.setattr(studio, "GROUND", np.inf)  # none is moved
            close = np.abs(moved - seen(1320.0, x)).max(-1) < 12
        assert close[40:].mean() > 0.99
    table = f"<geom type='plane' size='9 9 1'/>{robot}"
    assert (picture_by(camera, model_of(table), [15.0], elevation=-30.0)[-1] == SKY).all()


@CAMERAS
def test_the_camera_follows_the_robot_and_not_the_floor(camera: type):
    """The box stands in the middle of the picture wherever it is, and so does the light."""
    model = model_of(FLOOR_BODY + box("rgba='0.9 0.1 0.1 1' pos='0 0 0.5'"))
    for x in (0.0, -3.0):
        picture = picture_by(camera, model, [x], elevation=-10.0)
        red = picture[..., 0] - picture[..., 1] > 40
        assert red.sum() > 500
        assert np.flatnonzero(red.any(0)).mean() == pytest.approx(79.5, abs=1.5)
    both = picture_by(camera, model, [0.0], ghost=[1.6], elevation=-10.0)
    red, blue = both[..., 0] - both[..., 1] > 40, both[..., 2] - both[..., 0] > 20
    columns = [np.flatnonzero(colour.any(0)).mean() for colour in (red, blue)]
    assert min(red.sum(), blue.sum()) > 500
    assert np.mean(columns) == pytest.approx(79.5, abs=2.0)


@CAMERAS
@pytest.mark.parametrize(
    "world",
    ["<body pos='2 0 1'><geom size='0.3'/></body>", "<geom size='0.3' rgba='0 0 0 1'/>"],
    ids=["no joints", "no bodies"],
)
def test_a_model_without_joints_is_drawn(camera: type, world: str):
    picture = picture_by(camera, model_of(world))
    assert (picture[0] == SKY).all()
    assert (picture[60, 80] != SKY).any()


@pytest.mark.parametrize(
    ("world", "root"),
    [
        (box(""), 1),
        (FLOOR_BODY + box(""), 2),
        (f"<body><geom size='1'/>{box('')}</body>", 2),
        (f"<body mocap='true'/>{FLOOR_BODY}{box('')}", 3),
        (FLOOR_BODY, 1),
        ("<geom size='1'/>", 0),
    ],
    ids=["alone", "after a floor", "on a pedestal", "after a target", "no joints", "no bodies"],
)
def test_the_root_is_the_first_body_with_a_joint(world: str, root: int):
    model = model_of(world)
    assert family_of(model, (4.0, 90.0, 0.0)).robot.root_body(model) == root


@CAMERAS
def test_a_camera_of_the_model_is_looked_through_when_the_robot_names_it(camera: type):
    """It stands above the box and looks down: the box is red from above and green around."""
    world = box("rgba='0.9 0.1 0.1 1' pos='0 0 0.5'") + "<camera name='above' pos='0 0 6'/>"
    model = model_of("<geom type='plane' size='9 9 1' rgba='0 1 0 1'/>" + world)
    above = picture_by(camera, model, camera_name="above")
    aside = picture_by(camera, model)
    red = above[..., 0] - above[..., 1] > 40
    assert red[55:65, 75:85].all()
    assert not (above == SKY).all(-1).any(), "the floor fills the picture"
    assert (aside[0] == SKY).all()


@CAMERAS
def test_a_model_without_lights_is_not_dark(camera: type):
    """A body of MuJoCo's default grey, and a box with a light of its own, which stays as it is."""
    light = "<light pos='0 -3 3' dir='0 1 -1' diffuse='0.2 0.2 0.2'/>"
    alone, lit = (picture_by(camera, model_of(world + box(""))) for world in ("", light))
    assert alone[60, 80].mean() > 80
    assert lit[60, 80].mean() < alone[60, 80].mean()


@CAMERAS
@pytest.mark.parametrize(("height", "round_"), [(0.0, False), (1.0, True)], ids=["floor", "air"])
def test_a_point_is_marked_by_a_disc_on_the_floor_or_a_ball_in_the_air(
    camera: type, height: float, round_: bool
):
    model = model_of(box("pos='0 0 0.5' rgba='0 0 1 1'"))
    family = family_of(model, (4.0, 90.0, -10.0))
    family.goal.marker = lambda task, time: Marker("point", 1.0, 0.0, height)
    try:
        drawer = camera(family, SIZE)
    except RuntimeError as error:
        pytest.skip(f"{error}")
    with closing(drawer):
        picture = drawer.take(np.array([-1.0]), {}, 0.0).astype(int)
    red = picture[..., 0] - picture[..., 1] > 60
    tall, wide = (int(red.any(axis).sum()) for axis in (1, 0))
    assert wide >= 5
    assert tall == pytest.approx(wide, abs=1) if round_ else 2 * tall < wide


def test_a_camera_without_a_name_is_known_by_its_number():
    """Its picture against the same camera's with a name."""
    place = "pos='0 0 6' xyaxes='1 0 0 0 1 0'"
    pictures = [
        picture_by(RayCamera, model_of(f"{box('')}<camera {name} {place}/>"), camera_name=called)
        for name, called in (("", "camera0"), ("name='above'", "above"))
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_mocap_bodies_are_drawn_where_starts_have_them():
    """Also those of the ghost: the scene has them where MuJoCo's keyframe puts them."""
    mocap = "<body name='m' mocap='true' pos='0 0 1'><geom size='0.1'/></body>"
    family = family_of(model_of(mocap + box("")), (4.0, 90.0, -15.0))
    family.robot.name = "box"
    family.robot.rest = lambda model: {"mocap_pos": np.array([[1.0, 2.0, 3.0]])}
    studio = Studio(family, SIZE)
    scene = mujoco.MjvScene(studio.model, maxgeom=100)
    studio.compose(scene, np.zeros(1), {}, 0.0, np.ones(1))
    for data in (studio.data, studio.ghost):
        np.testing.assert_array_equal(data.body("m").xpos, [1.0, 2.0, 3.0])
