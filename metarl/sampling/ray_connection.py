"""The connection to a Ray cluster: quiet, with deadlines, and with the user's own modules."""

import importlib
import os
import signal
import socket
import sys
import sysconfig
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from metarl.envs.family import Family
from metarl.system.cores import cores

_ANSWER = 10.0
"""Time [s] that a cluster has to take a connection."""


def connected(address: str) -> Any:  # noqa: ANN401, the module is not there for type checkers
    """Return the module `ray`, connected; an existing connection is reused.

    Args:
        address: see `Cluster`.

    Raises:
        ValueError: when Ray is not installed, or no cluster answers there.
    """
    # set before the import reads them: nothing is reported to Ray's makers
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise ValueError(
            f"the cluster {address} needs Ray: in a checkout of metarl, "
            "pip install -c constraints.txt '.[cluster]'"
        ) from None
    if ray.is_initialized():
        return ray
    where = address.removeprefix("ray").removeprefix(":") or os.environ.get("RAY_ADDRESS", "")
    _check_answers(where)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    here = {"address": "local", "num_cpus": cores(), "include_dashboard": False}
    handlers = _handlers()
    try:
        ray.init(**quiet, **({"address": where} if where else here))
    except Exception as error:
        raise ValueError(f"no connection to the Ray cluster {where}: {_reason(error)}") from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray takes SIGTERM, which saves a run here
    return ray


def pickled_with_own_modules(family: Family) -> bytes:
    """Return a family as it is sent to a cluster, with the code of modules that are not there.

    Raises:
        ValueError: when it cannot be pickled.
    """
    # by their own names: a module may stand in `sys.modules` under several
    own = {module.__name__: module for module in list(sys.modules.values()) if _is_own(module)}
    known = cloudpickle.list_registry_pickle_by_value()
    added = [module for name, module in own.items() if name not in known]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(family)
    except Exception as error:
        raise ValueError(
            f"{family.name} cannot be sent to a cluster: {error}. Let its functions create what "
            "cannot be pickled when they are called, instead of holding it"
        ) from error
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(module: ModuleType) -> bool:
    """Return whether a module is the user's: not installed, nor part of Python or metarl."""
    file = getattr(module, "__file__", None)
    name = getattr(module, "__name__", "")
    if not file or not file.endswith(".py") or name.split(".")[0] in ("metarl", "__main__"):
        return False
    installed = {sysconfig.get_path(kind) for kind in ("stdlib", "platlib", "purelib")}
    path = Path(file).resolve()
    return not any(path.is_relative_to(Path(folder).resolve()) for folder in installed)


def _check_answers(where: str) -> None:
    """Raise ValueError when no one listens there; Ray itself would try for minutes."""
    host, _, port = where.rpartition(":")
    if not host or not port.isdecimal():  # `auto`, or nothing
        return
    try:
        socket.create_connection((host, int(port)), _ANSWER).close()
    except OSError as error:
        raise ValueError(
            f"no Ray cluster answers at {where}: {error}; on its first machine `ray start --head` "
            "shows the address"
        ) from None


def _reason(error: Exception) -> str:
    """Return in a line why a connection failed, and what to do."""
    kind, words = type(error).__name__, " ".join(f"{error}".split())
    if "auth" in kind.lower() or "auth" in words.lower():
        return (
            "it asks for a token. Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds "
            "it (`ray get-auth-token` on the cluster shows it)"
        )
    return f"{kind}: {words[:300]}"


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
