"""A run that will be killed; a process that imports this has trained one, and forks that can begin.

The first training of a process takes three times as long as later ones: it imports parts of torch
and MuJoCo that `import` leaves for later.
"""

import tempfile
from pathlib import Path

import torch

import metarl
from metarl import envs
from tests.conftest import SMALL

UNTIL = 800
"""Environment steps: five iterations."""


def with_encoder() -> metarl.MAML:
    """A learner whose state has all parts that there are: an optimiser's and an encoder's."""
    settings = {**SMALL, "rollouts": 4, "algorithm": "siamese", "encoder_steps": 2}
    return metarl.MAML(envs.make("Point2D", horizon=12), seed=5, **settings)


def go_on(folder: Path) -> None:
    """Train, or resume what was begun; the body of a process that will be killed."""
    if (folder / "config.json").exists():
        metarl.resume(folder)
    else:
        metarl.train(with_encoder(), folder, UNTIL)


torch.set_num_threads(1)  # a process with threads of torch's must not be forked
with tempfile.TemporaryDirectory() as warm_up:
    go_on(Path(warm_up))
