"""The commands of the command line: each parses its arguments and calls the package."""

import argparse
import json as json_format
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import tyro
from tyro.conf import OmitArgPrefixes, Positional, arg

from metarl import envs
from metarl.envs.distributions import Split
from metarl.envs.drawing import Renderer
from metarl.learner.config import Algorithm, Config, SimilarityConfig
from metarl.learner.defaults import defaults

if TYPE_CHECKING:
    from metarl.learner.maml import MAML
    from metarl.skills.library import SkillLibrary

Task = Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...")]


def families(family: Positional[str | None] = None, json: bool = False) -> None:
    """List the task families, or describe one.

    Args:
        family: A family; all when left out.
        json: Print JSON.
    """
    names = envs.families() if family is None else (family,)
    rows = [{**envs.make(name).describe(), "presets": envs.presets(name)} for name in names]
    if json:
        print(json_format.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['name']}: {row['robot']}, {row['goal']}, {row['horizon']} steps")
        print(f"    varies   {'; '.join(row['varies'])}")
        print(f"    spaces   observation {row['observation_size']}, action {row['action_size']}")
        if row["presets"]:
            print(f"    presets  {', '.join(row['presets'])}")
        print(f"    source   {row['source']}")


def train_command(own: Config) -> Callable[..., None]:
    """Return the command `train`, whose settings start from these."""

    def train(
        family: Positional[str],
        out: Path,
        config: OmitArgPrefixes[Config] = own,
        total_timesteps: int = 10_000_000,
        preset: str = "default",
        horizon: int | None = None,
        reveal_task: bool = False,
        verbose: bool = False,
    ) -> None:
        """Train a meta-policy into a new run folder.

        Args:
            family: The task family; see `metarl families`.
            out: The run folder to make.
            config: Settings of the meta-learner; the defaults are those of the family, preset and
                algorithm named.
            total_timesteps: Environment steps, of rollouts before and after adaptation together.
            preset: A published variant of the family; see `metarl families FAMILY`.
            horizon: Control steps in an episode; the family's own when left out.
            reveal_task: Let the policy observe the task; with `--algorithm pretrain`, this shows
                what adaptation could reach at best.
            verbose: Print a table every iteration.
        """
        from metarl.learner.maml import MAML
        from metarl.learner.runs import train as train_into

        changes: dict[str, Any] = {} if horizon is None else {"horizon": horizon}
        if reveal_task:
            changes["reveals_task"] = True
        made = envs.make(family, preset=preset, **changes)
        learner = MAML(made, verbose=int(verbose), **asdict(config))
        _finish(lambda: train_into(learner, out, total_timesteps, progress_bar=True), out)

    return train


def resume(run_folder: Positional[Path], total_timesteps: int | None = None) -> None:
    """Go on with a stopped run, to the numbers of one that was never stopped.

    Args:
        run_folder: What `train` made.
        total_timesteps: Environment steps in all; what the run was started with when left out.
    """
    from metarl.learner.runs import resume

    _finish(
        lambda: resume(run_folder, total_timesteps=total_timesteps, progress_bar=True), run_folder
    )


def evaluate(
    run_folders: Positional[tuple[Path, ...]],
    tasks: int = 40,
    rollouts: tuple[int, ...] = (20,),
    steps: int = 3,
    seed: int = 0,
    split: tuple[Split, ...] = ("test",),
    halve: bool = False,
    library: tuple[Path, ...] = (),
    out: Path | None = None,
    device: str = "auto",
) -> None:
    """Measure the return before and after adaptation, on tasks drawn apart from those of training.

    Args:
        run_folders: A run folder or a checkpoint; several that differ in seed are taken together.
        tasks: How many tasks to draw.
        rollouts: Rollouts of each task that a step learns from; several numbers for a table each.
        steps: Inner steps.
        seed: Decides tasks, start states and exploration.
        split: Tasks like those trained on (test), outside their range (extrapolate), or both.
        halve: Halve the inner step size after the first step.
        library: Skills to take the first step from, as `metarl similarity` made them, one a run.
        out: Where the files go; the first run folder when left out.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one.
    """
    from metarl.evaluation.evaluate import evaluate
    from metarl.learner.runs import load
    from metarl.skills.library import SkillLibrary

    if not run_folders:
        raise ValueError("name at least one run folder")
    learners = [load(folder, device=device) for folder in run_folders]
    skills = [SkillLibrary.load(path) for path in library]
    pairs: list[tuple[Split, int]] = [(part, count) for part in split for count in rollouts]
    for part, count in pairs:
        evaluation = evaluate(
            learners,
            tasks=tasks,
            rollouts=count,
            steps=steps,
            seed=seed,
            split=part,
            halve=halve,
            library=skills,
        )
        name = "evaluation"
        if len(pairs) > 1 or part != "test":
            name += f"_{part}_{count}"
        if skills:
            name += "_skills"
        numbers, table, figure = evaluation.save(out or _folder(run_folders[0]), name)
        noun = "rollout" if count == 1 else "rollouts"
        print(f"{evaluation.title}, {count} {noun} a step\n{evaluation}")
        print(f"numbers: {numbers}\ntable: {table}\nfigure: {figure}\n")


