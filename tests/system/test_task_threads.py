"""Chunks of tasks: nothing is lost, and the number of threads cannot be told from the result."""

import os
import signal
import threading
import time

import pytest
import torch

import metarl
from metarl import envs
from metarl.experience.rollouts import Batch
from metarl.system import task_threads
from metarl.system.task_threads import ROWS, ROWS_ON_GPU, TaskThreads, cut

CPU = torch.device("cpu")


@pytest.mark.parametrize("tasks", [1, 4, 5, 17])
@pytest.mark.parametrize("rows", [1, ROWS // 5, 2 * ROWS, 2 * ROWS_ON_GPU])
@pytest.mark.parametrize(
    ("device", "most"), [(CPU, ROWS), (torch.device("meta"), ROWS_ON_GPU)], ids=["cpu", "gpu"]
)
def test_chunks_are_all_tasks_in_order(tasks: int, rows: int, device: torch.device, most: int):
    chunks = TaskThreads(2, device).chunks(tasks, rows)
    every = [task for chunk in chunks for task in range(tasks)[chunk]]
    assert every == list(range(tasks))
    sizes = [chunk.stop - chunk.start for chunk in chunks]
    assert max(sizes) <= min(max(1, most // rows), min(sizes) + 1)


def test_a_table_is_cut_at_any_depth():
    batch = Batch(*(torch.arange(4.0) + 10 * field for field in range(7)))
    table = {"a": torch.arange(8).view(4, 2), "b": (batch, torch.arange(4)), "none": ()}
    part = cut(table, slice(1, 3))
    assert part["a"].tolist() == [[2, 3], [4, 5]]
    assert isinstance(part["b"][0], Batch)
    assert part["b"][0].rewards.tolist() == [41.0, 42.0]
    assert part["b"][1].tolist() == [1, 2]
    assert part["none"] == ()


@pytest.mark.parametrize("threads", [1, 3])
def test_apply_is_the_function_of_the_whole(threads: int):
    generator = torch.Generator().manual_seed(0)
    parameters = {"weight": torch.randn(25, 3, 2, generator=generator)}
    batch = Batch(*(torch.randn(25, 4, generator=generator) for _ in Batch._fields))

    def both(parameters: dict, batch: Batch) -> dict:
        return {"sum": parameters["weight"].sum((1, 2)) + batch.rewards.sum(1)}

    with TaskThreads(threads, CPU) as pool:
        results = pool.apply(both, parameters, batch, rows=4000)
    assert results["sum"].equal(both(parameters, batch)["sum"])


def test_each_chunk_has_one_thread_of_torchs():
    """Torch's own threads would make sums depend on their number."""

    def look(_: int) -> tuple[int, int]:
        return torch.get_num_threads(), threading.get_ident()

    before = torch.get_num_threads()
    for threads in (1, 2):
        with TaskThreads(threads, CPU) as pool:
            results = pool.map(look, range(4))
        assert {count for count, _ in results} == {1}
    assert torch.get_num_threads() == before


def test_an_error_in_a_thread_is_raised():
    def fail(item: int) -> None:
        raise ArithmeticError(f"of {item}")

    with TaskThreads(2, CPU) as pool, pytest.raises(ArithmeticError, match="of 0"):
        pool.map(fail, [0, 1])


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("AntDir2D", "maml-trpo"), ("HalfCheetahVel", "promp"), ("HalfCheetahVel", "reptile")],
)
def test_training_is_the_same_for_any_number_of_threads(
    name: str, algorithm: str, monkeypatch: pytest.MonkeyPatch
):
    """To the last bit, over two iterations of 23 tasks in 8 chunks."""
    monkeypatch.setattr(task_threads, "ROWS", 30)
    family = envs.make(name, horizon=5)
    learners = [
        metarl.MAML(family, algorithm=algorithm, tasks=23, rollouts=2, threads=threads)
        for threads in (1, 2, 5)
    ]
    first, *others = [learner.learn(2 * 2 * 23 * 2 * 5) for learner in learners]
    assert first.iteration >= 2
    for other in others:
        for parameter, value in first.parameters.items():
            assert value.equal(other.parameters[parameter])


def test_threads_are_waited_for_through_every_ctrl_c():
    """Those that run come to their end, those that have not begun do not."""
    ended: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.4)
        ended.append(number)

    timers = [threading.Timer(t, os.kill, (os.getpid(), signal.SIGINT)) for t in (0.1, 0.2, 0.3)]
    for timer in timers:
        timer.start()
    with pytest.raises(KeyboardInterrupt), TaskThreads(2, CPU) as threads:
        threads.map(work, range(4))
    assert sorted(ended) == [0, 1]
    for timer in timers:
        timer.join()
