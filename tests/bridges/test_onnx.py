"""Exported policies, run without torch."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import metarl
from metarl import envs
from tests.conftest import SMALL


@pytest.mark.parametrize("algorithm", ["maml-trpo", "cavia"])
def test_an_exported_policy_acts_as_predict_does(tmp_path: Path, algorithm: str):
    family = envs.make("HalfCheetahVel", horizon=10)
    settings = {**SMALL, "algorithm": algorithm, "normalise_observations": True}
    learner = metarl.MAML(family, **settings).learn(1)
    adapted = learner.adapt({"velocity": 1.2}, rollouts=3)
    path = metarl.export(adapted, tmp_path / "deep" / "policy.onnx")
    assert [file.name for file in path.parent.iterdir()] == ["policy.onnx"]
    session = onnxruntime.InferenceSession(path)
    for count in (1, 5):
        observations = 5.0 * np.random.default_rng(0).normal(size=(count, 17)).astype(np.float32)
        (found,) = session.run(["action"], {"observation": observations})
        expected, _ = adapted.predict(observations, deterministic=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.abs(expected).max() > 0.01


def test_another_ending_is_refused(learner: metarl.MAML, tmp_path: Path):
    adapted = learner.adapt({"x": 0.1, "y": 0.1}, rollouts=3)
    with pytest.raises(ValueError, match=r"must end in \.onnx, got 'policy\.pt'"):
        metarl.export(adapted, tmp_path / "policy.pt")
    assert not list(tmp_path.iterdir())


def test_says_what_to_install(learner: metarl.MAML, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    adapted = learner.adapt({"x": 0.1, "y": 0.1}, rollouts=3)
    with pytest.raises(ImportError, match=r"pip install 'metarl\[export\]'"):
        metarl.export(adapted, tmp_path / "policy.onnx")
