"""Sampling on a Ray cluster of two nodes, on this machine: the same bits, whatever is lost."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.envs.distributions import Uniform
from metarl.envs.foreign_family import ForeignFamily
from metarl.experience.rollouts import Rollouts
from metarl.learner.config import Config
from metarl.sampling import cluster as cluster_module
from metarl.sampling import ray_connection
from metarl.sampling.cluster import Cluster
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key, Phase, torch_generator
from metarl.system.remote import LostError
from tests.conftest import SMALL, agent_ports

# on a busy machine a cluster's cores are not free at once, which it says
pytestmark = pytest.mark.filterwarnings("default:waiting for .* of the cluster")

KEY = Key(7, Phase.TRAIN, 2)


class Marked(gymnasium.Env):
    """Moves by its action; in one task something happens once, at its third step."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    task, happens, marker = 0.0, "nothing", ""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = self.np_random.uniform(-1.0, 1.0, 2), 0
        return self.place.copy(), {}

    def step(self, action):
        self.time += 1
        self.place += [self.task, float(action[0])]
        if self.time == 3 and self.task > 0.5 and not Path(self.marker).exists():
            self.happen()
        return self.place.copy(), float(self.place.sum()), False, False, {}

    def happen(self):
        if self.happens == "nothing":
            return
        if self.happens == "always":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.happens == "error":
            raise KeyError("a joint")
        if self.happens == "node":
            import ray  # pyright: ignore[reportMissingImports]

            node = ray.get_runtime_context().get_node_id()
            if node != Path(self.marker).with_suffix(".node").read_text():
                return
        Path(self.marker).touch()
        if self.happens == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1000.0)


def marked(happens: str, folder: Path) -> ForeignFamily:
    marker = str(folder / "happened")

    def set_task(env: gymnasium.Env, task: dict[str, float]) -> None:
        inner = env.unwrapped
        inner.task, inner.happens, inner.marker = task["x"], happens, marker  # type: ignore[attr-defined]

    return ForeignFamily("Marked", Marked, set_task, (Uniform("x", 0.0, 1.0),), horizon=6)


def asked(family: envs.Family, tasks: int):
    policy = GaussianPolicy(family.observation_size, family.action_size)
    initial = policy.initial(torch_generator(0))
    return policy, {name: value.expand(tasks, *value.shape) for name, value in initial.items()}


def rollouts_of(sampler, family: envs.Family, tasks: int, iterations: int = 1) -> list[Rollouts]:
    policy, parameters = asked(family, tasks)
    with sampler:
        result = []
        for iteration in range(iterations):
            sampler.set_tasks(family.sample_tasks(tasks, seed=iteration))
            key = KEY._replace(iteration=iteration)
            result += [sampler.sample(policy, parameters, key) for _ in range(2)]
    return result


def same(a: list[Rollouts], b: list[Rollouts]) -> bool:
    pairs = [pair for one, other in zip(a, b, strict=True) for pair in zip(one, other, strict=True)]
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HalfCheetahVel", "HopperRandParams"])
def test_rollouts_are_those_of_this_process(two_nodes: list, name: str):
    family = envs.make(name, horizon=15)
    here = rollouts_of(Sampler(family, 30, 2, threads=1), family, 30, 2)
    cluster = Cluster(family, 30, 2, address=two_nodes[1])
    assert len(cluster._parts) == 2, "both nodes have work"
    assert same(here, rollouts_of(cluster, family, 30, 2))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["maml-trpo", "siamese"])
def test_a_run_is_that_of_this_process(two_nodes: list, algorithm: str, tmp_path: Path):
    """To the bytes of its checkpoint, which says nothing of the cluster."""
    family, settings = envs.make("Point2D", horizon=12), {**SMALL, "rollouts": 4}
    for name, workers in (("here", 1), ("there", two_nodes[1])):
        learner = metarl.MAML(family, algorithm=algorithm, workers=workers, **settings)
        metarl.train(learner, tmp_path / name, 600)
    here, there = (metarl.load(tmp_path / name) for name in ("here", "there"))
    assert here.fingerprint == there.fingerprint
    assert there.config.workers == 0
    one, other = (
        metarl.evaluate(learner, tasks=4, rollouts=3, steps=1).returns
        for learner in (here, metarl.load(tmp_path / "there", workers=two_nodes[1]))
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("happens", ["death", "hang"])
def test_a_process_that_dies_or_hangs_is_replaced(
    two_nodes: list, happens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module, "PATIENCE", 4.0)
    monkeypatch.setattr(cluster_module, "_LOOK", 0.5)
    family = marked(happens, tmp_path)
    here = rollouts_of(Sampler(marked("nothing", tmp_path), 4, 2), family, 4)
    with pytest.warns(RuntimeWarning, match="a process of the cluster was lost") as told:
        there = rollouts_of(Cluster(family, 4, 2, address=two_nodes[1]), family, 4)
    assert len(told) == 1
    assert (tmp_path / "happened").exists()
    assert same(here, there)


@pytest.mark.slow
def test_a_node_that_is_killed_is_done_without(two_nodes: list, tmp_path: Path):
    nodes, address, second = two_nodes
    (tmp_path / "happened.node").write_text(second.node_id)

    def kill_the_node() -> None:
        while not (tmp_path / "happened").exists():
            time.sleep(0.05)
        nodes.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_the_node, daemon=True)
    family = marked("node", tmp_path)
    # tasks beyond 0.5, where it happens, are in both parts
    here = rollouts_of(Sampler(marked("nothing", tmp_path), 12, 2), family, 12)
    cluster = Cluster(family, 12, 2, address=address)
    killer.start()
    try:
        with pytest.warns(RuntimeWarning, match="a process of the cluster was lost"):
            there = rollouts_of(cluster, family, 12)
    finally:
        killer.join(10)
        two_nodes[2] = nodes.add_node(num_cpus=1, **agent_ports())
        nodes.wait_for_nodes()
    assert same(here, there)


