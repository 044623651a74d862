"""Robots that learn new skills in a handful of tries.

learner = metarl.MAML("HalfCheetahVel", seed=0).learn(10_000_000, progress_bar=True)
adapted = learner.adapt({"velocity": 1.2}, rollouts=20, steps=1)
report = metarl.evaluate(learner, tasks=40)
metarl.render(learner, {"velocity": 1.2}, "videos/velocity.mp4")
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metarl import agents, envs
    from metarl.bridges.onnx import export
    from metarl.bridges.sb3 import to_ppo
    from metarl.comparing.compare import compare
    from metarl.evaluation.callback import EvaluateCallback
    from metarl.evaluation.changes import changes
    from metarl.evaluation.evaluate import evaluate
    from metarl.evaluation.recovery import recovery
    from metarl.experience.log import Experience
    from metarl.learner.config import Config
    from metarl.learner.maml import MAML
    from metarl.learner.runs import load, resume, train
    from metarl.showing.report import report
    from metarl.showing.video import render
    from metarl.skills.encoder_training import train_similarity
    from metarl.skills.library import SkillLibrary
    from metarl.skills.similarity import Similarity
    from metarl.system.partial_results import PartialResults

__all__ = [
    "MAML",
    "Config",
    "EvaluateCallback",
    "Experience",
    "PartialResults",
    "Similarity",
    "SkillLibrary",
    "agents",
    "changes",
    "compare",
    "envs",
    "evaluate",
    "export",
    "load",
    "recovery",
    "render",
    "report",
    "resume",
    "to_ppo",
    "train",
    "train_similarity",
]

# torch's idle threads spin, which on a shared machine starves the threads they wait for; torch's
# OpenMP reads this when torch is first imported, and alone on a machine it costs nothing
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_HOMES = {
    "Config": "metarl.learner.config",
    "EvaluateCallback": "metarl.evaluation.callback",
    "Experience": "metarl.experience.log",
    "MAML": "metarl.learner.maml",
    "PartialResults": "metarl.system.partial_results",
    "Similarity": "metarl.skills.similarity",
    "SkillLibrary": "metarl.skills.library",
    "changes": "metarl.evaluation.changes",
    "compare": "metarl.comparing.compare",
    "evaluate": "metarl.evaluation.evaluate",
    "export": "metarl.bridges.onnx",
    "load": "metarl.learner.runs",
    "recovery": "metarl.evaluation.recovery",
    "render": "metarl.showing.video",
    "report": "metarl.showing.report",
    "resume": "metarl.learner.runs",
    "to_ppo": "metarl.bridges.sb3",
    "train": "metarl.learner.runs",
    "train_similarity": "metarl.skills.encoder_training",
}

import_module("metarl.envs")  # registers Gymnasium's environments


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # loaded on first use: `import metarl` stays fast, and `metarl families` needs no torch
    if name == "__version__":
        from importlib.metadata import version

        return version("metarl")
    if name == "agents":
        return import_module("metarl.agents")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'metarl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, "agents"])
