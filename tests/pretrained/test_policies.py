"""Pretrained policies against their own cards, and as a user names them."""

from pathlib import Path

import numpy as np
import pytest

import metarl
from metarl import envs
from metarl.learner.runs import folder_of
from metarl.pretrained import policies


@pytest.mark.parametrize("name", policies.names())
def test_a_policy_reaches_what_its_card_says(name: str):
    """On five of the tasks that the card was made of, with a quarter of its rollouts."""
    learner, card = metarl.load(f"pretrained:{name}", device="cpu"), policies.card(name)
    assert learner.family.name == name
    assert learner.num_timesteps == card["trained_timesteps"]
    tasks = [row["task"] for row in card["per_task"]]
    evaluation = metarl.evaluate(learner, tasks=tasks, rollouts=5, scored=5, steps=1, seed=7)
    stated = np.array([row["returns"][:2] for row in card["per_task"]])
    spread = max(30.0, np.abs(stated).mean())
    np.testing.assert_allclose(evaluation.returns[0], stated, atol=0.4 * spread)
    np.testing.assert_allclose(evaluation.returns[0].mean(0), stated.mean(0), atol=0.1 * spread)


def test_there_is_a_card_for_every_policy():
    assert policies.names()
    for name in policies.names():
        assert name in envs.families()
        assert policies.card(name)["licence"] == "MIT"


def test_a_misspelt_name_says_which_was_meant():
    with pytest.raises(ValueError, match=r"no pretrained policy 'HalfCheetaVel'.*HalfCheetahVel"):
        metarl.load("pretrained:HalfCheetaVel")


def test_what_is_made_of_one_goes_into_a_folder_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    folder = folder_of(f"pretrained:{policies.names()[0]}")
    assert folder == Path("pretrained") / policies.names()[0]
    assert folder_of(tmp_path) == tmp_path
    assert folder_of(tmp_path / "checkpoint.safetensors") == tmp_path
