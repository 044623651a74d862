"""The demo: training, evaluation and a film, in about a minute on two cores."""

import shutil
import sys
from pathlib import Path

from metarl.envs.plain import whole
from metarl.evaluation.evaluate import evaluate
from metarl.evaluation.evaluation import Evaluation
from metarl.learner.maml import MAML
from metarl.learner.runs import train
from metarl.showing import figures
from metarl.showing.video import render
from metarl.system.ownership import owned

MARK = "DEMO"


def demo(out: Path, total_timesteps: int, seed: int) -> tuple[Evaluation, dict[str, Path]]:
    """Train a policy that remembers its task on HalfCheetahDir, evaluate it and film it.

    The film has a cheetah that should run back and is not told: in its first episode, in its second
    one, and after a gradient step besides.

    Args:
        out: the run folder; an earlier run in it is replaced.
        total_timesteps: environment steps.
        seed: decides everything random.

    Returns:
        The evaluation, and the files by what they are; there is no video where none can be drawn.

    Raises:
        ValueError: for bad settings, or when the folder holds something else, or a demo that runs.
    """
    total_timesteps = whole("total_timesteps", total_timesteps)
    learner = MAML("HalfCheetahDir", algorithm="siamese", seed=seed)
    if (out / MARK).exists():
        with owned(out):  # or one that is trained in it would lose its files
            shutil.rmtree(out)
    elif out.exists() and any(out.iterdir()):
        raise ValueError(
            f"{out} holds something that is not an earlier demo; choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("This folder belongs to `metarl demo`, which replaces it.\n")
    train(learner, out, total_timesteps, progress_bar=True)
    evaluation = evaluate(learner, steps=2, seed=seed)
    numbers, _, figure = figures.save(evaluation, out)
    files = {"run": out, "numbers": numbers, "figure": figure}
    try:
        files["video"] = render(
            learner,
            {"direction": -1.0},
            out / "adaptation.mp4",
            rollouts=1,
            steps=(0, 1, 2),
            seed=seed,
        )
    except Exception as error:  # whatever a machine's graphics do, the numbers are there
        reason = " ".join(f"{error}".split()) or type(error).__name__
        print(f"no video: {reason}", file=sys.stderr)
    return evaluation, files
