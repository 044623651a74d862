"""The commands that take a trained run: measurements, comparisons, films, the report.

Options that several commands share are fields of one settings class, or one of the types below.
"""

import itertools
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from metarl.envs.plain import whole
from metarl.evaluation.settings import (
    AdaptationSettings,
    ChangeSettings,
    ComparisonSettings,
    EvaluationSettings,
    TableSettings,
)
from metarl.evaluation.tasks import new_tasks, parse_task
from metarl.family_option import RunSettings, family_words
from metarl.options import documented
from metarl.showing.settings import FilmSettings
from metarl.skills.config import SimilarityConfig
from metarl.system.files import check_place
from metarl.system.stopping import exit_stopped

if TYPE_CHECKING:
    from metarl.learner.maml import MAML
    from metarl.skills.library import SkillLibrary
    from metarl.system.partial_results import PartialResults

PARTIAL = ".partial.safetensors"
"""How the name of a file ends that holds a measurement's results so far."""

for _kind in (
    AdaptationSettings,
    ChangeSettings,
    ComparisonSettings,
    EvaluationSettings,
    TableSettings,
    RunSettings,
    FilmSettings,
    SimilarityConfig,
):
    documented(_kind)

_SKILLS = "A library of skills to take the first step from, written by `metarl similarity`"
Library = Annotated[Path | None, arg(help=f"{_SKILLS}.")]
Libraries = Annotated[tuple[Path, ...], arg(help=f"{_SKILLS}; of several runs, one for each.")]
TaskFile = Annotated[
    Path | None,
    arg(help="Tasks to measure on in place of drawn ones: .json with a list of objects or .csv."),
]
Task = Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...")]


def evaluate(
    run_folders: Positional[tuple[Path, ...]],
    adaptation: OmitArgPrefixes[AdaptationSettings] = AdaptationSettings(),  # noqa: B008
    tables: OmitArgPrefixes[TableSettings] = TableSettings(),  # noqa: B008
    library: Libraries = (),
    out: Path | None = None,
    task_file: TaskFile = None,
    change: OmitArgPrefixes[ChangeSettings] = ChangeSettings(),  # noqa: B008
    run: OmitArgPrefixes[RunSettings] = RunSettings(),  # noqa: B008
) -> None:
    """Measure the return before and after adaptation, on tasks drawn apart from those of training.

    Given a change, measure instead how the policy recovers when its task changes in an episode.

    Args:
        run_folders: A run folder, a checkpoint or pretrained:NAME; several that differ in seed are
            averaged.
        adaptation: New tasks and inner steps, of every table.
        tables: Of which rollouts and tasks there are tables.
        library: One a run.
        out: Where the files go; the first run folder when left out.
        task_file: One for all tables.
        change: A change of the task.
        run: How runs are loaded.
    """
    from metarl.evaluation.evaluate import evaluate
    from metarl.learner.runs import folder_of
    from metarl.showing import figures
    from metarl.skills.library import SkillLibrary

    if not run_folders:
        raise ValueError("name at least one run folder")
    for name, given in asdict(tables).items():
        if not given:
            raise ValueError(f"--{name} needs at least one value")
    if task_file is not None and tables.split != TableSettings.split:
        raise ValueError("--split draws tasks and --task-file gives them: choose one of the two")
    first, *others = run_folders
    if change.change is not None:
        if others or library or tables.rollouts != TableSettings.rollouts:
            raise ValueError("--change takes a single run and neither --library nor --rollouts")
        _check_no_steps(adaptation)
        sample = {"seed": adaptation.seed, "tasks": adaptation.tasks} | _given(task_file)
        _evaluate_change(run.learner(first), change, tables, sample, out or folder_of(first))
        return
    if change != ChangeSettings():
        raise ValueError("--memory-window requires --change")
    learners = [run.learner(folder) for folder in run_folders]
    skills = [SkillLibrary.load(path) for path in library]
    each = [*itertools.product(tables.split, tables.rollouts)]
    folder, chosen = out or folder_of(first), asdict(adaptation) | _given(task_file)
    chosen |= {"library": skills}
    for part, count in each:  # all that is wrong shows before anything is measured
        EvaluationSettings(rollouts=count).check()
        new_tasks(learners[0].family, chosen["tasks"], adaptation.seed, part)
    check_place(folder)
    # a file of their own for these tables: two measurements may run side by side
    kept = "_".join([f"{part}_{count}" for part, count in each] + ["skills"] * bool(skills))
    with _going_on(folder / f"evaluation_{kept}{PARTIAL}") as partial:
        for part, count in each:
            evaluation = evaluate(
                learners,
                rollouts=count,
                split=part,
                partial=partial,
                progress_bar=True,
                **chosen,
            )
            name = "evaluation"
            if len(each) > 1 or part != "test":
                name += f"_{'given' if task_file else part}_{count}"
            if skills:
                name += "_skills"
            numbers, table, figure = figures.save(evaluation, folder, name)
            noun = "rollout" if count == 1 else "rollouts"
            print(f"{evaluation.title}, {count} {noun} a step\n{evaluation}")
            print(f"numbers: {numbers}\ntable: {table}\nfigure: {figure}\n")


