"""A map of known tasks, on which a running policy's memory finds the place of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from metarl.envs.tasks import Tasks
from metarl.learner.maml import MAML
from metarl.sampling.streams import Key, Phase

TASKS = 80
"""On a map."""
SMALLEST = 60
"""Height in pixels below which a map has no words."""
_INK, _FAINT = (25, 30, 40), (110, 118, 130)
_FINER = 3
"""What is drawn so many times as large and then scaled down has smooth edges."""


@dataclass(frozen=True, eq=False)
class KnownTasks:
    """What a policy sees of some known tasks, after one rollout of each."""

    tasks: Tasks
    contexts: NDArray[np.float32]
    """[task, context]."""

    def colours(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return colours of values of the first task parameter, [n, 3]: dark for low ones."""
        column = self.tasks.values[:, 0]
        low, high = column.min(), column.max()
        parts = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
        # the brightest yellow would not show on the light ground, nor the darkest violet in ink
        colours = matplotlib.colormaps["viridis"](0.1 + 0.8 * np.clip(parts, 0.0, 1.0))
        return (255 * colours[:, :3]).astype(np.uint8)

    def places(self, contexts: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return where contexts lie in the plane in which those of known tasks vary most, [n, 2].

        Known tasks, and the origin, where nothing is seen yet, are within -1 to 1. What is beyond
        the map is put on its edge.
        """
        centre = self.contexts.mean(0)
        # principal components: the right singular vectors of the centred known tasks
        _, _, components = np.linalg.svd(self.contexts - centre, full_matrices=False)
        plane = np.zeros((2, len(centre)))
        plane[: len(components)] = components[:2]
        nothing = np.zeros((1, len(centre)))
        edge = (np.concatenate([self.contexts, nothing]) - centre) @ plane.T
        middle = (edge.max(0) + edge.min(0)) / 2.0
        half = max(float((edge.max(0) - edge.min(0)).max()) / 2.0, 1e-6)
        return np.clip(((contexts - centre) @ plane.T - middle) / half, -1.15, 1.15)

    def picture(
        self, way: NDArray[np.floating], task: Mapping[str, float], size: int
    ) -> Image.Image:
        """Return the map, square, with a running policy's place and the way there.

        Args:
            way: contexts of the last second or so, the latest one last, [time, context].
            task: the policy's own, which gives its place the colour that it should be among.
            size: width and height [pixel].
        """
        wide = size * _FINER
        page = Image.new("RGBA", (wide, wide), (0, 0, 0, 0))
        pen = ImageDraw.Draw(page)
        pen.rounded_rectangle((0, 0, wide - 1, wide - 1), wide // 16, (255, 255, 255, 180))
        words = size >= SMALLEST
        top = 0.14 * wide if words else 0.0
        middle, reach = np.array([wide / 2.0, (wide + top) / 2.0]), 0.39 * (wide - top)

        def spot(place: NDArray[np.float64], radius: float, colour: tuple[int, ...]) -> None:
            x, y = middle + reach * place * (1.0, -1.0)
            r = radius * wide
            pen.ellipse((x - r, y - r, x + r, y + r), colour)

        for place, colour in zip(
            self.places(self.contexts), self.colours(self.tasks.values[:, 0]), strict=True
        ):
            spot(place, 0.024, (*colour.tolist(), 150))
        trail = self.places(way)
        if len(trail) > 1:
            line = [tuple(middle + reach * place * (1.0, -1.0)) for place in trail]
            pen.line(line, (*_INK, 170), max(1, wide // 90), joint="curve")
        own = self.colours(np.array([task[self.tasks.names[0]]]))[0]
        spot(trail[-1], 0.055, (*_INK, 255))
        spot(trail[-1], 0.045, (255, 255, 255, 255))
        spot(trail[-1], 0.035, (*own.tolist(), 255))
        if words:
            font = ImageFont.load_default(round(0.085 * wide))
            name = self.tasks.names[0].replace("_", " ")
            labels = f"known tasks by {name}", f"tasks by {name}", name
            fits = (each for each in labels if pen.textlength(each, font) < 0.92 * wide)
            label = next(fits, "known tasks")
            pen.text((0.05 * wide, 0.03 * wide), label, (*_FAINT, 255), font)
        return page.resize((size, size), Image.Resampling.LANCZOS)


def known_tasks(learner: MAML, seed: int) -> KnownTasks | None:
    """Return tasks of training with what the policy sees of each after a rollout.

    Args:
        learner: the learner; it is not changed.
        seed: decides the tasks, start states and exploration.

    Returns:
        None for a policy without memory, or a family with a single task.
    """
    memory = learner.state.memory
    if memory is None or not learner.family.parameters:
        return None
    tasks = learner.family.sample_tasks(TASKS, seed=(seed, 1))
    rollouts = learner.sample(tasks, learner.parameters, 1, Key(seed, Phase.SIMILARITY, 3))
    with torch.no_grad():
        contexts = memory.context(rollouts.memories[:, 0])
    return KnownTasks(tasks, contexts.numpy())
