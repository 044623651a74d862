"""A task that changes in mid-episode: recovery of pretrained policies, and films of it.

    python docs/results/change.py      # minutes; writes change/ and videos/

Episodes of 10 s, 40 test tasks; the task changes after 2.5 s.
"""

from pathlib import Path

import metarl
from metarl.envs.task_family import TaskFamily
from metarl.pretrained import policies
from metarl.system.files import write_json

HERE = Path(__file__).parent
VIDEOS = HERE.parent.parent / "videos"
HORIZON = 200
CASES = {
    "HalfCheetahDir": ("2.5", {"direction": 1.0}, "2.5:direction=-1"),
    "HalfCheetahVel": ("2.5", {}, ""),
    "HalfCheetahReversed": (
        "2.5",
        {"bthigh_sign": 1.0, "bshin_sign": 1.0, "fthigh_sign": 1.0},
        "2.5:bthigh_sign=-1",
    ),
    "HalfCheetahCrippled": ("2.5", {"dead_actuator": 4.0}, "2.5:dead_actuator=1"),
}
"""Policy -> the change that is measured; task and change of the film, if there is one."""


def main() -> None:
    (HERE / "change").mkdir(exist_ok=True)
    for name in CASES:
        if name not in policies.names():
            continue
        change, task, filmed = CASES[name]
        learner = metarl.load(f"pretrained:{name}", device="cpu")
        assert isinstance(learner.family, TaskFamily)
        learner.family = learner.family.replace(horizon=HORIZON)
        result = metarl.recovery(learner, change, tasks=40, seed=7)
        print(f"{result.title}\n{result}\n", flush=True)
        write_json(HERE / "change" / f"{name}.json", result.to_dict(), indent=None)
        if filmed:
            film = VIDEOS / f"{name}_change.mp4"
            metarl.render(learner, task, film, change=filmed, rollouts=1, steps=(0, 1), height=360)


if __name__ == "__main__":
    main()