def compare(
    run_folders: Positional[tuple[Path, ...]],
    out: Path,
    library: tuple[Path, ...] = (),
    tasks: int = 40,
    budget: int = 200_000,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
) -> None:
    """Compare adaptation with fine-tuning and with training from scratch, on the same new tasks.

    Args:
        run_folders: Runs of one family: meta-learned ones, `--algorithm pretrain` to be fine-tuned,
            `--reveal-task` to show what could be reached at best. Seeds are taken together.
        out: A folder for the numbers and the figure.
        library: Skills of the meta-learned runs, as `metarl similarity` made them.
        tasks: How many tasks to draw.
        budget: Environment steps that the others have for each task.
        seed: Decides tasks, start states and exploration.
        workers: Processes for Stable-Baselines3's PPO; one a core when left out.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one.
    """
    from metarl.evaluation.compare import compare
    from metarl.learner.runs import load
    from metarl.skills.library import SkillLibrary

    comparison = compare(
        [load(folder, device=device) for folder in run_folders],
        libraries=[SkillLibrary.load(path) for path in library],
        tasks=tasks,
        budget=budget,
        seed=seed,
        workers=workers,
        progress_bar=True,
    )
    numbers, figure = comparison.save(out)
    print(f"{comparison}\nnumbers: {numbers}\nfigure: {figure}")


def similarity(
    run_folder: Positional[Path],
    config: OmitArgPrefixes[SimilarityConfig] = SimilarityConfig(),  # noqa: B008
    skills: int = 100,
    device: str = "auto",
) -> None:
    """Learn how similar tasks are, and make a library of skills for new tasks to start from.

    Args:
        run_folder: A run folder or a checkpoint.
        config: Settings of the encoder.
        skills: How many known tasks to adapt to for the library.
        device: Where the encoder is trained: cpu, cuda, ...; auto takes a GPU when there is one.
    """
    from metarl.evaluation.retrieval import retrieval
    from metarl.learner.runs import load
    from metarl.skills.library import SkillLibrary
    from metarl.skills.similarity import train_similarity

    folder = _folder(run_folder)
    learner = load(run_folder, device=device)
    similarity = train_similarity(learner, progress_bar=True, **asdict(config))
    found = retrieval(learner, similarity, seed=config.seed)
    numbers, *figures = found.save(folder)
    print(f"{found}\nnumbers: {numbers}")
    for figure in figures:
        print(f"figure: {figure}")
    library = folder / "library.safetensors"
    SkillLibrary.build(learner, similarity, tasks=skills, seed=config.seed).save(library)
    print(f"library: {library}\nnext: metarl evaluate {run_folder} --library {library}")


def render(
    run_folder: Positional[Path],
    task: Task = (),
    draw: int = 1,
    out: Path | None = None,
    rollouts: int = 20,
    steps: tuple[int, ...] = (0, 1),
    ghost: bool = False,
    height: int = 480,
    seed: int = 0,
    library: Path | None = None,
    renderer: Renderer = "auto",
    device: str = "auto",
) -> None:
    """Film a policy before and after adaptation, side by side or one as a ghost.

    Args:
        run_folder: A run folder or a checkpoint.
        task: The task, such as `velocity=1.2` or `x=1 y=-0.5`; drawn ones when left out.
        draw: How many tasks to draw, a row each.
        out: The video, .mp4 or .gif; `adaptation.mp4` in the run folder when left out.
        rollouts: Rollouts that each inner step learns from.
        steps: After how many inner steps to film, a panel each.
        ghost: Film the last one, with the first as a translucent robot in the same scene.
        height: Height of a row in pixels.
        seed: Decides the start state and exploration.
        library: Skills to take the first step from, as `metarl similarity` made them.
        renderer: OpenGL, rays (which need no OpenGL), or auto: OpenGL where it works, else rays.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one.
    """
    from metarl.learner.runs import load
    from metarl.showing.video import render

    learner = load(run_folder, device=device)
    path = render(
        learner,
        parse_task(task) or learner.family.sample_tasks(draw, seed=seed, split="test"),
        out or _folder(run_folder) / "adaptation.mp4",
        rollouts=rollouts,
        steps=steps,
        ghost=ghost,
        height=height,
        seed=seed,
        library=_library(library),
        renderer=renderer,
        progress_bar=True,
    )
    print(f"video: {path}")


