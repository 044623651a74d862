"""What a film shows: episodes before and after adaptation, and the pages that they are drawn on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from metarl.agents.policy import Parameters
from metarl.envs.drawing import Camera, Frame, Renderer, camera
from metarl.envs.foreign_family import ForeignFamily, ForeignSimulator
from metarl.envs.opengl_camera import draw_headless
from metarl.envs.robot import Array
from metarl.envs.simulator import Simulator
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.episodes import play
from metarl.experience.memories import Remembered
from metarl.learner.maml import MAML
from metarl.sampling.collect import Acting, Remembering
from metarl.sampling.streams import Key, Phase, Purpose, streams
from metarl.showing.pictures import Screen, packed
from metarl.showing.settings import FilmSettings
from metarl.skills.library import SkillLibrary
from metarl.system.library_threads import one_library_thread

GAP, HEADER = 16, 80
"""Between panels and above a row [pixel], in a film of height 480."""
ASPECT, GHOST_ASPECT = 1.2, 16 / 9
"""Width over height of a panel."""
INK, SOFT, PAPER, SHADE = (25, 30, 40), (110, 118, 130), (250, 250, 248), (64, 102, 191)

Filmed = TaskFamily | ForeignFamily
"""Families that can be filmed: those of others whose environments make pictures themselves."""


class Take(NamedTuple):
    """One filmed episode."""

    title: str
    states: Any
    """What is drawn of the start and of each step, [time + 1]: positions, [nq] each; of an
    environment of others its own pictures, as files."""
    position: NDArray[np.float64]
    """Where the robot is on the ground, [time + 1, 1 or 2] in m; no columns for a robot with
    a fixed base, or of others."""
    rewards: NDArray[np.float64]
    """[time]."""


class Row(NamedTuple):
    """What is filmed of one task."""

    task: Tasks
    """One."""
    takes: list[Take]
    """As many as there are panels, or the later one and its ghost."""


def shoot_all(
    learner: MAML,
    family: Filmed,
    task: Tasks | Mapping[str, float],
    settings: FilmSettings,
    library: SkillLibrary | None = None,
) -> list[Row]:
    """Adapt to tasks and play an episode after each number of inner steps.

    Args:
        learner: the learner; it is not changed.
        family: its family.
        task: a task's parameters, or a table with a row a task.
        settings: of the film.
        library: skills to take the first step from; see `MAML.adapt`.
    """
    table, key = family.task(task), Key(settings.seed, Phase.ADAPT)
    inner_lrs = learner.recipe.inner_lrs(max(settings.steps))
    rows = []
    for one in (table[index : index + 1] for index in range(len(table))):
        stages = list(learner.adaptation(one, settings.rollouts, inner_lrs, key, library))
        takes = [
            shoot(
                family,
                learner.policy,
                one,
                stages[step].parameters,
                key,
                _title(learner, step, settings.rollouts),
                stages[step].memory,
            )
            for step in settings.steps
        ]
        rows.append(Row(one, takes))
    return rows


def _title(learner: MAML, step: int, rollouts: int) -> str:
    """Return in words what a policy has behind it after a step of adaptation."""
    if step == 0:
        return "nothing seen of the task" if learner.state.memory else "before adaptation"
    gradients = sum(lr > 0.0 for lr in learner.recipe.inner_lrs(step))
    spent = f"{rollouts * step} rollout{'s' * (rollouts * step > 1)}"
    if not gradients:
        return f"after {spent}"
    return f"after {gradients} step{'s' * (gradients > 1)}, {spent}"


def shoot(
    family: Filmed,
    policy: Acting,
    task: Tasks,
    parameters: Parameters,
    key: Key,
    title: str,
    memory: Remembered | None = None,
) -> Take:
    """Play one episode with the most likely actions and keep its states.

    Args:
        family: of the task.
        policy: the policy.
        task: one.
        parameters: with a leading task axis of 1.
        key: decides the start state.
        title: written above the film.
        memory: what the policy remembers of the task; None for a policy without memory.
    """
    most_likely = policy.acting({name: value.cpu() for name, value in parameters.items()})

    def act(observation: Array) -> NDArray[np.floating]:
        # the policy's axes are [task, rollout, observation], and its numbers float32
        return most_likely(observation[None].astype(np.float32))[0]

    states, places, rewards = [], [], []
    draw_headless()  # before an environment of others makes its own renderer
    with closing(family.simulate(1, threads=1)) as simulator, one_library_thread():
        simulator.set_tasks(task)
        starts = streams(key, Purpose.START, [(0, 0)])
        remembering = Remembering(memory, 1) if memory else None
        for moment in play(simulator, act, starts, remembering):
            state, place = _look(simulator)
            states.append(state)
            places.append(place)
            rewards.append(moment.reward[0])
    drawn = states if isinstance(family, ForeignFamily) else np.stack(states)
    return Take(title, drawn, np.stack(places), np.array(rewards[1:]))


def _look(simulator: Simulator | ForeignSimulator) -> tuple[Any, Array]:
    """Return what is drawn of the simulation, and where its robot is on the ground, [0 to 2]."""
    if isinstance(simulator, ForeignSimulator):
        return packed(simulator.pictures()[0]), np.zeros(0)
    robot = simulator.family.robot
    names = ("x", "y") if robot.lookat is None else ()
    ground = [robot.tracks.index(name) for name in names if name in robot.tracks]
    place = robot.position(simulator.fields)[0, ground]
    return simulator.fields["qpos"][0].copy(), place


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


def frames(
    family: Filmed,
    rows: Sequence[Row],
    *,
    height: int = FilmSettings.height,
    ghost: bool = FilmSettings.ghost,
    renderer: Renderer = FilmSettings.renderer,
) -> Iterator[Frame]:
    """Draw tasks below each other and their takes side by side, [height, width, 3] each.

    There are at most 50 frames a second.

    Args:
        family: of the takes.
        rows: a task each; shorter takes stand still at their end.
        height: of a row [pixel].
        ghost: one panel a row: the last take, with the first as a translucent robot.
        renderer: what draws; see `metarl.envs.drawing.camera`.

    Raises:
        RuntimeError: for `opengl` where there is none to draw with.
    """
    columns = 1 if ghost else len(rows[0].takes)
    layout = Layout.of(len(rows), columns, height, GHOST_ASPECT if ghost else ASPECT)
    with ExitStack() as stack:
        cameras = []
        for row in rows:
            view = _camera(family, row.task, layout.panel, renderer)
            cameras.append(stack.enter_context(closing(view)))
        for index in drawn_steps(family, rows):
            page = Image.new("RGB", layout.page, PAPER)
            for number, (row, view) in enumerate(zip(rows, cameras, strict=True)):
                top = number * (layout.header + layout.panel[1])
                _draw_header(page, top, layout, family, row, index)
                if ghost:
                    _draw_ghost(page, top, layout, family, row, view, index)
                else:
                    _draw_panels(page, top, layout, family, row, view, index)
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
    line = top + layout.pixels(6)
    pen.text((margin, line), f"{family.name}   {row.task.label(0)}".rstrip(), INK, font)
    # environments of others do not tell how long a step is
    clock = f"{index * family.dt:.2f} s" if isinstance(family, TaskFamily) else f"step {index}"
    pen.text((page.width - margin, line), clock, SOFT, font, anchor="ra")


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
        picture = view.take(take.states[at], row.task[0], at * step_time(family))
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
        take.states[at], row.task[0], at * step_time(family), shadow.states[shadow_at]
    )
    page.paste(Image.fromarray(picture), (0, top + layout.header))
    score = f"{take.title}:   {_score(take, at, step_time(family))}"
    pen.text((margin, line), score, INK, font)
    shadow_score = f"{shadow.title}: return {shadow.rewards[:shadow_at].sum():.1f}"
    pen.text((layout.panel[0] - margin, line), shadow_score, SHADE, font, anchor="ra")


def _score(take: Take, at: int, dt: float) -> str:
    """Return the speed at a time and the return so far, in words."""
    score = f"return {take.rewards[:at].sum():.1f}"
    if not take.position.shape[1]:
        return score
    # over a quarter of a second: within a stride the speed goes up and down
    since = max(0, at - max(1, round(0.25 / dt)))
    way = np.linalg.norm(take.position[at] - take.position[since])
    return f"{way / max(dt, (at - since) * dt):.1f} m/s   {score}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
