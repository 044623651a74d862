"""Pages of a film: each task's panels side by side, with what is known of them written above."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from metarl.envs.drawing import Camera, Frame, Renderer, camera
from metarl.envs.foreign_family import ForeignFamily
from metarl.envs.simulator import Simulator
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.showing.film import Filmed, Row, Take
from metarl.showing.known_tasks import KnownTasks
from metarl.showing.pictures import Screen
from metarl.showing.settings import FilmSettings

GAP, HEADER = 16, 80
"""Between panels and above a row [pixel], in a film of height 480."""
ASPECT, GHOST_ASPECT = 1.2, 16 / 9
"""Width over height of a panel."""
MAP = 0.36
"""Height of the map of tasks over that of its panel."""
INK, SOFT, PAPER, SHADE = (25, 30, 40), (110, 118, 130), (250, 250, 248), (64, 102, 191)
ALERT = (200, 45, 35)
"""Of a task that has changed; as red as its goal in the picture."""


class Layout(NamedTuple):
    """The sizes of a page [pixel]; all are even, as H.264 asks for."""

    panel: tuple[int, int]
    """Width and height."""
    header: int
    """Above each row's panels."""
    gap: int
    """Between panels."""
    page: tuple[int, int]
    """Width and height."""
    scale: float
    """Of text and margins: 1 in a film of height 480."""

    @classmethod
    def of(cls, rows: int, columns: int, height: int, aspect: float) -> "Layout":
        """Return the sizes of a page.

        Args:
            rows: a task each.
            columns: panels of a row.
            height: of a row with its header.
            aspect: width over height of a panel.
        """
        scale = height / 480.0
        gap, header = round(GAP * scale), round(HEADER * scale / 2.0) * 2
        panel_height = (height - header) // 2 * 2
        panel_width = round(panel_height * aspect / 2.0) * 2
        width = (columns * panel_width + (columns - 1) * gap) // 2 * 2
        return cls(
            panel=(panel_width, panel_height),
            header=header,
            gap=gap,
            page=(width, (header + panel_height) * rows),
            scale=scale,
        )

    def pixels(self, size: float) -> int:
        """Return a size that is given for a film of height 480."""
        return round(size * self.scale)


def film_layout(rows: int, takes: int, height: int, *, ghost: bool) -> Layout:
    """Return the sizes of a film's pages: a panel for each take of a row, or one with a ghost."""
    return Layout.of(rows, 1 if ghost else takes, height, GHOST_ASPECT if ghost else ASPECT)


def frames(
    family: Filmed,
    rows: Sequence[Row],
    *,
    height: int = FilmSettings.height,
    ghost: bool = FilmSettings.ghost,
    renderer: Renderer = FilmSettings.renderer,
    known: KnownTasks | None = None,
) -> Iterator[Frame]:
    """Draw tasks below each other and their takes side by side, [height, width, 3] each.

    There are at most 50 frames a second.

    Args:
        family: of the takes.
        rows: a task each; shorter takes stand still at their end.
        height: of a row [pixel].
        ghost: one panel a row: the last take, with the first as a translucent robot.
        renderer: what draws; see `metarl.envs.drawing.camera`.
        known: tasks on whose map each take shows what its policy sees of its own; None for no map.

    Raises:
        RuntimeError: for `opengl` where there is none to draw with.
    """
    layout = film_layout(len(rows), len(rows[0].takes), height, ghost=ghost)
    with ExitStack() as stack:
        cameras = []
        for row in rows:
            # a task that changes may change the body that is drawn
            bodies = [row.task, row.change[1]] if row.change else [row.task]
            views = [_camera(family, task, layout.panel, renderer) for task in bodies]
            cameras.append([stack.enter_context(closing(view)) for view in views])
        for index in drawn_steps(family, rows):
            page = Image.new("RGB", layout.page, PAPER)
            for number, (row, views) in enumerate(zip(rows, cameras, strict=True)):
                top = number * (layout.header + layout.panel[1])
                view = views[0 if row.phase(index) is row.task else -1]
                _draw_header(page, top, layout, family, row, index)
                draw = _draw_ghost if ghost else _draw_panels
                draw(page, top, layout, family, row, view, index)
                if known:
                    _draw_maps(page, top, layout, row, known, index, step_time(family))
            yield np.asarray(page)


def _camera(
    family: Filmed, task: Tasks, size: tuple[int, int], renderer: Renderer
) -> Camera | Screen:
    """Return what draws the states of takes of a task into panels, width and height [pixel]."""
    if isinstance(family, ForeignFamily):
        return Screen(size, PAPER)
    simulator = Simulator(family, 1, threads=1)
    simulator.set_tasks(task)
    return camera(family, size, simulator.model(0), renderer)


def drawn_steps(family: Filmed, rows: Sequence[Row]) -> range:
    """Return the control steps that a frame is drawn of."""
    return range(0, max(len(take.states) for row in rows for take in row.takes), stride(family))


def stride(family: Filmed) -> int:
    """Return how many control steps a frame is: players do not show more than 50 a second."""
    # the tolerance keeps a dt of 0.02 that is not exact in binary from giving 2
    return max(1, math.ceil(0.02 / step_time(family) - 1e-9))


def step_time(family: Filmed) -> float:
    """Return how long a control step is shown [s]: in real time, or at the environment's rate."""
    if isinstance(family, ForeignFamily):
        return 1.0 / (family.render_fps or 30.0)
    return family.dt


