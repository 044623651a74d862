"""The pretrained policies by name: `pretrained:HalfCheetahVel` stands for a checkpoint.

    learner = metarl.load("pretrained:HalfCheetahVel")

Beside each checkpoint lies its card: how it was trained, on what, and what it reaches.
"""

import json
from pathlib import Path
from typing import Any

from metarl.envs.nearest import nearest

PREFIX = "pretrained:"
_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the families that there is a pretrained policy of."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.safetensors")))


def is_pretrained(reference: str | Path) -> bool:
    """Return whether these words name a pretrained policy, rather than a file or folder."""
    return str(reference).startswith(PREFIX)


def checkpoint_of(reference: str | Path) -> Path:
    """Return the checkpoint of `pretrained:NAME`.

    Raises:
        ValueError: for a name that there is no policy of.
    """
    return _FOLDER / f"{_known(reference)}.safetensors"


def card(name: str) -> dict[str, Any]:
    """Return the card of a pretrained policy: family, training, versions, returns, licence.

    Args:
        name: one of `names()`.

    Raises:
        ValueError: for another name.
    """
    return json.loads((_FOLDER / f"{_known(name)}.json").read_text())


def _known(reference: str | Path) -> str:
    name = str(reference).removeprefix(PREFIX)
    if name not in names():
        raise ValueError(f"no pretrained policy {name!r}{nearest(name, names())}")
    return name
