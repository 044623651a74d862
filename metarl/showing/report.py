"""A run as one HTML file that needs no network: tables, figures, a film and every setting."""

import base64
import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from metarl.envs.distributions import Split
from metarl.envs.family import TaskFamily
from metarl.envs.simulations import Family
from metarl.envs.tasks import Tasks
from metarl.evaluation.changes import changes
from metarl.evaluation.evaluate import Evaluation, evaluate
from metarl.learner.maml import MAML
from metarl.learner.runs import load
from metarl.showing.figures import adaptation_figure, changes_figure, training_figure
from metarl.showing.video import frame_rate, frames, shoot_all, write_video
from metarl.skills.library import SkillLibrary
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file

_STILLS = 3


def report(
    run_folder: str | Path,
    out: str | Path | None = None,
    *,
    task: Tasks | Mapping[str, float] | None = None,
    tasks: int = 40,
    rollouts: int = 20,
    steps: int = 3,
    seed: int = 0,
    library: SkillLibrary | None = None,
    device: str = "auto",
    family: Family | None = None,
) -> Path:
    """Evaluate a run, film it and write what was found to one HTML file.

    Args:
        run_folder: what `train` made, or a checkpoint.
        out: where to; `report.html` in the run folder when left out.
        task: the one that is filmed and taken apart; a drawn one when left out.
        tasks: how many the evaluation draws.
        rollouts: of each task that a step learns from.
        steps: inner steps.
        seed: decides tasks, start states and exploration.
        library: skills to take the first step from; see `MAML.adapt`.
        device: of the updates.
        family: the one it was trained on, when that is not one of the catalogue's.

    Returns:
        The file.

    Raises:
        FileNotFoundError: when there is no run.
    """
    run_folder = Path(run_folder)
    folder = run_folder if run_folder.is_dir() else run_folder.parent
    out = Path(out) if out else folder / "report.html"
    learner = load(run_folder, device=device, family=family)
    family = learner.family
    splits: list[Split] = ["test"]
    if family.extrapolates:
        splits.append("extrapolate")
    settings = {"rollouts": rollouts, "seed": seed, "library": library}
    found = [
        evaluate(learner, tasks=tasks, steps=steps, split=split, **settings) for split in splits
    ]
    one = family.task(task) if task else family.sample_tasks(1, seed=seed, split="test")
    page = {
        "title": f"{family.name}, {learner.config.algorithm}",
        "subtitle": f"{learner.num_timesteps:,} environment steps of training, "
        f"seed {learner.config.seed}; {rollouts} rollouts a step of adaptation",
        "verdict": found[0].verdict(),
        "evaluations": [_evaluation(each) for each in found],
        "settings": _settings(learner),
        "task": one.label(0),
        "similar": [
            _data(path.read_bytes(), "image/png")
            for path in (folder / "task_map.png", folder / "task_distances.png")
            if path.is_file()
        ],
    }
    if (folder / "progress.csv").is_file():
        page["training"] = _training(folder / "progress.csv")
    if isinstance(family, TaskFamily):
        changed = changes(learner, one, steps=1, **settings)
        page["changes"] = _picture(changes_figure(changed))
        page |= _film(learner, family, one, **settings)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metarl.showing", "."),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    text = environment.get_template("report.html.jinja").render(page)
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out


def _evaluation(found: Evaluation) -> dict[str, Any]:
    columns = found.columns()
    return {
        "title": f"Returns on {found.sample}",
        "columns": list(columns),
        "rows": list(zip(*columns.values(), strict=True)),
        "verdict": found.verdict(),
        "worst": "; ".join(f"{name} ({value:.1f})" for name, value in found.worst()),
        "figure": _picture(adaptation_figure(found.returns.mean(0), found.curve(), found.title)),
    }


def _film(
    learner: MAML,
    family: TaskFamily,
    task: Tasks,
    **settings: Any,  # noqa: ANN401
) -> dict[str, str]:
    """Return a film of a task, and pictures from it for paper."""
    rows = shoot_all(learner, family, task, steps=1, **settings)
    pictures = list(frames(family, rows))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_video(path, iter(pictures), frame_rate(family))
        data = path.read_bytes()
    last = len(pictures) - 1
    stills = [pictures[round(last * part / _STILLS)] for part in range(1, _STILLS + 1)]
    return {
        "video": _data(data, "video/mp4"),
        "poster": _jpeg(pictures[0]),
        "stills": _jpeg(np.concatenate(stills)),
        "film": "The same start before adaptation and after one step; the most likely actions.",
    }


def _training(path: Path) -> str:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {
        name: np.array([float(row[key]) for row in rows])
        for name, key in (
            ("steps", "time/total_timesteps"),
            ("before", "rollout/return_before"),
            ("after", "rollout/return_after"),
        )
    }
    return _picture(training_figure(**columns))


def _settings(learner: MAML) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [
        ("environment steps of training", f"{learner.num_timesteps:,}"),
        ("iterations", learner.iteration),
        *((name.replace("_", " "), value) for name, value in asdict(learner.config).items()),
        *((f"{name} version", value) for name, value in versions().items()),
    ]
    described = learner.family.describe()
    shown = ("preset", "robot", "goal", "varies", "horizon", "dt", "source")
    return [
        ("family", described["name"]),
        *((n, described[n]) for n in shown if n in described),
        *rows,
    ]


def _picture(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return _data(buffer.getvalue(), "image/png")


def _jpeg(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=85)
    return _data(buffer.getvalue(), "image/jpeg")


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
