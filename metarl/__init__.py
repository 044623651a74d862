"""Robots that learn new skills in a handful of tries.

learner = metarl.MAML("HalfCheetahVel", seed=0).learn(10_000_000, progress_bar=True)
adapted = learner.adapt({"velocity": 1.2}, rollouts=20, steps=1)
report = metarl.evaluate(learner, tasks=40)
metarl.render(learner, {"velocity": 1.2}, "videos/velocity.mp4")
"""

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import agents
    import envs
    from metarl.config import Config
    from metarl.evaluation import evaluate
    from metarl.experience import Experience
    from metarl.library import SkillLibrary
    from metarl.maml import MAML
    from metarl.onnx_export import export
    from metarl.runs import load, resume, train
    from metarl.similarity import Similarity, train_similarity
    from metarl.video import render

__all__ = [
    "MAML",
    "Config",
    "Experience",
    "Similarity",
    "SkillLibrary",
    "agents",
    "envs",
    "evaluate",
    "export",
    "load",
    "render",
    "resume",
    "train",
    "train_similarity",
]

# torch's idle threads spin, which on a shared machine starves the threads they wait for; torch's
# OpenMP reads this when torch is first imported, and alone on a machine it costs nothing
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_HOMES = {
    "Config": "metarl.config",
    "Experience": "metarl.experience",
    "MAML": "metarl.maml",
    "Similarity": "metarl.similarity",
    "SkillLibrary": "metarl.library",
    "evaluate": "metarl.evaluation",
    "export": "metarl.onnx_export",
    "load": "metarl.runs",
    "render": "metarl.video",
    "resume": "metarl.runs",
    "train": "metarl.runs",
    "train_similarity": "metarl.similarity",
}


def _check_not_shadowed() -> None:
    """Refuse to start when another `envs` or `agents` package comes first on the path."""
    for name in ("envs", "agents"):
        spec = find_spec(name)
        ours = Path(__file__).parent.parent / name
        found = None if spec is None else Path(spec.origin or "").parent
        if found != ours:
            raise ImportError(
                f"metarl needs its own package '{name}' ({ours}), but Python finds {found} first; "
                f"rename that one, or start from another folder"
            )


_check_not_shadowed()
import_module("envs")  # registers Gymnasium's environments


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # loaded on first use: `import metarl` stays fast, and `metarl families` needs no torch
    if name == "__version__":
        from importlib.metadata import version

        return version("metarl")
    if name in ("agents", "envs"):
        return import_module(name)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'metarl' has no attribute {name!r}")
