"""What several tests share: small families and a learner that trains in a second."""

import os
import signal
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import metarl
from metarl import envs

SMALL = {"tasks": 4, "rollouts": 3, "hidden": (8,), "inner_lr": 0.5, "threads": 1}


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C works here and in what tests start; shells turn it off for what runs with `&`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def point() -> envs.TaskFamily:
    return envs.make("Point2D", horizon=12)


@pytest.fixture
def learner(point: envs.TaskFamily) -> metarl.MAML:
    return metarl.MAML(point, seed=3, **SMALL)


@pytest.fixture
def run_folder(learner: metarl.MAML, tmp_path: Path) -> Path:
    """A finished run of four iterations at most."""
    metarl.train(learner, tmp_path / "run", 800)
    return tmp_path / "run"


def agent_ports() -> dict[str, int]:
    """Free ports for the agents of a node of Ray's.

    A node that is not told them waits for its agents to say theirs, but only for 15 s: on a busy
    machine they have not started by then.
    """
    agents = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in agents]
        return {
            f"{agent}_port": each.getsockname()[1]
            for agent, each in zip(agents, sockets, strict=True)
        }


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[list]:
    """The cluster, its address and its second node, of a core each."""
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -c constraints.txt '.[cluster]'"
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray  # pyright: ignore[reportMissingImports]
        from ray.cluster_utils import Cluster as Nodes  # pyright: ignore[reportMissingImports]

        nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, **agent_ports()})
        second = nodes.add_node(num_cpus=1, **agent_ports())
        nodes.wait_for_nodes()
    yield [nodes, f"ray:{nodes.address}", second]
    ray.shutdown()
    nodes.shutdown()
