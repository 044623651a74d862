"""A run as one HTML file that needs no network: tables, figures, a film and every setting."""

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import jinja2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from metarl.envs.distributions import Split
from metarl.envs.drawing import Frame
from metarl.envs.family import Family
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.changes import changes
from metarl.evaluation.evaluate import evaluate
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.settings import (
    AdaptationKeywords,
    EvaluationSettings,
    TaskSettings,
    settings_of,
)
from metarl.evaluation.tasks import TaskChoice
from metarl.learner.maml import MAML
from metarl.learner.runs import folder_of, load
from metarl.showing.figures import (
    DOTS_PER_INCH,
    adaptation_figure,
    changes_figure,
    training_figure,
)
from metarl.showing.film import shoot_all
from metarl.showing.known_tasks import known_tasks
from metarl.showing.pages import frames
from metarl.showing.settings import FilmSettings
from metarl.showing.video import frame_rate, write_video
from metarl.skills.library import SkillLibrary
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file
from metarl.system.progress_table import columns

_STILLS = 3


def report(
    run_folder: str | Path,
    out: str | Path | None = None,
    *,
    task: Tasks | Mapping[str, float] | None = None,
    tasks: TaskChoice = TaskSettings.tasks,
    library: SkillLibrary | None = None,
    learner: MAML | None = None,
    **settings: Unpack[AdaptationKeywords],
) -> Path:
    """Evaluate a run, film it and write all results to one HTML file.

    Args:
        run_folder: what `train` made, or a checkpoint.
        out: where to; `report.html` in the run folder when left out.
        task: the one that is filmed and taken apart; a drawn one when left out.
        tasks: how many the evaluation draws, or which; see `metarl.evaluate`.
        library: skills to take the first step from; see `MAML.adapt`.
        learner: the run's, as `metarl.load` returns it for a device or a family of one's own;
            loaded when left out.
        settings: those of `evaluate` but for `split`; see `EvaluationSettings` for what they
            are and for their defaults.

    Returns:
        The file.

    Raises:
        TypeError: for another setting.
        FileNotFoundError: when there is no run.
        OSError: when the file cannot be written.
        ValueError: for several tasks to film, or when the run's `progress.csv` cannot be read.
    """
    chosen = settings_of(EvaluationSettings, settings)
    folder = folder_of(run_folder)
    out = Path(out) if out else folder / "report.html"
    learner = learner or load(run_folder)
    one = _drawn(learner.family, chosen.seed) if task is None else learner.family.task(task)
    if len(one) > 1:
        raise ValueError(f"task must be a single one, got {len(one)}")
    # the file is opened first: a place that cannot be written to shows before all is measured
    with whole_file(out) as temporary:
        page = {"training": _training(folder / "progress.csv")}
        outside = isinstance(tasks, int | np.integer) and learner.family.extrapolates
        splits: list[Split] = ["test", "extrapolate"] if outside else ["test"]
        evaluations = [
            evaluate(learner, tasks=tasks, split=split, library=library, **settings)
            for split in splits
        ]
        page |= {
            "title": f"{learner.family.name}, {learner.config.algorithm}",
            "subtitle": f"{learner.num_timesteps:,} environment steps of training, "
            f"seed {learner.config.seed}; {chosen.rollouts} rollouts a step of adaptation",
            "verdict": evaluations[0].verdict(),
            "evaluations": [_evaluation(evaluation) for evaluation in evaluations],
            "settings": _settings(learner, evaluations[0]),
            "task": one.label(0),
            "similar": [
                _data(path.read_bytes(), "image/png")
                for path in (folder / "task_map.png", folder / "task_distances.png")
                if path.is_file()
            ],
        }
        if isinstance(learner.family, TaskFamily):
            film = FilmSettings(rollouts=chosen.rollouts, seed=chosen.seed)
            page |= _before_and_after(learner, learner.family, one, film, library)
        temporary.write_text(_html(page), encoding="utf-8")
    return out


