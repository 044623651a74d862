"""Files from strangers: whatever was done to one, it loads or is refused in one clear line.

Mutations of bytes, which a checksum finds; and mutations of what a file says, written with the
right checksum, as a stranger could. Within bounds of memory and time, which a file that asks for
huge networks must not break.
"""

import csv
import io
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metarl
from metarl.evaluation.tasks import read_tasks
from metarl.learner.runs import read_config
from metarl.system import checkpoint

FIXTURES = Path(__file__).parent / "system" / "version_2"
MOST_SECONDS = 5.0
MOST_BYTES = 1 << 30

WEIRD: list[Any] = [
    None, True, -1, 0, 1, 10**6, 10**12, 10**400, -(10**30), 0.5, 1e308, float("nan"), float("inf"),
    "", "x", "\x1b[31m", "maml-trpo", "cuda:99", "../../etc", [], [1], [10**6, 10**6], [[]], {},
    {"a": 1}, [None], "9" * 5000,
]  # fmt: skip


def of_bytes(whole: bytes, draw: np.random.Generator) -> bytes:
    """A file with some bytes changed, lost, doubled, or more of them."""
    data, at = bytearray(whole), int(draw.integers(len(whole)))
    until = min(len(data), at + int(draw.integers(1, 40)))
    kind = int(draw.integers(7))
    if kind == 0:
        data[at] ^= 1 << int(draw.integers(8))
    elif kind == 1:
        data[at] = int(draw.integers(256))
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        del data[at:until]
    elif kind == 4:
        data[at:at] = data[at:until]
    elif kind == 5:
        data[at:until] = bytes(until - at)
    else:
        data[:8] = int(draw.integers(2**63)).to_bytes(8, "little")
    return bytes(data)


def places(value: Any, way: tuple = ()) -> Iterator[tuple]:
    """Every place in plain data, as the keys that lead to it."""
    if way:
        yield way
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in inner:
            yield from places(entry, (*way, key))


def of_data(data: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """Plain data with one value changed, removed or added."""
    data = json.loads(json.dumps(data))
    ways = list(places(data))
    *above, last = ways[int(draw.integers(len(ways)))]
    holder: Any = data
    for key in above:
        holder = holder[key]
    value = WEIRD[int(draw.integers(len(WEIRD)))]
    kind = int(draw.integers(6))
    if kind == 0:
        del holder[last]
    elif kind == 1 and isinstance(holder, dict):
        holder["surprise"] = value
    else:
        holder[last] = value
    return data


def of_tensors(tensors: dict[str, torch.Tensor], draw: np.random.Generator) -> dict:
    """Tensors with one of them changed, lost, renamed or of another form."""
    name = sorted(tensors)[int(draw.integers(len(tensors)))]
    tensor = tensors[name]
    changed: dict[str, Callable[[], torch.Tensor]] = {
        "type": lambda: tensor.to(torch.int64),
        "precision": lambda: tensor.to(torch.float16),
        "complex": lambda: tensor.to(torch.complex64),
        "flat": lambda: tensor.flatten()[:-1],
        "axis": lambda: tensor[None],
        "empty": lambda: tensor.new_zeros(0),
        "many": lambda: tensor.new_zeros(1000, *tensor.shape),
        "scalar": lambda: tensor.new_zeros(()),
        "nan": lambda: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor,
    }
    rest = {n: value for n, value in tensors.items() if n != name}
    kind = int(draw.integers(len(changed) + 2))
    if kind == len(changed):
        return rest
    if kind == len(changed) + 1:
        return {**rest, f"{name}x": tensor}
    return {**rest, name: list(changed.values())[kind]()}


def load_learner(path: Path) -> object:
    learner = metarl.load(path)
    with np.errstate(all="ignore"):  # an action scale of 1e308 is a number
        return learner.predict(np.zeros(learner.family.observation_size, np.float32))


def load_library(path: Path) -> object:
    return metarl.SkillLibrary.load(path)


def load_similarity(path: Path) -> object:
    return metarl.Similarity.load(path)


KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "checkpoint": ("learner", load_learner),
    "library": ("skill library", load_library),
    "similarity": ("similarity", load_similarity),
}


