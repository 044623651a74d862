"""The settings of films: the command line of `metarl render`, and the keywords of `render`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, get_args

from metarl.envs.drawing import Renderer
from metarl.envs.plain import check_seed, whole
from metarl.evaluation.settings import ChangeSettings, EvaluationSettings, settings_of

_HIGHEST = 4320
"""A film's height [pixel] at most, that of 8K."""


@dataclass(frozen=True)
class FilmSettings(ChangeSettings):
    """What is filmed of each task, and how."""

    rollouts: int = EvaluationSettings.rollouts
    """Rollouts that each inner step learns from."""
    steps: tuple[int, ...] = (0, 1)
    """After how many inner steps to film, a panel each; a single number gets a panel of 0 too."""
    ghost: bool = False
    """Film the last one, with the first as a translucent robot in the same scene."""
    height: int = 480
    """Height of each task's row in pixels; 1080 for a talk."""
    renderer: Renderer = "auto"
    """What draws: opengl; rays, which need no OpenGL; auto for OpenGL where it works."""
    task_map: bool = True
    """Show in a corner where the policy's memory places its task among known ones, in colours of
    the first task parameter; a policy without memory has no such map."""
    seed: int = 0
    """Decides the start state and exploration, and the tasks where they are drawn."""

    def check(self) -> None:
        """Check every value.

        Raises:
            ValueError: for no or negative steps, a height below 120 or above 4320, an unknown
                renderer, or a window without a change.
        """
        whole("rollouts", self.rollouts)
        check_seed(self.seed)
        if not self.steps or min(self.steps) < 0 or max(self.steps) < 1:
            raise ValueError(
                f"steps must be numbers of inner steps, such as (0, 1, 3), not 0 alone; "
                f"got {self.steps}"
            )
        if not 120 <= self.height <= _HIGHEST:
            raise ValueError(f"height must be 120 to {_HIGHEST} pixels, got {self.height}")
        if self.change is None and self.memory_window is not None:
            raise ValueError("memory_window requires change")
        if self.renderer not in get_args(Renderer):
            raise ValueError(
                f"renderer must be one of {', '.join(get_args(Renderer))}, got {self.renderer!r}"
            )


class FilmKeywords(TypedDict, total=False):
    """Fields of `FilmSettings`; `steps` may be a single number."""

    rollouts: int
    steps: int | Sequence[int]
    ghost: bool
    height: int
    renderer: Renderer
    task_map: bool
    change: str | None
    memory_window: int | None
    seed: int


def film_settings(keywords: FilmKeywords) -> FilmSettings:
    """Return the settings with these values, checked.

    Args:
        keywords: values by field.

    Raises:
        TypeError: for a name that is no field.
        ValueError: for a value that is not allowed.
    """
    settings = settings_of(FilmSettings, keywords)
    steps: int | Sequence[int] = settings.steps
    shown = steps if isinstance(steps, Sequence) else (steps,)
    shown = tuple(whole("steps", step, least=0) for step in shown)
    if len(shown) == 1 and shown[0]:
        shown = (0, *shown)
    counts = {name: whole(name, getattr(settings, name)) for name in ("rollouts", "height")}
    settings = replace(settings, steps=shown, **counts)
    settings.check()
    return settings
