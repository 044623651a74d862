"""Films of a policy before and after adaptation as files, drawn headless."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from metarl.envs.drawing import Frame
from metarl.envs.family import Family
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.learner.maml import MAML
from metarl.learner.runs import known_learner
from metarl.showing.film import Filmed, shoot_all
from metarl.showing.known_tasks import known_tasks
from metarl.showing.pages import drawn_steps, film_layout, frames, step_time, stride
from metarl.showing.settings import FilmKeywords, FilmSettings, film_settings
from metarl.skills.library import SkillLibrary
from metarl.system.files import whole_file
from metarl.system.progress import bar

ENDINGS = (".mp4", ".gif")

_LARGEST = 16_384
"""The width and height of a page at most, of H.264 [pixel]."""


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
        settings: `rollouts`, `steps`, `ghost`, `height`, `renderer`, `task_map`, `change`,
            `memory_window` and `seed`; see `FilmSettings` for what they are and for their defaults.
            A single number of `steps` is filmed beside the policy before adaptation.

    Returns:
        The path.

    Raises:
        TypeError: for another setting.
        ValueError: for another ending, no or negative steps, a height below 120, a task that the
            family does not have, pages too large for H.264, or a third-party environment that
            renders no pictures.
        RuntimeError: for the renderer `opengl` where there is none to draw with.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(f"a video's name must end in {' or '.join(ENDINGS)}, got {path.name!r}")
    chosen = film_settings(settings)
    family = _filmed(known_learner(learner).family, chosen.ghost)
    _check_size(path, len(family.task(task)), chosen)
    # the file is opened first: a place that cannot be written to shows before the film is made
    with whole_file(path) as temporary:
        rows = shoot_all(learner, family, task, chosen, library)
        pictures = frames(
            family,
            rows,
            height=chosen.height,
            ghost=chosen.ghost,
            renderer=chosen.renderer,
            known=known_tasks(learner, chosen.seed) if chosen.task_map else None,
        )
        count = len(drawn_steps(family, rows))
        shown = bar(pictures, total=count, unit="frame", show=progress_bar)
        write_video(temporary, iter(shown), frame_rate(family))
    return path


def _check_size(path: Path, rows: int, settings: FilmSettings) -> None:
    """Check that a film's pages are not too large to be written, before they are drawn."""
    page = film_layout(rows, len(settings.steps), settings.height, ghost=settings.ghost).page
    if path.suffix == ".mp4" and max(page) > _LARGEST:
        raise ValueError(
            f"an .mp4 has at most {_LARGEST:,} pixels to each side, and this one has {page[0]:,} x "
            f"{page[1]:,}: film fewer tasks or steps, or choose a smaller height"
        )


def _filmed(family: Family, ghost: bool) -> Filmed:
    """Return the family, when films can be made of it."""
    if isinstance(family, TaskFamily):
        return family
    if not isinstance(family, ForeignFamily) or family.render_fps is None:
        raise ValueError(
            f"{family.name} cannot be filmed: its make_env must make an environment with "
            f"render_mode='rgb_array'"
        )
    if ghost:
        raise ValueError(
            f"{family.name} cannot be filmed with a ghost, which takes a scene of metarl's; "
            f"film it with ghost=False"
        )
    return family


def write_video(path: Path, pictures: Iterator[Frame], rate: float) -> None:
    """Write frames to an H.264 mp4 or a gif, and hold the last one for a second.

    Args:
        path: the ending chooses.
        pictures: [height, width, 3] each, of one size.
        rate: frames a second.
    """
    import imageio.v2 as imageio

    shown: list[int] = []
    if path.suffix == ".gif":
        options: dict[str, Any] = {"duration": shown, "loop": 0}
    else:
        options = {"fps": rate, "codec": "libx264", "quality": 8, "macro_block_size": 2}
    writer: Any
    with imageio.get_writer(path, mode="I", **options) as writer:
        for number, picture in enumerate(_held(pictures, round(rate))):
            shown.append(gif_duration(number, rate))
            writer.append_data(picture)


def gif_duration(number: int, rate: float) -> int:
    """Return how long a gif shows a picture [ms].

    Gifs count hundredths of a second: some pictures are shown for one more, so that together they
    take the time that they should.

    Args:
        number: of the picture, from 0.
        rate: pictures a second.
    """
    return 10 * (round(100 * (number + 1) / rate) - round(100 * number / rate))


def _held(pictures: Iterator[Frame], count: int) -> Iterator[Frame]:
    """Yield pictures, and the last one so many times more."""
    picture = None
    for picture in pictures:
        yield picture
    if picture is not None:
        yield from itertools.repeat(picture, count)


def frame_rate(family: Filmed) -> float:
    """Return frames a second: real time, unless a step is too long for that.

    For third-party environments, it is the rate that they state themselves.
    """
    if isinstance(family, TaskFamily) and family.dt > 0.1:
        return 20.0
    return 1.0 / (step_time(family) * stride(family))
