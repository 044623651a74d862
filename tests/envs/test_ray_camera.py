"""Pictures by rays: against geometry, formulas and twins, and against OpenGL's where it works."""

import math
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from metarl import envs
from metarl.envs import menagerie_families, ray_camera
from metarl.envs.opengl_camera import OpenGLCamera
from metarl.envs.ray_camera import RayCamera
from metarl.envs.ray_casting import Caster, Eye, cross
from metarl.envs.ray_textures import Texture
from metarl.envs.studio import FLOOR, GHOST_COLOUR, SKY

SIZE = (240, 180)
GEOM = mujoco.mjtObj.mjOBJ_GEOM.value
PLANE = mujoco.mjtGeom.mjGEOM_PLANE.value
BLACK = "rgba='0 0 0 1'"

OF_EACH_ROBOT = {
    (type(envs.make(name).robot), name if name.startswith("Fetch") else ""): name
    for name in reversed(envs.families())
}
"""The first family of each robot; each Fetch has a world of its own."""


def shoot(
    body: str,
    *,
    distance: float = 4.0,
    azimuth: float = 90.0,
    elevation: float = 0.0,
    size: tuple[int, int] = SIZE,
    asset: str = "",
    light: str = "",
) -> NDArray[np.int64]:
    """Return the picture of a world without goal, seen by a camera that looks at its origin."""
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><visual><headlight specular='0 0 0'/></visual>"
        f"<asset>{asset}</asset><worldbody>{light}<body>{body}</body></worldbody></mujoco>"
    )
    family: Any = SimpleNamespace(
        model=model,
        goal=SimpleNamespace(marker=None),
        robot=SimpleNamespace(
            camera=(distance, azimuth, elevation),
            lookat=(0.0, 0.0, 0.0),
            camera_name=None,
            rest=lambda model: {},
            root_body=lambda model: min(1, model.nbody - 1),
        ),
    )
    with closing(RayCamera(family, size, threads=1)) as camera:
        return camera.take(model.qpos0, {}, 0.0).astype(np.int64)