def _check_no_steps(adaptation: AdaptationSettings) -> None:
    """Raise a ValueError when something is said of inner steps: a change is measured before."""
    if adaptation != AdaptationSettings(tasks=adaptation.tasks, seed=adaptation.seed):
        names = "--steps, --halve, --scored and --deterministic"
        raise ValueError(f"--change is measured before inner steps, and takes no {names}")


def _evaluate_change(
    learner: "MAML", change: ChangeSettings, tables: TableSettings, sample: dict, folder: Path
) -> None:
    """Measure what a change of the task does on tasks of each split; print it and write it."""
    from metarl.evaluation.recovery import recovery
    from metarl.showing import figures

    check_place(folder)
    sample = sample | {"memory_window": change.memory_window}
    for split in tables.split:
        result = recovery(learner, change.change or "", split=split, **sample)
        name = "change" if split == "test" else f"change_{split}"
        numbers, figure = figures.save(result, folder, name)
        print(f"{result.title}\n{result}\nnumbers: {numbers}\nfigure: {figure}\n")


def compare(
    run_folders: Positional[tuple[Path, ...]],
    out: Path | None = None,
    comparison: OmitArgPrefixes[ComparisonSettings] = ComparisonSettings(),  # noqa: B008
    library: Libraries = (),
    task_file: TaskFile = None,
    run: OmitArgPrefixes[RunSettings] = RunSettings(),  # noqa: B008
) -> None:
    """Compare adaptation with fine-tuning and with training from scratch, on the same new tasks.

    Args:
        run_folders: Runs of one family: meta-learned ones, `--algorithm pretrain` to be fine-tuned,
            `--reveal-task` to show what could be reached at best. Seeds are averaged.
        out: A folder for the numbers and the figure; the first run folder when left out.
        comparison: New tasks, and what the other methods may use.
        library: Of the meta-learned runs.
        task_file: At least two tasks.
        run: How runs are loaded.
    """
    from metarl.comparing.compare import compare
    from metarl.learner.runs import folder_of
    from metarl.showing import figures
    from metarl.skills.library import SkillLibrary

    if not run_folders:
        raise ValueError("name at least one run folder")
    out = out or folder_of(run_folders[0])
    runs = [run.learner(folder) for folder in run_folders]
    libraries = [SkillLibrary.load(path) for path in library]
    check_place(out)
    with _going_on(out / f"comparison{PARTIAL}") as partial:
        result = compare(
            runs,
            libraries=libraries,
            progress_bar=True,
            partial=partial,
            **asdict(comparison) | _given(task_file),
        )
        numbers, figure = figures.save(result, out)
    print(f"{result}\nnumbers: {numbers}\nfigure: {figure}")


