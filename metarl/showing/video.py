"""Films of a policy before and after adaptation, side by side or one as a ghost, headless."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from metarl.agents.policy import Parameters
from metarl.envs.drawing import Camera, Frame, Renderer, camera
from metarl.envs.family import TaskFamily
from metarl.envs.simulator import Simulator
from metarl.envs.tasks import Tasks
from metarl.experience.rollouts import Rollouts
from metarl.learner.maml import MAML
from metarl.sampling.collect import Acting, collect
from metarl.sampling.streams import Key, Phase, Purpose, stream
from metarl.system.files import whole_file

if TYPE_CHECKING:
    from metarl.skills.library import SkillLibrary

ENDINGS = (".mp4", ".gif")
GAP, HEADER = 16, 80
"""Between panels and above a row [pixel], in a film of height 480."""
ASPECT, GHOST_ASPECT = 1.2, 16 / 9
"""Width over height of a panel."""
INK, SOFT, PAPER, SHADE = (25, 30, 40), (110, 118, 130), (250, 250, 248), (64, 102, 191)


class Take(NamedTuple):
    """One filmed episode."""

    title: str
    qpos: NDArray[np.float64]
    """The state at the start and after each step, [time + 1, nq]."""
    position: NDArray[np.float64]
    """Where the robot is on the ground, [time + 1, 1 or 2] in m; no columns for what stands."""
    rewards: NDArray[np.float64]
    """[time]."""


class Row(NamedTuple):
    """What is filmed of one task."""

    task: Tasks
    """One."""
    takes: list[Take]
    """As many as there are panels, or the later one and its ghost."""


def render(
    learner: MAML,
    task: Tasks | Mapping[str, float],
    path: str | Path,
    *,
    rollouts: int = 20,
    steps: int | Sequence[int] = 1,
    ghost: bool = False,
    height: int = 480,
    seed: int = 0,
    library: "SkillLibrary | None" = None,
    renderer: Renderer = "auto",
    progress_bar: bool = False,
) -> Path:
    """Adapt to a task and film the policy before and after, from the same start state.

    The films show the most likely actions; adaptation itself explores as in training.

    Args:
        learner: the learner; it is not changed.
        task: a task's parameters, such as `{"velocity": 1.2}`, or a table with a row a task.
        path: where to; `.mp4` (H.264) or `.gif`.
        rollouts: how many each inner step learns from.
        steps: after how many inner steps; several numbers, such as (0, 1, 3), for a panel each.
            A single number is filmed beside the policy before adaptation.
        ghost: film the last one, with the first as a translucent robot in the same scene.
        height: of each task's row [pixel]; 1080 for a talk.
        seed: decides the start state and exploration.
        library: skills to take the first step from; see `MAML.adapt`.
        renderer: `opengl`, `rays` (without OpenGL), or `auto`: OpenGL where it works, else rays.
        progress_bar: show one, over frames.

    Returns:
        The path.

    Raises:
        ValueError: for another ending or renderer, no or negative steps, a height below 120, or a
            task that the family does not have.
        RuntimeError: for `opengl` where there is none to draw with.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(f"a video's name must end in {' or '.join(ENDINGS)}, got {path.name!r}")
    if height < 120:
        raise ValueError(f"height must be at least 120 pixels, got {height}")
    family = learner.family
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{family.name} cannot be filmed: its simulator is not MuJoCo's batch")
    with whole_file(path) as temporary:
        rows = shoot_all(
            learner, family, task, rollouts=rollouts, steps=steps, seed=seed, library=library
        )
        pictures = frames(family, rows, height=height, ghost=ghost, renderer=renderer)
        count = len(_times(family, rows))
        bar = tqdm(pictures, total=count, unit="frame", disable=not progress_bar)
        write_video(temporary, iter(bar), frame_rate(family))
    return path


def shoot_all(
    learner: MAML,
    family: TaskFamily,
    task: Tasks | Mapping[str, float],
    *,
    rollouts: int,
    steps: int | Sequence[int],
    seed: int,
    library: "SkillLibrary | None",
) -> list[Row]:
    """Adapt to tasks and run an episode after each number of steps; see `render`."""
    shown = (0, steps) if isinstance(steps, int) else tuple(steps)
    if len(shown) == 1 and shown[0]:
        shown = (0, *shown)
    if not shown or min(shown) < 0 or max(shown) < 1:
        raise ValueError(f"steps must be numbers of inner steps, such as (0, 1, 3), got {steps}")
    table, key = family.task(task), Key(seed, Phase.ADAPT)
    inner_lrs = [learner.config.inner_lr] * max(shown)
    rows = []
    for one in (table[index : index + 1] for index in range(len(table))):
        stages = list(learner.adaptation(one, rollouts, inner_lrs, key, library))
        takes = [
            shoot(family, learner.policy, one, stages[step].parameters, key, _title(step, rollouts))
            for step in shown
        ]
        rows.append(Row(one, takes))
    return rows


def _title(step: int, rollouts: int) -> str:
    if step == 0:
        return "before adaptation"
    spent = rollouts * step
    return f"after {step} step{'s' * (step > 1)}, {spent} rollout{'s' * (spent > 1)}"


def shoot(
    family: TaskFamily, policy: Acting, task: Tasks, parameters: Parameters, key: Key, title: str
) -> Take:
    """Run one episode with the most likely actions and keep its states.

    Args:
        family: of the task.
        policy: the policy.
        task: one.
        parameters: with a leading task axis of 1.
        key: decides the start state.
        title: written above the film.
    """
    simulator = Simulator(family, 1, threads=1)
    simulator.set_tasks(task)
    on_cpu = {name: value.cpu() for name, value in parameters.items()}
    rollout = collect(simulator, policy, on_cpu, 1, key, deterministic=True)
    rewards = rollout.rewards[0, 0, : int(rollout.lengths[0, 0])].double().numpy()
    return Take(title, *replay(simulator, rollout, key), rewards)