def outcome(load: Callable[[Path], object], path: Path) -> bool:
    """Whether a file loads; if not, how it is told is checked."""
    began, before, told = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, None
    try:
        load(path)
    except (ValueError, OSError) as error:
        told = error
    assert time.monotonic() - began < MOST_SECONDS
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST_BYTES
    assert type(told) is not json.JSONDecodeError, "it does not name the file"
    words = str(told)
    assert words.isprintable(), words
    assert len(words) < 1500
    return told is None


COUNTS = [pytest.param(40, id="few"), pytest.param(1250, id="many", marks=pytest.mark.slow)]
"""Of mutations, in each of eight tests: 10,000 together."""


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", KINDS)
def test_changed_bytes_are_refused(name: str, count: int, tmp_path: Path):
    kind, load = KINDS[name]
    path = tmp_path / f"{name}.safetensors"
    checkpoint.write(path, *checkpoint.read(FIXTURES / path.name, kind=kind), kind=kind)
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    assert outcome(load, path)
    for _ in range(count):
        mutated = of_bytes(whole, draw)
        path.write_bytes(mutated)
        assert outcome(load, path) == (mutated == whole)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", KINDS)
def test_changed_content_with_the_right_checksum_loads_or_is_refused(
    name: str, count: int, tmp_path: Path
):
    kind, load = KINDS[name]
    path = tmp_path / f"{name}.safetensors"
    tensors, data = checkpoint.read(FIXTURES / path.name, kind=kind)
    draw, loaded = np.random.default_rng(1), 0
    for number in range(count):
        content = (
            (tensors, of_data(data, draw)) if number % 3 else (of_tensors(tensors, draw), data)
        )
        checkpoint.write(path, *content, kind=kind)
        loaded += outcome(load, path)
    assert 0 < loaded < count, "some changes are harmless, most are not"


TASKS = [{"x": 0.25, "y": -0.5}, {"x": 0.0, "y": 0.125}, {"x": -0.5, "y": 0.5}]


@pytest.mark.parametrize("count", COUNTS)
def test_task_files_load_or_are_refused(count: int, tmp_path: Path):
    table = io.StringIO()
    writer = csv.DictWriter(table, ["x", "y"])
    writer.writeheader()
    writer.writerows(TASKS)
    texts = {".csv": table.getvalue().encode(), ".json": json.dumps(TASKS).encode()}
    draw = np.random.default_rng(2)
    for number in range(count):
        ending = (".csv", ".json")[number % 2]
        path = tmp_path / f"tasks{ending}"
        path.write_bytes(of_bytes(texts[ending], draw))
        if number % 4 == 1:
            path.write_text(json.dumps(of_data({"rows": TASKS}, draw).get("rows")))
        outcome(read_tasks, path)


def test_files_made_to_break_a_reader_are_refused(tmp_path: Path):
    deep = "[" * 100_000
    for name, text in (
        ("tasks.json", deep),
        ("tasks.json", '[{"x": 1' + "0" * 400 + "}]"),
        ("tasks.csv", 'x,y\n"' + "a" * 200_000),
        ("tasks.json", '{"x": {"y": ' * 3000),
    ):
        (tmp_path / name).write_text(text)
        assert not outcome(read_tasks, tmp_path / name)
    (tmp_path / "config.json").write_text(deep)
    assert not outcome(read_config, tmp_path)


@pytest.mark.parametrize("count", COUNTS)
def test_settings_of_runs_load_or_are_refused(count: int, tmp_path: Path):
    config = {"family": {"name": "Point2D"}, "config": {"seed": 3}, "total_timesteps": 800}
    config["family_reference"] = "arm.py:family"
    draw = np.random.default_rng(3)
    for number in range(count):
        text = json.dumps(of_data(config, draw) if number % 2 else config).encode()
        (tmp_path / "config.json").write_bytes(text if number % 2 else of_bytes(text, draw))
        if outcome(read_config, tmp_path):
            assert read_config(tmp_path)["total_timesteps"] >= 1