def _drawn(family: Family, seed: int) -> Tasks:
    return family.sample_tasks(1, seed=seed, split="test")


def _html(page: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metarl.showing", "."),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    return environment.get_template("report.html.jinja").render(page)


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    every = evaluation.columns(), evaluation.seen_columns(), evaluation.parts_columns()
    tables = [columns for columns in every if columns]
    return {
        "title": f"Returns on {evaluation.sample}",
        "tables": [
            {"columns": list(columns), "rows": list(zip(*columns.values(), strict=True))}
            for columns in tables
        ],
        "verdict": evaluation.verdict(),
        "worst": "; ".join(f"{name} ({value:.1f})" for name, value in evaluation.worst()),
        "figure": _picture(adaptation_figure(evaluation)),
        "caption": _caption(evaluation),
    }


def _caption(evaluation: Evaluation) -> str:
    """Return what `adaptation_figure` shows, in words."""
    lines = "every task" if evaluation.rollouts is None else "every rollout of the task"
    lines = f"{lines}, and the mean with its 95 % interval."
    if evaluation.seen is None:
        return (
            f"Return before adaptation and after each inner step: {lines} All steps start from the "
            "same states."
        )
    return (
        "Return by what was seen of the task before: quarters of the first episode, times four, "
        f"then whole episodes after some rollouts, and after gradient steps: {lines}"
    )


def _before_and_after(
    learner: MAML,
    family: TaskFamily,
    task: Tasks,
    settings: FilmSettings,
    library: SkillLibrary | None,
) -> dict[str, str]:
    """Return what one step changed, a film of the task, and pictures from it for paper.

    What a policy remembers changes no parameter: of one with a memory there is the film alone.
    """
    page = {}
    if not learner.state.memory:
        changed = changes(
            learner, task, rollouts=settings.rollouts, seed=settings.seed, library=library
        )
        page["changes"] = _picture(changes_figure(changed))
    rows = shoot_all(learner, family, task, settings, library)
    pictures = list(frames(family, rows, known=known_tasks(learner, settings.seed)))
    last = len(pictures) - 1
    stills = [pictures[round(last * part / _STILLS)] for part in range(1, _STILLS + 1)]
    return page | {
        "video": _data(_mp4(pictures, frame_rate(family)), "video/mp4"),
        "poster": _jpeg(pictures[0]),
        "stills": _jpeg(np.concatenate(stills)),
        "film": "The same start before and after adaptation; the most likely actions.",
    }


def _mp4(pictures: list[Frame], rate: float) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_video(path, iter(pictures), rate)
        return path.read_bytes()


def _training(path: Path) -> str | None:
    """Return the figure of a run's `progress.csv`; None where there is none, or no iteration."""
    names = ("time/total_timesteps", "rollout/return_before", "rollout/return_after")
    try:
        steps, before, after = columns(path, names)
    except FileNotFoundError:
        return None
    return _picture(training_figure(steps, before, after)) if len(steps) else None


_MEASURED = ("seed", "rollouts", "scored", "deterministic", "inner_lrs")
"""The settings of an evaluation that a report tells."""


def _settings(learner: MAML, evaluation: Evaluation) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [
        ("environment steps of training", f"{learner.num_timesteps:,}"),
        ("iterations", learner.iteration),
        *((name.replace("_", " "), value) for name, value in asdict(learner.config).items()),
        *((f"{name} version", value) for name, value in versions().items()),
        *(
            (f"evaluation: {name.replace('_', ' ')}", evaluation.settings[name])
            for name in _MEASURED
        ),
    ]
    described = learner.family.describe()
    described["varies"] = "; ".join(described["varies"])
    shown = ("preset", "robot", "goal", "varies", "horizon", "dt", "source")
    return [
        ("family", described["name"]),
        *((n, described[n]) for n in shown if n in described),
        *rows,
    ]


def _picture(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return _data(buffer.getvalue(), "image/png")


def _jpeg(picture: Frame) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=85)
    return _data(buffer.getvalue(), "image/jpeg")


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