def _draw_header(
    page: Image.Image, top: int, layout: Layout, family: Filmed, row: Row, index: int
) -> None:
    """Write the task and the time above a row."""
    pen, font, margin = ImageDraw.Draw(page), _font(layout.pixels(20)), layout.pixels(8)
    line, task = top + layout.pixels(6), row.phase(index)
    # third-party environments do not tell how long a step is
    clock = f"{index * family.dt:.2f} s" if isinstance(family, TaskFamily) else f"step {index}"
    pen.text((page.width - margin, line), clock, SOFT, font, anchor="ra")
    name, words, ink = f"{family.name}   ", task.label(0), INK
    if task is not row.task and row.change is not None:
        words, ink = f"{words} since {row.change[0] * step_time(family):.4g} s", ALERT
    room = page.width - 3 * margin - pen.textlength("000.00 s", font)  # the clock keeps its place
    small = min(1.0, room / pen.textlength(name + words, font))
    font = _font(int(small * layout.pixels(20)))
    pen.text((margin, line), name, INK, font)
    pen.text((margin + pen.textlength(name, font), line), words, ink, font)


def _draw_panels(
    page: Image.Image,
    top: int,
    layout: Layout,
    family: Filmed,
    row: Row,
    view: Camera | Screen,
    index: int,
) -> None:
    """Draw a row's takes side by side at one control step, each with its title and score."""
    pen, font, margin = ImageDraw.Draw(page), _font(layout.pixels(16)), layout.pixels(8)
    line = top + layout.header - layout.pixels(36)
    for column, take in enumerate(row.takes):
        at = min(index, len(take.states) - 1)
        picture = view.take(
            take.states[at], row.phase(index)[0], _goal_time(family, row, at, index)
        )
        left = column * (layout.panel[0] + layout.gap)
        page.paste(Image.fromarray(picture), (left, top + layout.header))
        right = left + layout.panel[0] - margin
        pen.text((left + margin, line), take.title, INK, font)
        pen.text((right, line), _score(take, at, step_time(family)), INK, font, anchor="ra")


def _draw_ghost(
    page: Image.Image,
    top: int,
    layout: Layout,
    family: Filmed,
    row: Row,
    view: Camera | Screen,
    index: int,
) -> None:
    """Draw a row's last take at one control step, with the first as a translucent robot."""
    pen, font, margin = ImageDraw.Draw(page), _font(layout.pixels(16)), layout.pixels(8)
    line = top + layout.header - layout.pixels(36)
    shadow, take = row.takes[0], row.takes[-1]
    shadow_at, at = (min(index, len(shown.states) - 1) for shown in (shadow, take))
    picture = view.take(
        take.states[at],
        row.phase(index)[0],
        _goal_time(family, row, at, index),
        shadow.states[shadow_at],
    )
    page.paste(Image.fromarray(picture), (0, top + layout.header))
    score = f"{take.title}:   {_score(take, at, step_time(family))}"
    pen.text((margin, line), score, INK, font)
    shadow_score = f"{shadow.title}: return {shadow.rewards[:shadow_at].sum():.1f}"
    pen.text((layout.panel[0] - margin, line), shadow_score, SHADE, font, anchor="ra")


def _goal_time(family: Filmed, row: Row, at: int, index: int) -> float:
    """Return the time for which a row's goal is drawn [s].

    A line that runs at the wanted speed continues from where it was when the speed changed: it is
    drawn where it would be, had it run at the new speed for another time.
    """
    time = at * step_time(family)
    if row.phase(index) is row.task or row.change is None or not isinstance(family, TaskFamily):
        return time
    changed, mark = row.change[0] * family.dt, family.goal.marker
    if mark is None or mark(row.task[0], changed).kind != "line":
        return time
    ahead, speed = mark(row.task[0], changed).x, mark(row.change[1][0], 1.0).x
    return ahead / speed + time - changed if speed else time


def _draw_maps(
    page: Image.Image,
    top: int,
    layout: Layout,
    row: Row,
    known: KnownTasks,
    index: int,
    dt: float,
) -> None:
    """Draw the map of tasks into the upper left corner of each panel whose policy has a memory."""
    size, margin = round(MAP * layout.panel[1]), layout.pixels(8)
    columns = page.width // layout.panel[0]
    trail = max(1, round(1.0 / dt))  # of a second
    for column, take in enumerate(row.takes[-columns:]):
        if not take.contexts.shape[1]:
            continue
        at = min(index, len(take.contexts) - 1)
        way = take.contexts[max(0, at - trail) : at + 1]
        inset = known.picture(way, row.phase(index)[0], size)
        left = column * (layout.panel[0] + layout.gap) + margin
        page.paste(inset, (left, top + layout.header + margin), inset)


def _score(take: Take, at: int, dt: float) -> str:
    """Return the speed at a time and the return so far, in words."""
    score = f"return {take.rewards[:at].sum():.1f}"
    if len(take.away):
        return f"{take.away[at]:.2f} m away   {score}"
    if not take.position.shape[1]:
        return score
    # over a quarter of a second: within a stride the speed goes up and down
    since = max(0, at - max(1, round(0.25 / dt)))
    way = np.linalg.norm(take.position[at] - take.position[since])
    return f"{way / max(dt, (at - since) * dt):.1f} m/s   {score}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