def replay(
    simulator: Simulator, rollout: Rollouts, key: Key
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the states of a rollout and where they are on the ground, by taking its actions again.

    Args:
        simulator: one simulation, with its task set.
        rollout: one rollout of one task.
        key: what it was collected with.

    Returns:
        [time + 1, nq] and [time + 1, 1 or 2]; no columns for a robot that stands in its place.
    """
    robot = simulator.family.robot
    names = ("x", "y") if robot.lookat is None else ()
    ground = [robot.tracks.index(name) for name in names if name in robot.tracks]
    simulator.reset([stream(key, Purpose.START, 0, 0)])
    states, places = [], []

    def look() -> None:
        states.append(simulator.fields["qpos"][0].copy())
        places.append(robot.position(simulator.fields)[0, ground])

    look()
    for action in rollout.actions[0, :, : int(rollout.lengths[0, 0])].transpose(0, 1):
        simulator.step(action.numpy())
        look()
    return np.stack(states), np.stack(places)


def frames(
    family: TaskFamily,
    rows: Sequence[Row],
    *,
    height: int = 480,
    ghost: bool = False,
    renderer: Renderer = "auto",
) -> Iterator[Frame]:
    """Draw tasks below each other and their takes side by side, [height, width, 3] each.

    There are at most 50 frames a second.

    Args:
        family: of the takes.
        rows: a task each; shorter takes stand still at their end.
        height: of a row [pixel].
        ghost: one panel a row: the last take, with the first as a translucent robot.
        renderer: see `render`.

    Raises:
        RuntimeError: for `opengl` where there is none to draw with.
    """
    scale = height / 480.0
    gap, header = round(GAP * scale), round(HEADER * scale / 2.0) * 2
    panel_height = (height - header) // 2 * 2
    panel = (round(panel_height * (GHOST_ASPECT if ghost else ASPECT) / 2.0) * 2, panel_height)
    columns = 1 if ghost else len(rows[0].takes)
    size = (columns * panel[0] + (columns - 1) * gap) // 2 * 2, (header + panel_height) * len(rows)
    with ExitStack() as stack:
        cameras = []
        for row in rows:
            simulator = Simulator(family, 1, threads=1)
            simulator.set_tasks(row.task)
            view = camera(family, panel, simulator.model(0), renderer)
            cameras.append(stack.enter_context(closing(view)))
        for index in _times(family, rows):
            page = Image.new("RGB", size, PAPER)
            for number, (row, view) in enumerate(zip(rows, cameras, strict=True)):
                _draw(
                    page, number * (header + panel_height), family, row, view, index, scale, ghost
                )
            yield np.asarray(page)


def _draw(
    page: Image.Image,
    top: int,
    family: TaskFamily,
    row: Row,
    view: Camera,
    index: int,
    scale: float,
    ghost: bool,
) -> None:
    """Draw one row of a page at one time."""
    pen = ImageDraw.Draw(page)
    header, gap = round(HEADER * scale / 2.0) * 2, round(GAP * scale)
    large, small, margin = _font(round(20 * scale)), _font(round(16 * scale)), round(8 * scale)
    label = f"{family.name}   {row.task.label(0)}".rstrip()
    pen.text((margin, top + round(6 * scale)), label, INK, large)
    clock = f"{index * family.dt:.2f} s"
    pen.text((page.width - margin, top + round(6 * scale)), clock, SOFT, large, anchor="ra")
    left = 0
    for take in row.takes[-1:] if ghost else row.takes:
        at, first = (min(index, len(each.qpos) - 1) for each in (take, row.takes[0]))
        shade = row.takes[0].qpos[first] if ghost else None
        picture = view.take(take.qpos[at], row.task[0], at * family.dt, shade)
        page.paste(Image.fromarray(picture), (left, top + header))
        line, right = top + header - round(36 * scale), left + picture.shape[1] - margin
        score = _score(take, at, family.dt)
        if ghost:
            pen.text((left + margin, line), f"{take.title}:   {score}", INK, small)
            other = f"{row.takes[0].title}: return {row.takes[0].rewards[:first].sum():.1f}"
            pen.text((right, line), other, SHADE, small, anchor="ra")
        else:
            pen.text((left + margin, line), take.title, INK, small)
            pen.text((right, line), score, INK, small, anchor="ra")
        left += picture.shape[1] + gap


def _score(take: Take, at: int, dt: float) -> str:
    """Return the speed at a time and the return so far, in words."""
    score = f"return {take.rewards[:at].sum():.1f}"
    if not take.position.shape[1]:
        return score
    # over a quarter of a second: within a stride the speed goes up and down
    since = max(0, at - max(1, round(0.25 / dt)))
    way = np.linalg.norm(take.position[at] - take.position[since])
    return f"{way / max(dt, (at - since) * dt):.1f} m/s   {score}"


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


def _times(family: TaskFamily, rows: Sequence[Row]) -> range:
    """Return the control steps that are drawn."""
    return range(0, max(len(take.qpos) for row in rows for take in row.takes), _stride(family))


def _stride(family: TaskFamily) -> int:
    """Return how many control steps a frame is: players do not show more than 50 a second."""
    return max(1, math.ceil(0.02 / family.dt - 1e-9))


def frame_rate(family: TaskFamily) -> float:
    """Return frames a second: real time, unless a step is too long for that."""
    return 1.0 / (family.dt * _stride(family)) if family.dt <= 0.1 else 20.0


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
