"""Environments that the user registered with Gymnasium, carried to another process.

Gymnasium's registry is filled by running code, such as the user's script, which a sampling process
does not run.
"""

import contextlib
import sys
from collections.abc import Iterator

import cloudpickle
import gymnasium
from gymnasium.envs.registration import EnvSpec

_MAIN = "__main__:"
"""How the name of what is defined in a script or a notebook begins in an entry of the registry."""


def registered() -> list[bytes]:
    """Return Gymnasium's registry entries, with the objects of the script that they name.

    One pickle each: an entry that cannot be pickled is left out, without harm to others.
    """
    pickles = []
    main = sys.modules["__main__"]
    for spec in gymnasium.registry.values():
        with contextlib.suppress(Exception):
            named = {name: getattr(main, name) for name in _of_main(spec)}
            pickles.append(cloudpickle.dumps((spec, named)))
    return pickles


def register(pickles: list[bytes]) -> None:
    """Take over the entries that `registered` returned in another process.

    An entry that cannot be loaded is left out, as its module may be missing for a reason.
    """
    for pickle in pickles:
        with contextlib.suppress(Exception):
            spec, named = cloudpickle.loads(pickle)
            for name, value in named.items():
                setattr(sys.modules["__main__"], name, value)
            gymnasium.registry[spec.id] = spec


def _of_main(spec: EnvSpec) -> Iterator[str]:
    """Yield the names in `__main__` that an entry refers to."""
    wrappers = (wrapper.entry_point for wrapper in spec.additional_wrappers)
    for entry_point in (spec.entry_point, spec.vector_entry_point, *wrappers):
        if isinstance(entry_point, str) and entry_point.startswith(_MAIN):
            yield entry_point.removeprefix(_MAIN)
