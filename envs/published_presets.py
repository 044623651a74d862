"""The variants of the named families that papers have published."""

from typing import Any

from metarl.envs import goals
from metarl.envs.gymnasium_families import MAML, PEARL, PROMP
from metarl.envs.robots import Ant, Humanoid, Point

_MAML_ANT = {
    "source": f"{MAML}, 5.3, on Ant-v5's body and control steps",
    "robot": Ant(),
    "action_scale": 1.0,
    "control_cost": 0.005,
    "contact_cost": 5e-4,
    "survive_bonus": 0.05,
}
_PROMP_ANT = {
    "source": PROMP,
    "robot": Ant(lowest=0.0),
    "action_scale": 0.1,
    "contact_cost": 5e-4,
}
_PEARL_ANT = {"source": f"{PEARL}, without contact forces", "action_scale": 1.0}
_PROMP_HUMANOID = {
    "source": PROMP,
    "robot": Humanoid(),
    "action_scale": 0.1,
    "contact_cost": 5e-7,
    "contact_cost_limit": 10.0,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "Point2D": {
        "maml2017": {},
        "promp2018": {
            "goal": goals.position_in_square(2.0, extrapolate=(2.0, 3.0)),
            "action_scale": 0.1,
        },
        "pearl2019": {
            "robot": Point(spread=1.0),
            "goal": goals.position_in_square(1.0, extrapolate=(1.0, 1.5)),
            "horizon": 20,
        },
    },
    "Point2DCorner": {
        "promp2018": {"goal": goals.corner(2.0, sparse_within=0.5), "action_scale": 0.1}
    },
    "Point2DSparse": {"pearl2019": {}},
    "HalfCheetahDir": {
        "maml2017": {"horizon": 200, "action_scale": 1.0},
        "promp2018": {"horizon": 100, "action_scale": 0.1},
        "pearl2019": {"horizon": 200, "action_scale": 1.0},
    },
    "HalfCheetahVel": {
        "maml2017": {
            "goal": goals.velocity(0.0, 2.0, extrapolate=(2.0, 3.0)),
            "horizon": 200,
            "action_scale": 1.0,
        },
        "promp2018": {"horizon": 100, "action_scale": 0.1},
        "pearl2019": {"horizon": 200, "action_scale": 1.0},
    },
    "AntDir": {"maml2017": _MAML_ANT, "promp2018": _PROMP_ANT},
    "AntDir2D": {"promp2018": _PROMP_ANT, "pearl2019": _PEARL_ANT},
    "AntVel": {"maml2017": {**_MAML_ANT, "survive_bonus": 1.05}},
    "AntGoal": {
        "maml2017": {
            **_MAML_ANT,
            "goal": goals.position_in_square(3.0, extrapolate=(3.0, 4.0), norm=1),
            "survive_bonus": 4.05,
        },
        "promp2018": {**_PROMP_ANT, "survive_bonus": 0.0, "falls": False},
        "pearl2019": {
            **_PROMP_ANT,
            "source": PEARL,
            "action_scale": 1.0,
            "survive_bonus": 0.0,
            "falls": False,
        },
    },
    "HopperRandParams": {
        "promp2018": {"action_scale": 0.1},
        "pearl2019": {"action_scale": 1.0},
    },
    "WalkerRandParams": {
        "promp2018": {"action_scale": 0.1},
        "pearl2019": {"action_scale": 1.0},
    },
    "Walker2dDir": {"promp2018": {"action_scale": 0.1}},
    "Walker2dVel": {
        "promp2018": {
            "goal": goals.velocity(0.0, 10.0, extrapolate=(10.0, 12.0)),
            "action_scale": 0.1,
            "survive_bonus": 15.0,
        },
    },
    "SwimmerVel": {"promp2018": {"action_scale": 0.1}},
    "HumanoidDir": {"promp2018": _PROMP_HUMANOID},
    "HumanoidDir2D": {
        "promp2018": _PROMP_HUMANOID,
        "pearl2019": {**_PROMP_HUMANOID, "source": PEARL, "action_scale": 1.0},
    },
}
"""Published variants: family -> preset -> what differs from the catalogue's entry."""
