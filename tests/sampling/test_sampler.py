"""Sampling here and in other processes: the same rollouts to the last bit, and honest failures."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.policy import GaussianPolicy
from metarl.comparing.scoring import model_return
from metarl.envs.distributions import Uniform
from metarl.envs.foreign_family import ForeignFamily
from metarl.experience.rollouts import Rollouts
from metarl.sampling import workers as workers_module
from metarl.sampling.collect import collect, empty_rollouts
from metarl.sampling.sampler import Sampler, chunks_of, parts_of
from metarl.sampling.streams import Key, Phase, torch_generator
from metarl.sampling.workers import Workers
from metarl.system import shared_memory
from metarl.system.remote import LostError, Remote

KEY = Key(7, Phase.TRAIN, 2)
TASKS, ROLLOUTS = 43, 2


def setting(name: str):
    """A family, its tasks, a policy, and parameters of each task's own."""
    family = envs.make(name, horizon=15)
    policy = GaussianPolicy(family.observation_size, family.action_size)
    generator = torch_generator(1)
    parameters = {
        key: value + 0.1 * torch.randn(TASKS, *value.shape, generator=generator)
        for key, value in policy.initial(torch_generator(0)).items()
    }
    return family, family.sample_tasks(TASKS, seed=0), policy, parameters


def same(a: Rollouts, b: Rollouts) -> bool:
    return all(x.equal(y) for x, y in zip(a, b, strict=True))


def test_rollouts_are_the_same_for_any_number_of_workers_and_threads():
    """Of a robot that falls, so that their lengths differ."""
    family, tasks, policy, parameters = setting("HopperRandParams")
    shapes = policy.shapes
    found = []
    for threads in (1, 2, 5):
        sampler = Sampler(family, TASKS, ROLLOUTS, threads=threads)
        sampler.set_tasks(tasks)
        found.append(sampler.sample(policy, parameters, KEY))
        again = sampler.sample(policy, parameters, KEY)
        assert same(found[-1], again), "a second time"
    for count, threads in ((1, 2), (3, 5)):
        with Workers(family, TASKS, ROLLOUTS, shapes, count=count, threads=threads) as workers:
            workers.set_tasks(tasks)
            found.append(workers.sample(policy, parameters, KEY))
            other = workers.sample(policy, parameters, KEY._replace(step=1))
            assert not same(found[-1], other), "and the first is not overwritten"
    assert all(same(found[0], each) for each in found[1:])


