"""Films of a policy before and after adaptation as files, drawn headless."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from tqdm import tqdm

from metarl.envs.drawing import Frame
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.learner.maml import MAML
from metarl.showing.film import drawn_steps, frames, shoot_all, stride
from metarl.showing.settings import FilmKeywords, film_settings
from metarl.skills.library import SkillLibrary
from metarl.system.files import whole_file

ENDINGS = (".mp4", ".gif")


def render(
    learner: MAML,
    task: Tasks | Mapping[str, float],
    path: str | Path,
    *,
    library: SkillLibrary | None = None,
    progress_bar: bool = False,
    **settings: Unpack[FilmKeywords],
) -> Path:
    """Adapt to a task and film the policy before and after, from the same start state.

    The films show the most likely actions; adaptation itself explores as in training.

        metarl.render(learner, {"velocity": 1.2}, "velocity.mp4", steps=(0, 1, 3), ghost=False)

    Args:
        learner: the learner; it is not changed.
        task: a task's parameters, such as `{"velocity": 1.2}`, or a table with a row a task.
        path: where to; `.mp4` (H.264) or `.gif`.
        library: skills to take the first step from; see `MAML.adapt`.
        progress_bar: show one, over frames.
        settings: `rollouts`, `steps`, `ghost`, `height`, `renderer` and `seed`; see `FilmSettings`
            for what they are and for their defaults. A single number of `steps` is filmed beside
            the policy before adaptation.

    Returns:
        The path.

    Raises:
        TypeError: for another setting.
        ValueError: for another ending, no or negative steps, a height below 120, or a task that
            the family does not have.
        RuntimeError: for the renderer `opengl` where there is none to draw with.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(f"a video's name must end in {' or '.join(ENDINGS)}, got {path.name!r}")
    chosen = film_settings(settings)
    family = learner.family
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{family.name} cannot be filmed: its simulator is not MuJoCo's batch")
    # the file is opened first: a place that cannot be written to shows before the film is made
    with whole_file(path) as temporary:
        rows = shoot_all(learner, family, task, chosen, library)
        pictures = frames(
            family, rows, height=chosen.height, ghost=chosen.ghost, renderer=chosen.renderer
        )
        count = len(drawn_steps(family, rows))
        bar = tqdm(pictures, total=count, unit="frame", disable=not progress_bar)
        write_video(temporary, iter(bar), frame_rate(family))
    return path


def write_video(path: Path, pictures: Iterator[Frame], rate: float) -> None:
    """Write frames to an H.264 mp4 or a gif, and hold the last one for a second.

    Args:
        path: the ending chooses.
        pictures: [height, width, 3] each, of one size.
        rate: frames a second.
    """
    import imageio.v2 as imageio

    if path.suffix == ".gif":
        options: dict[str, Any] = {"duration": 1000.0 / rate, "loop": 0}
    else:
        options = {"fps": rate, "codec": "libx264", "quality": 8, "macro_block_size": 2}
    writer: Any
    with imageio.get_writer(path, mode="I", **options) as writer:
        picture = None
        for picture in pictures:
            writer.append_data(picture)
        for _ in range(round(rate) if picture is not None else 0):
            writer.append_data(picture)


def frame_rate(family: TaskFamily) -> float:
    """Return frames a second: real time, unless a step is too long for that."""
    return 1.0 / (family.dt * stride(family)) if family.dt <= 0.1 else 20.0
