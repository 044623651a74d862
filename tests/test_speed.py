"""A guard against getting slower: ratios from one run, with room for a busy machine.

Each bound lies where a slowdown by a third would be; benchmarks/ measures what they really are.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("speed", BENCHMARKS / "speed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timed
def test_sampling_is_near_the_speed_of_the_physics(speed: ModuleType):
    """It is 0.9 of it."""
    part = float(speed.sampling("HalfCheetahDir", 40, 20, 20, 7)[-1])
    assert 0.6 < part <= 1.05, "the part of the physics engine's own speed"


@pytest.mark.slow
@pytest.mark.timed
def test_an_iteration_is_hardly_longer_than_its_physics(speed: ModuleType):
    """It is 1.33 times as long; the update alone takes a fifth as long as the physics."""
    *_, ratio, update = speed.iteration("HalfCheetahDir", 20, 20, 3)
    assert 1.0 < float(ratio) < 1.77
    assert float(update) < 0.3


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import metarl.cli", {"torch", "tyro", "stable_baselines3", "matplotlib", "scipy"}),
        ("import metarl", {"torch", "stable_baselines3", "matplotlib", "tensorboard"}),
        ("import metarl.commands", {"torch", "stable_baselines3", "matplotlib"}),
        ("import metarl.learner.maml", {"matplotlib", "imageio", "jinja2"}),
    ],
)
def test_what_is_not_needed_yet_is_not_loaded(statement: str, absent: set[str]):
    """Help in a moment is a matter of what is left for later."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert absent.isdisjoint(done.stdout.split())