def test_chunks_are_the_rollouts_of_one_simulator():
    """What `collect` gives for all tasks at once, to the accuracy of floats on chaotic physics."""
    family, tasks, policy, parameters = setting("HalfCheetahVel")
    sampler = Sampler(family, TASKS, ROLLOUTS)
    sampler.set_tasks(tasks)
    simulator = envs.Simulator(family, TASKS * ROLLOUTS)
    simulator.set_tasks(tasks.repeat(ROLLOUTS))
    whole = collect(simulator, policy, parameters, KEY, empty_rollouts(family, TASKS, ROLLOUTS))
    chunked = sampler.sample(policy, parameters, KEY)
    for a, b in zip(whole, chunked, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("tasks", [1, 10, 11, 40, 95])
@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_parts_are_all_tasks_in_order(tasks: int, count: int):
    family = envs.make("Point2D")
    parts, chunks = parts_of(family, tasks, count), chunks_of(family, tasks)
    every = [task for part in parts for chunk in chunks[part] for task in range(tasks)[chunk]]
    assert every == list(range(tasks))
    assert len(parts) == min(count, len(chunks))
    sizes = [len(chunks[part]) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_there_are_chunks_for_two_threads_and_no_more_than_needed():
    family = envs.make("Point2D")
    assert [len(chunks_of(family, tasks)) for tasks in (1, 2, 20, 40, 41, 80, 1000)] == [
        1, 2, 2, 2, 4, 4, 64,
    ]  # fmt: skip


def test_shared_memory_is_seen_from_both_sides():
    layout = {
        "flags": ((3,), torch.bool),
        "numbers": ((2, 5), torch.float32),
        "none": ((0, 4), torch.float32),
    }
    descriptor = shared_memory.create(layout)
    one, other = (shared_memory.attach(descriptor, layout) for _ in range(2))
    os.close(descriptor)
    one["numbers"][:] = torch.arange(10.0).view(2, 5)
    one["flags"][1] = True
    assert other["numbers"].equal(torch.arange(10.0).view(2, 5))
    assert other["flags"].tolist() == [False, True, False]
    assert other["none"].shape == (0, 4)


def test_bad_tasks_are_refused_as_here():
    family, tasks, policy, _ = setting("HalfCheetahVel")
    sampler = Sampler(family, TASKS, ROLLOUTS)
    with pytest.raises(ValueError, match="this sampler has 43 tasks, got 3"):
        sampler.set_tasks(tasks[:3])
    with pytest.raises(ValueError, match=r"rollouts must be a whole number of .*, got 1\.5"):
        Sampler(family, TASKS, 1.5)  # type: ignore[arg-type]
    far = envs.Tasks(("velocity",), np.full((TASKS, 1), 99.0))
    shapes = policy.shapes
    with Workers(family, TASKS, ROLLOUTS, shapes, count=2) as workers:
        with pytest.raises(ValueError, match="velocity 99 is outside the range"):
            workers.set_tasks(far)
        workers.set_tasks(tasks)  # nothing is lost by it


@pytest.mark.parametrize(
    ("how", "when"),
    [
        (signal.SIGKILL, "before"),
        pytest.param(signal.SIGKILL, "within", marks=pytest.mark.slow),
        pytest.param(signal.SIGSTOP, "before", marks=pytest.mark.slow),
        pytest.param(signal.SIGSTOP, "within", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_dies_or_hangs_is_replaced(how: int, when: str, monkeypatch):
    """With the same numbers, and one warning."""
    monkeypatch.setattr(workers_module, "LEAST", 1.0)
    family, tasks, policy, parameters = setting("HalfCheetahVel")
    with Workers(family, TASKS, ROLLOUTS, policy.shapes, count=2) as workers:
        workers.set_tasks(tasks)
        whole = workers.sample(policy, parameters, KEY)
        lost = workers._workers[1].remote.process
        workers._patience = 1.0
        timer = threading.Timer(0.0 if when == "before" else 0.02, os.kill, (lost.pid, how))
        timer.start()
        if when == "before":
            timer.join()
        reason = "ended with code -9; memory" if how == signal.SIGKILL else "gave no answer for 1 s"
        with pytest.warns(RuntimeWarning, match=f"process 1 {reason}.*: another process") as told:
            again = workers.sample(policy, parameters, KEY)
        assert len(told) == 1
        assert same(whole, again)
        assert lost.poll() == -signal.SIGKILL, "nothing is left of it"
        assert same(whole, workers.sample(policy, parameters, KEY)), "and from now on as before"


@pytest.mark.slow
def test_processes_that_die_again_and_again_end_the_sampling(monkeypatch):
    family, tasks, policy, parameters = setting("HalfCheetahVel")
    with Workers(family, TASKS, ROLLOUTS, policy.shapes, count=2) as workers:
        workers.set_tasks(tasks)
        worker = workers._workers[1]
        monkeypatch.setattr(worker, "_start", lambda: Remote("sampling process 1", os._exit, 7))
        os.kill(worker.remote.process.pid, signal.SIGKILL)
        with (
            pytest.warns(RuntimeWarning, match="another process samples its tasks"),
            pytest.raises(LostError, match=r"process 1 ended with code 7, and so did 3 before"),
        ):
            workers.sample(policy, parameters, KEY)
    with pytest.raises(RuntimeError, match="were stopped"):
        workers.set_tasks(tasks)


class BlowingUp(gymnasium.Env):
    """Counts steps; with a task of 1 its numbers are bad after two of them, each in its own way."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    bad = 0.0

    def reset(self, *, seed=None, options=None):
        self.time, self.way = 0, (seed or 0) % 3
        return np.zeros(2), {}

    def step(self, action):
        self.time += 1
        observation, reward = np.full(2, float(self.time)), 1.0
        if self.bad and self.time == 3:
            observation[0] = (np.nan, 1e200, 3.0)[self.way]
            reward = (1.0, 1.0, np.inf)[self.way]
        return observation, reward, False, False, {}


def blowing_up(low: float) -> ForeignFamily:
    return ForeignFamily(
        "BlowingUp",
        BlowingUp,
        lambda env, task: setattr(env.unwrapped, "bad", float(task["bad"] > 0.5)),
        (Uniform("bad", low, 1.0),),
        horizon=6,
    )


def test_physics_that_blows_up_ends_its_episode_and_no_other():
    family = blowing_up(0.0)
    tasks = envs.Tasks(("bad",), np.array([[0.0], [1.0], [0.2], [0.9]]))
    policy = GaussianPolicy(2, 1)
    parameters = {n: v.expand(4, *v.shape) for n, v in policy.initial(torch_generator(0)).items()}
    with Sampler(family, 4, 9) as sampler:
        sampler.set_tasks(tasks)
        sampled = sampler.sample(policy, parameters, KEY)
    assert sampled.failed.tolist() == [[False] * 9, [True] * 9] * 2
    assert sampled.terminated.equal(sampled.failed)
    assert sampled.lengths[:2].tolist() == [[6] * 9, [3] * 9]
    assert sampled.returns[:2].tolist() == [[6.0] * 9, [2.0] * 9]
    assert all(field.isfinite().all() for field in sampled), "in the padding, too"
    assert sampled.final_observations[1].unique().tolist() == [2.0], "what was seen before"


def test_what_blows_up_is_judged_as_it_is_trained():
    """In films and comparisons: the return so far, and no error."""

    class Model:
        def predict(self, observation: np.ndarray, *, deterministic: bool = False):
            assert np.isfinite(observation).all()
            return np.zeros((len(observation), 1)), None

    family = blowing_up(0.0)
    for bad, expected in ((0.0, 6.0), (1.0, 2.0)):
        task = envs.Tasks(("bad",), np.array([[bad]]))
        returns = [model_return(Model(), family, task, 0, seed) for seed in range(3)]
        assert returns == [expected] * 3


def test_training_goes_on_while_some_tasks_blow_up_and_not_when_they_always_do():
    learner = metarl.MAML(blowing_up(0.4), tasks=6, rollouts=4, hidden=(4,), workers=1)
    told = r"the environment of BlowingUp returned numbers that are not finite in \d+ episodes"
    with pytest.warns(RuntimeWarning, match=rf"{told}, all of \d tasks?: bad"):
        learner.learn(1)
    assert learner.logger.name_to_value["rollout/failures"] % 8 == 0
    assert all(value.isfinite().all() for value in learner.parameters.values())
    for_ever = metarl.MAML(blowing_up(0.6), tasks=2, rollouts=2, hidden=(4,), workers=1)
    with (
        pytest.warns(RuntimeWarning, match="not finite"),
        pytest.raises(
            RuntimeError, match=r"for 10 iterations\. Smaller actions \(\w+\) or another"
        ),
    ):
        for_ever.learn(10_000)
    assert for_ever.iteration == 10


def test_environments_of_a_script_are_carried_along():
    """By value: what is defined in a script or a notebook cannot be imported elsewhere."""
    family = ForeignFamily(
        "Pendulum",
        lambda: gymnasium.make("Pendulum-v1"),
        lambda env, task: setattr(env.unwrapped, "m", task["mass"]),
        (Uniform("mass", 0.5, 2.0),),
        horizon=10,
    )
    tasks = family.sample_tasks(12, seed=0)
    policy = GaussianPolicy(3, 1)
    initial = policy.initial(torch_generator(0))
    parameters = {name: value.expand(12, *value.shape) for name, value in initial.items()}
    sampler = Sampler(family, 12, 1)
    sampler.set_tasks(tasks)
    with Workers(family, 12, 1, policy.shapes, count=2) as workers:
        workers.set_tasks(tasks)
        assert same(
            workers.sample(policy, parameters, KEY), sampler.sample(policy, parameters, KEY)
        )


class Reckless(gymnasium.Env):
    """Draws from the global generators wherever it can, and never from its own."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self) -> None:
        self.made_with = np.random.rand()  # noqa: NPY002

    def reset(self, *, seed=None, options=None):
        return self._observe(), {}

    def step(self, action):
        return self._observe(), random.gauss(0.0, 1.0), random.random() < 0.02, False, {}

    def _observe(self):
        return np.array([self.made_with, np.random.rand(), random.random()], np.float32)  # noqa: NPY002


def global_state() -> tuple:
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002
    return random.getstate(), str(numpys)


@pytest.mark.parametrize("processes", [False, True])
def test_environments_with_global_randomness_are_sampled_the_same(processes: bool):
    """Here, in other processes and in processes of their own; and the user's draws stay theirs."""
    family = ForeignFamily(
        "Reckless",
        Reckless,
        lambda env, task: None,
        (Uniform("x", 0.0, 1.0),),
        horizon=8,
        processes=processes,
    )
    tasks = family.sample_tasks(4, seed=0)
    policy = GaussianPolicy(3, 1)
    parameters = {n: v.expand(4, *v.shape) for n, v in policy.initial(torch_generator(0)).items()}
    with Sampler(family, 4, 3) as sampler, Workers(family, 4, 3, policy.shapes, count=2) as workers:
        sampled = []
        for each in (sampler, workers):
            each.set_tasks(tasks)
            random.seed(len(sampled))
            np.random.seed(len(sampled))  # noqa: NPY002
            outside = global_state()
            for iteration in (0, 1, 0):
                key = Key(7, Phase.TRAIN, iteration)
                sampled.append(each.sample(policy, parameters, key))
            assert outside == global_state()
    first, second, third, *others = sampled
    assert not same(first, second)
    assert same(first, third)
    assert all(same(a, b) for a, b in zip((first, second, third), others, strict=True))
    assert len(first.observations[:, :, 0, 1].unique()) == 12, "each rollout has its own"


REGISTERING = """
import gymnasium, numpy as np
import metarl
from metarl.envs.distributions import Uniform

class Ours(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    def __init__(self, size=1):
        self.size = size
    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}
    def step(self, action):
        return np.zeros(2, np.float32), float(self.size), False, False, {}

class Wrapper(gymnasium.Wrapper):
    pass

gymnasium.register("Ours/ByClass-v0", Ours, kwargs={"size": 2})
gymnasium.register("Ours/ByName-v0", "__main__:Ours", kwargs={"size": 3})
gymnasium.register("Ours/Known-v0", "gymnasium.envs.classic_control:PendulumEnv")
gymnasium.register("Ours/Wild-v0", Ours, kwargs={"file": open(__file__)})
ids = "Ours/ByClass-v0", "Ours/ByName-v0", "Ours/Known-v0"
family = metarl.envs.ForeignFamily(
    "Ours", lambda: Wrapper([gymnasium.make(id) for id in ids][1]), lambda env, task: None,
    (Uniform("x", 0.0, 1.0),), horizon=4,
)
def told(locals, _):
    print(locals["returns"])
metarl.MAML(family, tasks=4, rollouts=2, workers=2).learn(1, told)
"""


@pytest.mark.slow
def test_what_a_script_registers_is_known_in_the_processes(tmp_path: Path):
    (tmp_path / "script.py").write_text(REGISTERING)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[12.0, 12.0]\n", done.stderr


class JointError(Exception):
    """With a constructor that pickle does not know how to call."""

    def __init__(self, joint: str, step: int) -> None:
        super().__init__(f"{joint} is stuck in step {step}")


class Failing(Reckless):
    def step(self, action):
        raise JointError("knee", 0)


def test_an_error_of_an_environment_arrives_with_its_line():
    family = ForeignFamily(
        "Failing", Failing, lambda env, task: None, (Uniform("x", 0.0, 1.0),), horizon=8
    )
    policy = GaussianPolicy(3, 1)
    parameters = {n: v.expand(4, *v.shape) for n, v in policy.initial(torch_generator(0)).items()}
    with Workers(family, 4, 1, policy.shapes, count=2) as workers:
        workers.set_tasks(family.sample_tasks(4, seed=0))
        with pytest.raises(RuntimeError, match="JointError: knee is stuck in step 0") as raised:
            workers.sample(policy, parameters, KEY)
    (note,) = raised.value.__notes__
    assert note.startswith("in sampling process 0:")
    assert 'raise JointError("knee", 0)' in note


def test_a_family_that_cannot_be_sent_is_refused_in_a_line():
    lock = threading.Lock()
    family = ForeignFamily(
        "Locked",
        Reckless,
        lambda env, task: setattr(env, "lock", lock),
        (Uniform("x", 0.0, 1.0),),
        horizon=8,
    )
    with pytest.raises(ValueError, match=r"Locked cannot be sent to .*lock.*sample in .*workers=1"):
        Workers(family, 4, 1, {}, count=2)


SCRIPT = """
import metarl
family = metarl.envs.make("Point2D", horizon=5)
metarl.MAML(family, tasks=12, rollouts=2, workers=2).learn(1)
print("learned")
"""


def test_a_script_needs_no_main_guard_and_leaves_nothing_running(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "learned\n", done.stderr
    assert not done.stderr


@pytest.mark.parametrize("algorithm", ["maml-trpo", "cavia", "meta-sgd"])
def test_training_is_the_same_for_any_number_of_workers(algorithm: str):
    """Whatever parameters the algorithm has besides the policy's own."""
    family = envs.make("Point2D", horizon=5)
    one, two = (
        metarl.MAML(family, algorithm=algorithm, tasks=6, rollouts=2, workers=workers).learn(240)
        for workers in (1, 2)
    )
    assert one.iteration == two.iteration > 1
    assert all(value.equal(two.parameters[name]) for name, value in one.parameters.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("HalfCheetahVel", {}),
        ("HopperRandParams", {}),
        ("Point2D", {"algorithm": "siamese", "encoder_steps": 3}),
    ],
)
def test_training_is_the_same_for_workers_and_threads(name: str, changes: dict):
    """Of three families: one with falls, one whose policy has a memory."""
    family = envs.make(name, horizon=20)
    settings = {"tasks": 82, "rollouts": 2, "hidden": (8,), "seed": 1, **changes}
    found = {
        metarl.MAML(family, workers=workers, threads=threads, **settings).learn(10_000).fingerprint
        # starting processes is most of the time; two with two threads have one each, as have four
        for workers, threads in ((1, 1), (1, 2), (2, 2), (4, 1))
    }
    assert len(found) == 1