def similarity(
    run_folder: Positional[Path],
    config: OmitArgPrefixes[SimilarityConfig] = SimilarityConfig(),  # noqa: B008
    skills: int = 100,
    run: OmitArgPrefixes[RunSettings] = RunSettings(),  # noqa: B008
) -> None:
    """Learn how similar tasks are, and make a library of skills for new tasks to start from.

    Args:
        run_folder: A run folder, a checkpoint or pretrained:NAME.
        config: Settings of the encoder.
        skills: How many known tasks to adapt to for the library.
        run: How runs are loaded.
    """
    from metarl.evaluation.retrieval import retrieval
    from metarl.learner.runs import folder_of
    from metarl.showing import figures
    from metarl.skills.encoder_training import train_similarity
    from metarl.skills.library import SkillLibrary

    whole("skills", skills)
    folder = folder_of(run_folder)
    learner = run.learner(run_folder)
    check_place(folder)
    encoder = train_similarity(learner, progress_bar=True, **asdict(config))
    quality = retrieval(learner, encoder, seed=config.seed)
    numbers, *pictures = figures.save(quality, folder)
    print(f"{quality}\nnumbers: {numbers}")
    for picture in pictures:
        print(f"figure: {picture}")
    library = folder / "library.safetensors"
    SkillLibrary.build(learner, encoder, tasks=skills, seed=config.seed).save(library)
    places = shlex.join([str(run_folder), "--library", str(library)])
    words = f"{places}{family_words(run.family)}"
    print(f"library: {library}\nnext: metarl evaluate {words}")


def render(
    run_folder: Positional[Path],
    task: Task = (),
    draw: int = 1,
    out: Path | None = None,
    film: OmitArgPrefixes[FilmSettings] = FilmSettings(),  # noqa: B008
    library: Library = None,
    run: OmitArgPrefixes[RunSettings] = RunSettings(),  # noqa: B008
) -> None:
    """Film a policy before and after adaptation, side by side or one as a ghost.

    Args:
        run_folder: A run folder, a checkpoint or pretrained:NAME.
        task: The task, such as `velocity=1.2` or `x=1 y=-0.5`; drawn ones when left out.
        draw: How many tasks to draw when none is named, a row of the film each.
        out: The video, .mp4 or .gif; `adaptation.mp4` in the run folder when left out.
        film: What is filmed of each task, and how.
        library: Of the run.
        run: How runs are loaded.
    """
    from metarl.learner.runs import folder_of
    from metarl.showing.video import render

    if task and draw != 1:
        raise ValueError("--task names what is filmed and --draw draws: choose one of the two")
    learner = run.learner(run_folder)
    path = render(
        learner,
        parse_task(task) or learner.family.sample_tasks(draw, seed=film.seed, split="test"),
        out or folder_of(run_folder) / "adaptation.mp4",
        library=_library(library),
        progress_bar=True,
        **asdict(film),
    )
    print(f"video: {path}")


def report(
    run_folder: Positional[Path],
    out: Path | None = None,
    task: Task = (),
    adaptation: OmitArgPrefixes[AdaptationSettings] = AdaptationSettings(),  # noqa: B008
    rollouts: int = EvaluationSettings.rollouts,
    library: Library = None,
    task_file: TaskFile = None,
    run: OmitArgPrefixes[RunSettings] = RunSettings(),  # noqa: B008
) -> None:
    """Write a run's tables, figures and a film to one HTML file that needs no network.

    Args:
        run_folder: A run folder, a checkpoint or pretrained:NAME.
        out: The file; `report.html` in the run folder when left out.
        task: The task to film, such as `velocity=1.2`; a drawn one when left out.
        adaptation: New tasks and inner steps of the evaluation.
        rollouts: Rollouts of each task that an inner step learns from.
        library: Of the run.
        task_file: For the evaluation.
        run: How runs are loaded.
    """
    from metarl.showing.report import report

    path = report(
        run_folder,
        out,
        task=parse_task(task) or None,
        rollouts=rollouts,
        library=_library(library),
        learner=run.learner(run_folder),
        **asdict(adaptation) | _given(task_file),
    )
    print(f"report: {path}")


@contextmanager
def _going_on(path: Path) -> "Iterator[PartialResults]":
    """Keep what a measurement has so far in a file; say, when stopped, how to resume it."""
    from metarl.system.partial_results import PartialResults

    try:
        with PartialResults(path) as partial:
            yield partial
    except KeyboardInterrupt as stopped:
        if not path.exists():
            raise
        exit_stopped(stopped, "stopped; the same command resumes from what is done")


def _given(task_file: Path | None) -> dict[str, Any]:
    """Return the keyword that replaces how many tasks are drawn, where a file has them."""
    return {} if task_file is None else {"tasks": task_file}


def _library(path: Path | None) -> "SkillLibrary | None":
    from metarl.skills.library import SkillLibrary

    return None if path is None else SkillLibrary.load(path)
