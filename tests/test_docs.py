"""Pages that are made from the code are up to date, and committed runs load."""

import json
import runpy
from pathlib import Path

import pytest

import metarl
from metarl import envs

ROOT = Path(__file__).parent.parent
RUNS = sorted(path.parent for path in (ROOT / "docs" / "results").glob("*/config.json"))


def test_the_page_of_families_is_that_of_the_catalogue():
    page = runpy.run_path(str(ROOT / "docs" / "make_families.py"))
    assert (ROOT / "docs" / "families.md").read_text() == page["text"]()
    for name in envs.families():
        assert (ROOT / "docs" / "families" / f"{name}.png").is_file()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_committed_runs_load_and_carry_what_explains_them(run: Path):
    learner = metarl.load(run, device="cpu")
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["settings"]["trained_timesteps"] == learner.num_timesteps
    config = json.loads((run / "config.json").read_text())
    assert config["versions"]["mujoco"]
    assert config["config"]["seed"] == learner.config.seed
    page = (ROOT / "docs" / "results" / "README.md").read_text()
    mean, (low, high) = evaluation["gain"]["mean"], evaluation["gain"]["ci95"]
    last = evaluation["returns"][-1]
    assert f"{last['mean']:.1f} [{last['ci95'][0]:.1f}, {last['ci95'][1]:.1f}]" in page
    assert low < mean < high
