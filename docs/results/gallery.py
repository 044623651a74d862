"""Films every pretrained policy: two tasks, with nothing seen of them and after one rollout.

python docs/results/gallery.py            # all of them; videos/NAME.mp4 and NAME.gif
python docs/results/gallery.py AntDir2D   # one
"""

import argparse
from pathlib import Path
from typing import Any

from gif import gif

import metarl
from metarl.envs.tasks import Tasks
from metarl.pretrained import policies

VIDEOS = Path(__file__).parent.parent.parent / "videos"
TASKS: dict[str, list[dict[str, Any]]] = {
    "AntDir2D": [{"heading": 0.8}, {"heading": 3.6}],
    "FetchPush": [{"x": 1.47, "y": 0.65}, {"x": 1.24, "y": 0.64}],
    "FetchReach": [{"x": 1.45, "y": 0.87, "z": 0.64}, {"x": 1.25, "y": 0.63, "z": 0.45}],
    "Go1Vel": [{"forward": 0.3}, {"forward": 0.9}],
    "HalfCheetahCrippled": [{"dead_actuator": 4.0}, {"dead_actuator": 1.0}],
    "HalfCheetahDir": [{"direction": 1.0}, {"direction": -1.0}],
    "HalfCheetahVel": [{"velocity": 0.5}, {"velocity": 2.8}],
    "PandaReach": [{"x": 0.6, "y": 0.28, "z": 0.4}, {"x": 0.45, "y": -0.25, "z": 0.7}],
    "Walker2dVel": [{"velocity": 2.5}, {"velocity": 0.5}],
}
"""Tasks that are easy to tell apart by eye; others are drawn."""
SECONDS = 3.0
"""Of a film's beginning that its gif shows, of the first task alone."""
WIDTH = 360
"""Of a gif [pixel]."""


def film(name: str) -> None:
    """Film one policy."""
    learner = metarl.load(f"pretrained:{name}", device="cpu")
    known = TASKS.get(name)
    tasks = Tasks.from_dicts(known) if known else learner.family.sample_tasks(2, seed=1)
    path = VIDEOS / f"{name}.mp4"
    metarl.render(learner, tasks, path, rollouts=1, steps=(0, 1), height=240, task_map=False)
    gif(path, WIDTH, 0.0, SECONDS, (1.0, 0.5))  # of the first task


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", help="policies; all when left out")
    for name in parser.parse_args().names or policies.names():
        film(name)


if __name__ == "__main__":
    main()
