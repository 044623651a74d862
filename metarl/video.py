"""Films of a policy before and after adaptation, side by side, headless."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agents.policy import Parameters
from envs.drawing import Camera, Frame
from envs.family import TaskFamily
from envs.simulator import Simulator
from envs.tasks import Tasks
from metarl.collect import collect
from metarl.files import whole_file
from metarl.losses import Policy
from metarl.maml import MAML
from metarl.rollouts import Rollouts
from metarl.streams import Key, Phase, Purpose, stream

ENDINGS = (".mp4", ".gif")
PANEL = (480, 400)  # width and height [pixel]
GAP, HEADER = 16, 80
INK, SOFT, PAPER = (25, 30, 40), (110, 118, 130), (250, 250, 248)


class Take(NamedTuple):
    """One filmed episode."""

    title: str
    qpos: NDArray[np.float64]
    """The state at the start and after each step, [time + 1, nq]."""
    rewards: NDArray[np.float64]
    """[time]."""


def render(
    learner: MAML,
    task: Tasks | Mapping[str, float],
    path: str | Path,
    *,
    rollouts: int = 20,
    steps: int = 1,
    seed: int = 0,
) -> Path:
    """Adapt to a task and film the policy before and after, from the same start state.

    The films show the most likely actions; adaptation itself explores as in training.

    Args:
        learner: the learner; it is not changed.
        task: one task's parameters, such as `{"velocity": 1.2}`.
        path: where to; `.mp4` (H.264) or `.gif`.
        rollouts: how many each inner step learns from.
        steps: inner steps.
        seed: decides the start state and exploration.

    Returns:
        The path.

    Raises:
        ValueError: for another ending, or a task that the family does not have.
        RuntimeError: when there is no OpenGL to draw with.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise ValueError(f"a video's name must end in {' or '.join(ENDINGS)}, got {path.name!r}")
    family = learner.family
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{family.name} cannot be filmed: its simulator is not MuJoCo's batch")
    table = family.task(task)
    if len(table) != 1:
        raise ValueError(f"a video shows one task, got {len(table)}")
    key = Key(seed, Phase.ADAPT)
    with whole_file(path) as temporary:
        stages = list(learner.adaptation(table, rollouts, [learner.config.inner_lr] * steps, key))
        done = "1 inner step" if steps == 1 else f"{steps} inner steps"
        takes = [
            shoot(family, learner.policy, table, stage.parameters, key, title)
            for stage, title in (
                (stages[0], "before adaptation"),
                (stages[-1], f"after {done}, {rollouts * steps} rollouts"),
            )
        ]
        write_video(temporary, frames(family, table, takes), _rate(family))
    return path


def shoot(
    family: TaskFamily, policy: Policy, task: Tasks, parameters: Parameters, key: Key, title: str
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
    return Take(title, replay(simulator, rollout, key), rewards)


def replay(simulator: Simulator, rollout: Rollouts, key: Key) -> NDArray[np.float64]:
    """Return the states of a rollout, [time + 1, nq], by taking its actions again.

    Args:
        simulator: one simulation, with its task set.
        rollout: one rollout of one task.
        key: what it was collected with.
    """
    simulator.reset([stream(key, Purpose.START, 0, 0)])
    states = [simulator.fields["qpos"][0].copy()]
    for action in rollout.actions[0, :, : int(rollout.lengths[0, 0])].transpose(0, 1):
        simulator.step(action.numpy())
        states.append(simulator.fields["qpos"][0].copy())
    return np.stack(states)


def frames(family: TaskFamily, task: Tasks, takes: Sequence[Take]) -> Iterator[Frame]:
    """Draw the takes side by side, [height, width, 3] each, at most 50 frames a second of them.

    Args:
        family: of the takes.
        task: one.
        takes: as many as are to be compared; shorter ones stand still at their end.

    Raises:
        RuntimeError: when there is no OpenGL to draw with.
    """
    width = len(takes) * PANEL[0] + (len(takes) - 1) * GAP
    label = task.label(0) if len(task.names) <= 4 else f"{len(task.names)} parameters"
    name = f"{family.name}   {label}".rstrip()
    simulator = Simulator(family, 1, threads=1)
    simulator.set_tasks(task)
    with closing(Camera(family, PANEL, simulator.model(0))) as camera:
        for index in range(0, max(len(take.qpos) for take in takes), _stride(family)):
            page = Image.new("RGB", (width, PANEL[1] + HEADER), PAPER)
            pen = ImageDraw.Draw(page)
            pen.text((8, 6), name, INK, _font(20))
            pen.text((width - 8, 6), f"{index * family.dt:.2f} s", SOFT, _font(20), anchor="ra")
            for column, take in enumerate(takes):
                left = column * (PANEL[0] + GAP)
                at = min(index, len(take.qpos) - 1)
                picture = camera.take(take.qpos[at], task[0], at * family.dt)
                page.paste(Image.fromarray(picture), (left, HEADER))
                pen.text((left + 8, HEADER - 40), take.title, INK, _font(17))
                score = f"return {take.rewards[:at].sum():.1f}"
                pen.text((left + PANEL[0] - 8, HEADER - 40), score, INK, _font(17), anchor="ra")
            yield np.asarray(page)


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


def _stride(family: TaskFamily) -> int:
    """Return how many control steps a frame is: players do not show more than 50 a second."""
    return max(1, math.ceil(0.02 / family.dt - 1e-9))


def _rate(family: TaskFamily) -> float:
    """Return frames a second: real time, unless a step is too long for that."""
    return 1.0 / (family.dt * _stride(family)) if family.dt <= 0.1 else 20.0


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