@pytest.mark.slow
def test_what_is_lost_again_and_again_ends_the_sampling(
    two_nodes: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module, "RETRIES", 2)
    family = marked("always", tmp_path)
    with (
        pytest.warns(RuntimeWarning, match="was lost"),
        pytest.raises(LostError, match=r"lost 3 times on the cluster, .* checkpoint is intact"),
    ):
        rollouts_of(Cluster(family, 4, 2, address=two_nodes[1]), family, 4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:waiting for")  # a busy machine takes long to start a process
def test_an_error_of_an_environment_is_raised_as_it_is(two_nodes: list, tmp_path: Path):
    family = marked("error", tmp_path)
    told = r"step of Marked failed \(.*test_cluster.py, line \d+\): KeyError: 'a joint'"
    with pytest.raises(RuntimeError, match=told) as raised:
        rollouts_of(Cluster(family, 4, 2, address=two_nodes[1]), family, 4)
    assert type(raised.value) is RuntimeError
    (note,) = raised.value.__notes__
    assert "in the cluster:" in note
    assert 'raise KeyError("a joint")' in note
    assert "\x1b" not in note


@pytest.mark.slow
def test_cores_that_others_use_are_waited_for_with_a_word(
    two_nodes: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ray = ray_connection.connected(two_nodes[1])
    monkeypatch.setattr(cluster_module, "_LOOK", 0.5)
    monkeypatch.setattr(cluster_module, "_SILENT", 2.0)
    family = marked("nothing", tmp_path)
    cluster = Cluster(family, 4, 2, address=two_nodes[1])
    busy = [ray.remote(num_cpus=1)(lambda: time.sleep(8.0)).remote() for _ in range(2)]
    time.sleep(3.0)  # until they run
    with pytest.warns(RuntimeWarning, match="waiting for 2 of the cluster's 2 cores"):
        there = rollouts_of(cluster, family, 4)
    ray.get(busy)
    assert same(there, rollouts_of(Sampler(family, 4, 2), family, 4))


def test_where_no_cluster_is_a_line_says_so(monkeypatch: pytest.MonkeyPatch):
    family = envs.make("Point2D", horizon=5)
    monkeypatch.setitem(sys.modules, "ray", None)
    how = r"in a checkout of metarl, pip install -c constraints\.txt '\.\[cluster\]'"
    with pytest.raises(ValueError, match=f"cluster ray needs Ray: {how}"):
        Cluster(family, 4, 2, address="ray")


def test_an_address_where_no_one_answers_is_named():
    with pytest.raises(ValueError, match=r"no Ray cluster answers at 127\.0\.0\.1:1: .*ray start"):
        ray_connection._check_answers("127.0.0.1:1")
    ray_connection._check_answers("auto")


def test_a_missing_token_is_told_with_what_to_set():
    words = ray_connection._reason(RuntimeError("InvalidAuthToken: token missing\nmore"))
    assert words.startswith("it asks for a token. Set RAY_AUTH_TOKEN")
    assert ray_connection._reason(OSError("a\nb")) == "OSError: a b"


def test_own_modules_travel_and_installed_ones_do_not():
    assert ray_connection._is_own(sys.modules[__name__])
    for module in (np, metarl, os, pytest):
        assert not ray_connection._is_own(module)


def test_a_checkpoint_does_not_keep_the_address(tmp_path: Path):
    learner = metarl.MAML("Point2D", workers="ray:10.0.0.1:6379", **SMALL)
    assert learner.config.kept()["workers"] == 0
    learner.save(tmp_path / "a")
    assert metarl.load(tmp_path / "a").config.workers == 0
    for words in ("rays", "ray:", "ray:host", "ray:a b:1"):
        with pytest.raises(ValueError, match="workers must be a whole number, or ray, ray:auto"):
            Config.of({"workers": words})
