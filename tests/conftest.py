"""What several tests share: small families and a learner that trains in a second."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import metarl
from metarl import envs

SMALL = {"tasks": 4, "rollouts": 3, "hidden": (8,), "inner_lr": 0.5, "threads": 1}


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


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[list]:
    """The cluster, its address and its second node, of a core each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install metarl[cluster]")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray  # pyright: ignore[reportMissingImports]
        from ray.cluster_utils import Cluster as Nodes  # pyright: ignore[reportMissingImports]

        nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1})
        second = nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
    yield [nodes, f"ray:{nodes.address}", second]
    ray.shutdown()
    nodes.shutdown()