def report(
    run_folder: Positional[Path],
    out: Path | None = None,
    task: Task = (),
    tasks: int = 40,
    rollouts: int = 20,
    steps: int = 3,
    seed: int = 0,
    library: Path | None = None,
    device: str = "auto",
) -> None:
    """Write a run's tables, figures and a film to one HTML file that needs no network.

    Args:
        run_folder: A run folder or a checkpoint.
        out: The file; `report.html` in the run folder when left out.
        task: The task to film, such as `velocity=1.2`; a drawn one when left out.
        tasks: How many tasks the evaluation draws.
        rollouts: Rollouts of each task that a step learns from.
        steps: Inner steps.
        seed: Decides tasks, start states and exploration.
        library: Skills to take the first step from, as `metarl similarity` made them.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU when there is one.
    """
    from metarl.showing.report import report

    path = report(
        run_folder,
        out,
        task=parse_task(task) or None,
        tasks=tasks,
        rollouts=rollouts,
        steps=steps,
        seed=seed,
        library=_library(library),
        device=device,
    )
    print(f"report: {path}")


def demo(out: Path = Path("runs/demo"), total_timesteps: int = 2_000_000, seed: int = 0) -> None:
    """Train a small meta-policy on HalfCheetah, evaluate it on new tasks and film it.

    Args:
        out: The run folder; an earlier demo in it is replaced.
        total_timesteps: Environment steps.
        seed: Decides everything random.
    """
    from metarl.demo import demo

    print("HalfCheetah learns to run forward or back, whichever a new task asks for.")
    evaluation, files = demo(out, total_timesteps, seed)
    print(evaluation)
    for kind, path in files.items():
        print(f"{kind}: {path}")


def parse_task(words: tuple[str, ...]) -> dict[str, float]:
    """Return `("x=1", "y=-0.5")` as `{"x": 1.0, "y": -0.5}`.

    Raises:
        ValueError: for a word that is not NAME=NUMBER.
    """
    task = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            task[name] = float(value)
        except ValueError:
            raise ValueError(f"a task parameter is NAME=NUMBER, got {word!r}") from None
    return task


def _library(path: Path | None) -> "SkillLibrary | None":
    from metarl.skills.library import SkillLibrary

    return None if path is None else SkillLibrary.load(path)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _finish(training: "Callable[[], MAML]", folder: Path) -> None:
    try:
        learner = training()
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: metarl resume {folder}", file=sys.stderr)
        sys.exit(130)
    print(f"{learner.num_timesteps:,} environment steps in {learner.iteration} iterations")
    print(f"run: {folder}\nnext: metarl evaluate {folder}")


def _warn(message: Warning | str, *_: object) -> None:
    """Show a warning as people want to read it: without the line of code that it came from."""
    print(f"metarl: {message}", file=sys.stderr)


def defaults_for(words: Sequence[str]) -> Config:
    """Return the settings that `train` starts from when it is given these words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--algorithm", default=Config.algorithm)
    given, _ = parser.parse_known_args(words)
    family = next((word for word in words if word in envs.families()), "")
    known = given.algorithm if given.algorithm in get_args(Algorithm) else Config.algorithm
    return Config(**defaults(family, given.preset, known))


def run(words: Sequence[str]) -> None:
    """Run one command; bad input ends with one line and exit code 2.

    Args:
        words: the command's name and its arguments.
    """
    warnings.showwarning = _warn
    name, *rest = words
    commands = (families, resume, evaluate, compare, similarity, render, report, demo)
    others = {command.__name__: command for command in commands}
    command = train_command(defaults_for(rest)) if name == "train" else others[name]
    try:
        tyro.cli(command, prog=f"metarl {name}", args=rest)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"metarl: {error}", file=sys.stderr)
        sys.exit(2)