def slopes(size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the slopes of the pixels' rays, for MuJoCo's default field of view of 45 degrees."""
    width, height = size
    pixel = 2.0 * math.tan(math.radians(22.5)) / height
    y, x = np.mgrid[:height, :width]
    return (x + 0.5 - width / 2.0) * pixel, (height / 2.0 - y - 0.5) * pixel


def covered(picture: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how much of each pixel something black covers."""
    return 1.0 - picture[..., 0] / SKY


@pytest.mark.parametrize("radius", [0.2, 0.7, 1.5])
def test_a_sphere_covers_the_disc_between_its_tangents(radius: float):
    """Rays at an angle of at most arcsin(radius / distance) to the middle hit it."""
    picture = shoot(f"<geom size='{radius}' {BLACK}/>", distance=4.0)
    across = np.hypot(*slopes(SIZE))
    pixel = 2.0 * math.tan(math.radians(22.5)) / SIZE[1]
    disc = math.tan(math.asin(radius / 4.0))
    assert (covered(picture)[across < disc - pixel] > 0.99).all()
    assert (picture[across > disc + pixel] == SKY).all()
    if disc + pixel < 0.41:  # the whole disc is in the picture
        area = covered(picture).sum() * pixel**2
        # a pixel on the edge is known to a quarter: 0.5 % of the smallest disc, measured 0.3 %
        assert area == pytest.approx(math.pi * disc**2, rel=0.005)


def test_the_light_is_that_of_the_formula():
    """Head-on: the ambient and diffuse light at the camera, times the colour of the surface."""
    picture = shoot("<geom type='box' size='1 1 1' rgba='0.8 0.5 0.2 1'/>")
    headlight = 0.35 + 0.45  # of a model without lights
    expected = 255.0 * headlight * np.array([0.8, 0.5, 0.2])
    np.testing.assert_allclose(picture[90, 120], expected, atol=1.0)


def test_a_shadow_lies_under_what_the_light_shines_on():
    """A plate of 1 m, 2 m above the floor, under parallel light that falls at 45 degrees."""
    light = "<light type='directional' pos='0 0 5' dir='1 0 -1' diffuse='0.4 0.4 0.4'/>"
    floor = "<geom type='plane' size='9 9 1' rgba='1 1 1 1'/>"
    plate = "<geom type='box' size='0.5 0.5 0.001' pos='-2 0 2' rgba='1 1 1 1'/>"
    settings: dict[str, Any] = {"elevation": -90.0, "distance": 6.0, "light": light}
    with_plate = shoot(floor + plate, **settings)[..., 0]
    without = shoot(floor, **settings)[..., 0]
    pixel = 6.0 * 2.0 * math.tan(math.radians(22.5)) / SIZE[1]
    x, y = (np.abs(slope) * 6.0 for slope in slopes(SIZE))
    # azimuth 90: to the right is +x; the plate's shadow is where the origin is
    inside, outside = (x < 0.5 - pixel) & (y < 0.5 - pixel), (x > 0.5 + pixel) & (x < 1.0)
    lost = without - with_plate
    lambert = 0.4 * math.cos(math.radians(45.0))
    np.testing.assert_allclose(lost[inside], FLOOR[1, 0] * lambert, atol=6.0)
    assert (lost[outside & (y < 1.5)] == 0).all()


def test_a_mesh_covers_what_its_corners_span():
    corners = np.array([[-0.9, 0.0, -0.6], [0.8, 0.3, -0.5], [0.1, -0.4, 0.9], [0.0, 0.5, 0.1]])
    vertices = " ".join(f"{value}" for value in corners.ravel())
    asset = f"<mesh name='m' vertex='{vertices}'/>"
    # the compiler moves a mesh to its centre of mass, and the geom by as much back
    picture = shoot(f"<geom type='mesh' mesh='m' {BLACK}/>", asset=asset)
    pixel = 2.0 * math.tan(math.radians(22.5)) / SIZE[1]
    depth = corners[:, 1] + 4.0
    across, up = corners[:, 0] / depth / pixel, corners[:, 2] / depth / pixel
    x, y = (slope / pixel for slope in slopes(SIZE))
    expected = np.zeros(x.shape, dtype=bool)
    for left_out in range(4):  # the silhouette is the union of the four triangles
        rest = [corner for corner in range(4) if corner != left_out]
        sides = [
            (across[k] - across[j]) * (y - up[j]) - (up[k] - up[j]) * (x - across[j])
            for j, k in zip(rest, rest[1:] + rest[:1], strict=True)
        ]
        expected |= (np.array(sides) > 0.0).all(0) | (np.array(sides) < 0.0).all(0)
    seen = covered(picture) > 0.5
    assert expected.sum() > 3000
    # pixels on the edge are known to a quarter
    assert not seen[~ndimage.binary_dilation(expected)].any()
    assert seen[ndimage.binary_erosion(expected)].all()
    assert (seen ^ expected).sum() < 0.02 * expected.sum()


def test_a_flat_height_field_looks_like_a_box():
    """Of 0.4 m height on a base of 0.2 m."""
    asset = "<hfield name='h' nrow='5' ncol='5' size='1 0.7 0.4 0.2' elevation='{}'/>"
    flat = " ".join(["1"] * 24 + ["0"])  # MuJoCo scales the data to 0 to 1; one corner is low
    hfield = shoot(
        "<geom type='hfield' hfield='h' rgba='0.8 0.5 0.2 1'/>",
        asset=asset.format(flat),
        elevation=-40.0,
    )
    box = shoot(
        "<geom type='box' size='1 0.7 0.3' pos='0 0 0.1' rgba='0.8 0.5 0.2 1'/>", elevation=-40.0
    )
    differ = np.abs(hfield - box).max(-1) > 3
    # what differs is the low corner, one of sixteen squares of the top
    assert differ.sum() < 0.1 * (box != SKY).any(-1).sum()
    assert (hfield != SKY).any(-1).sum() > 4000


def test_a_mesh_looks_like_the_box_that_it_is():
    corners = " ".join(f"{x} {y} {z}" for x in (-1, 1) for y in (-0.5, 0.5) for z in (-0.3, 0.3))
    place = "euler='10 20 30' rgba='0.3 0.6 0.9 1'"
    mesh = shoot(
        f"<geom type='mesh' mesh='m' {place}/>", asset=f"<mesh name='m' vertex='{corners}'/>"
    )
    box = shoot(f"<geom type='box' size='1 0.5 0.3' {place}/>")
    assert not np.array_equal(mesh, np.full_like(mesh, SKY))
    np.testing.assert_allclose(mesh, box, atol=2)
    tilted = shoot(f"<geom type='box' size='1 0.5 0.3' {place}/>", elevation=-25.0)
    assert np.abs(tilted - box).max() > 20


@pytest.mark.parametrize(
    "hidden", ["group='3' rgba='0 0 0 1'", "rgba='0 0 0 0'"], ids=["group", "transparent"]
)
def test_what_is_not_shown_is_not_hit(hidden: str):
    behind = f"<geom type='box' size='0.5 0.1 0.5' pos='0 1 0' {BLACK}/>"
    np.testing.assert_array_equal(shoot(f"<geom size='1' {hidden}/>{behind}"), shoot(behind))


def test_glass_lets_the_colours_behind_it_through():
    """Blended twice, as MuJoCo's renderer does: (1 - alpha)^2 of what is behind is left."""
    pane = "<geom type='box' size='0.8 0.01 0.8' pos='0 -0.5 0' rgba='0 0 0 0.4'/>"
    picture = shoot(f"<geom type='box' size='9 0.1 9' pos='0 1 0' rgba='1 1 1 1'/>{pane}")
    plain = shoot("<geom type='box' size='9 0.1 9' pos='0 1 0' rgba='1 1 1 1'/>")
    np.testing.assert_allclose(picture[90, 120], 0.36 * plain[90, 120], atol=1.0)
    np.testing.assert_array_equal(picture[:10], plain[:10])


def test_sites_are_drawn_too():
    np.testing.assert_array_equal(
        shoot(f"<geom size='0.4' {BLACK}/><site size='0.5' {BLACK}/>"),
        shoot(f"<geom size='0.5' {BLACK}/>"),
    )


def test_the_mean_of_a_texture_is_that_of_its_texels():
    """The integral image against summing texels in a loop, across the seams of the tiles."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    model: Any = SimpleNamespace(
        tex_height=[6],
        tex_width=[8],
        tex_nchannel=[3],
        tex_adr=[0],
        tex_data=pixels.ravel(),
        tex_type=np.array([mujoco.mjtTexture.mjTEXTURE_2D.value]),
    )
    texture = Texture(model, 0)
    fine = np.repeat(np.repeat(pixels, 4, 0), 4, 1) / 255.0  # quarters of texels
    for u, v, across, down in generator.integers(0, 24, (20, 4)):
        width, height = 4 + across % 20, 4 + down % 16  # one texel at least, one tile at most
        rows, columns = (v + np.arange(height)) % 24, (u + np.arange(width)) % 32
        expected = fine[rows[:, None], columns].mean((0, 1))
        middle = np.array([(u + width / 2) / 32]), np.array([(v + height / 2) / 24])
        mean = texture.repeated(*middle, (np.array([width / 32]), np.array([height / 24])))
        np.testing.assert_allclose(mean[:, 0], expected, atol=1e-9)


def test_a_checker_without_look_up_is_the_mean_of_its_texels():
    squares = np.kron([[0, 1], [1, 0]], np.ones((6, 6), int))
    pixels = FLOOR[squares]
    model: Any = SimpleNamespace(
        tex_height=[12],
        tex_width=[12],
        tex_nchannel=[3],
        tex_adr=[0],
        tex_data=pixels.ravel(),
        tex_type=np.array([mujoco.mjtTexture.mjTEXTURE_2D.value]),
    )
    texture, generator = Texture(model, 0), np.random.default_rng(0)
    assert texture._checker is not None
    for u, v, width, height in generator.integers(1, 13, (30, 4)):
        rows, columns = (v + np.arange(height)) % 12, (u + np.arange(width)) % 12
        expected = pixels[rows[:, None], columns].mean((0, 1)) / 255.0
        middle = np.array([(u + width / 2) / 12]), np.array([(v + height / 2) / 12])
        across = np.array([width / 12]), np.array([height / 12])
        checker = texture.repeated(*middle, across)[:, 0]
        np.testing.assert_allclose(checker, expected, atol=1e-6)
        summed = Texture(model, 0)
        summed._checker = None
        np.testing.assert_allclose(summed.repeated(*middle, across)[:, 0], checker, atol=1e-6)


@pytest.mark.parametrize("name", ["AntDir", "HalfCheetahVel", "HumanoidDir", "PusherGoal"])
def test_rays_outside_a_window_hit_nothing(name: str):
    """Against casting all rays: whatever is hit lies inside, and most of the rest is left out."""
    family = envs.make(name)
    model, data = family.model, mujoco.MjData(family.model)
    data.qpos[:], _ = family.robot.start(model, np.random.default_rng(0))
    mujoco.mj_forward(model, data)
    caster = Caster(model, np.flatnonzero(model.geom_type != PLANE), 1)
    caster.pose(data)
    a, b = (slope.ravel() for slope in slopes(SIZE))
    for way in np.random.default_rng(1).standard_normal((6, 3)):
        forward = way / np.linalg.norm(way)
        right = cross(forward, np.array([0.0, 0.0, 1.0]))
        right /= np.linalg.norm(right)
        eye = Eye(data.xpos[1] - 4.0 * forward, forward, right, cross(right, forward))
        inside = caster.window(eye).inside(a, b)
        hit = np.flatnonzero(caster._cast_solids(eye, eye.bundle(a, b), 1e3, 0)[0] >= 0)
        assert len(hit) > 100
        assert np.isin(hit, inside).all()
        assert len(inside) < 5 * len(hit)
        within = eye._replace(origin=data.xpos[1])
        assert len(caster.window(within).inside(a, b)) == len(a)


def picture_of(name: str, threads: int = 1, ghost: bool = False) -> NDArray[np.uint8]:
    family = envs.make(name)
    qpos, _ = family.robot.start(family.model, np.random.default_rng(0))
    beside = qpos + np.r_[0.7, np.zeros(len(qpos) - 1)] if ghost else None
    with closing(RayCamera(family, SIZE, threads=threads)) as camera:
        return camera.take(qpos, family.sample_tasks(1, seed=0)[0], 0.5, beside)


def test_a_picture_does_not_depend_on_threads_nor_on_how_rays_are_bundled(
    monkeypatch: pytest.MonkeyPatch,
):
    first = picture_of("HumanoidDir", ghost=True)
    np.testing.assert_array_equal(picture_of("HumanoidDir", ghost=True), first)
    monkeypatch.setattr(ray_camera, "_BAND", 1_001)
    for threads in (1, 3):
        np.testing.assert_array_equal(picture_of("HumanoidDir", threads, ghost=True), first)


@pytest.mark.parametrize(
    "name", ["AntDir", "HalfCheetahVel", "AntGoal"], ids=["arrow", "line", "disc"]
)
def test_goal_and_ghost_are_drawn(name: str):
    alone, both = picture_of(name).astype(int), picture_of(name, ghost=True).astype(int)
    red = (alone[..., 0] > 120) & (alone[..., 1:] < 90).all(-1)
    assert 20 < red.sum() < 1500
    strength = 1.0 - (1.0 - GHOST_COLOUR[3]) ** 2
    assert 0.5 < strength < 0.7
    blue = both[..., 2] - both[..., 0] > 60
    assert blue.sum() > 100
    assert not (alone[..., 2] - alone[..., 0] > 60).any()


def segments(camera: RayCamera) -> NDArray[np.int64]:
    """Return the model's geom in each pixel of the picture taken last; -1 for none, -2 others."""
    shot = camera._shot(False)
    kind = camera._trace(shot, *camera._pixels(shot.pixel))[1].reshape(SIZE[1], SIZE[0])
    geoms = [geom.objid if geom.objtype == GEOM else -2 for geom in shot.looks.geoms]
    return np.where(kind >= 0, np.array(geoms)[kind % len(geoms)], -1)


@pytest.mark.parametrize("name", sorted(OF_EACH_ROBOT.values()))
def test_looks_like_opengl(name: str):
    """Silhouettes and colours of every robot against MuJoCo's renderer, in the same state.

    Measured: of the pixels that either has of the robot, both have at least 99 % (96 % of the
    point, which is 25 pixels). Colours differ by 1 grey level on the floor (median), by none in the
    sky. Robots differ by at most 13 of 255 on average, where OpenGL widens the white marks of
    Gymnasium's texture, the humanoid by 26: it is higher than its lamp, and OpenGL leaves out
    the shadow of what is above a lamp.
    """
    try:
        family = envs.make(name)
        opengl = OpenGLCamera(family, SIZE)
    except (ImportError, ValueError, RuntimeError) as error:
        pytest.skip(f"{error}")
    qpos, _ = family.robot.start(family.model, np.random.default_rng(0))
    task = family.sample_tasks(1, seed=0)[0]
    with closing(opengl), closing(RayCamera(family, SIZE, threads=1)) as rays:
        expected = opengl.take(qpos, task, 0.5).astype(int)
        opengl.renderer.enable_segmentation_rendering()
        ids, types = np.moveaxis(opengl.renderer.render(), -1, 0)
        picture = rays.take(qpos, task, 0.5).astype(int)
        geom = segments(rays)
    model = family.model
    # the last two are for what is no geom, at the indices -2 and -1
    robot = np.array([*(model.body_weldid[model.geom_bodyid] > 0), False, False])
    floor = np.array([*(model.geom_type == PLANE), False, False])
    other = np.where(types == GEOM, ids, np.where(ids < 0, -1, -2))
    # a marker hides the puck that PandaPush wants there; OpenGL's segments look through it
    ours, theirs = robot[geom], robot[other] & (geom != -2)
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.95
    difference = np.abs(picture - expected).max(-1)
    for ours, theirs, bound in (
        (floor[geom], floor[other], 2),
        (geom == -1, other == -1, 0),
    ):
        inside = ndimage.binary_erosion(ours & theirs, iterations=2)
        if inside.any():
            assert np.median(difference[inside]) <= bound
    inside = robot[geom] & robot[other]
    if name != "Point2D":
        inside = ndimage.binary_erosion(inside)
    apart = np.abs(picture[inside].mean(0) - expected[inside].mean(0)).max()
    assert apart < (32 if name.startswith("Humanoid") else 16)
    # Menagerie's scenes have haze at the horizon, which only OpenGL draws: 7 to 10
    bound = 12.0 if name in menagerie_families.ENTRIES else 2.0
    assert np.abs(picture - expected).mean() < bound


def test_the_floor_has_its_squares():
    """From straight above: the squares of a point's floor, 0.25 m wide, in their two colours."""
    family = envs.make("Point2DCorner")
    with closing(RayCamera(family, SIZE, threads=1)) as camera:
        picture = camera.take(family.model.qpos0, {"corner": 0.0}, 0.0).astype(float)
    row = picture[5]
    values = np.sort(row[:, 0])
    dark, light = values[len(values) // 10], values[-len(values) // 10]
    assert light / dark == pytest.approx(FLOOR[1, 0] / FLOOR[0, 0], rel=0.03)
    changes = np.flatnonzero(np.diff(row[:, 0] > (dark + light) / 2.0))
    assert np.diff(changes).std() < 1.0
    assert len(changes) > 3
