"""A task that changes in mid-episode: recovery of pretrained policies, and films of it.

    python docs/results/change.py      # minutes; writes change/, videos/ and a table in the docs

Episodes of 10 s, 100 test tasks; the task changes after 5 s, when the robots have come to their
speed: after 2.5 s they still gain some, so that what is regained is hard to tell from what is new.
Films have the change after 2.5 s.
"""

from dataclasses import replace
from pathlib import Path

import tables
from gif import gif

import metarl
from metarl.envs.task_family import TaskFamily
from metarl.evaluation.course import Course, median_in_words, share_in_words
from metarl.evaluation.recovery import Recovery
from metarl.system.files import write_json

HERE = Path(__file__).parent
VIDEOS = HERE.parent.parent / "videos"
HORIZON = 200
CASES = {
    "HalfCheetahDir": ("5", {"direction": 1.0}, "2.5:direction=-1"),
    "HalfCheetahVel": ("5", {}, ""),
    "HalfCheetahReversed": (
        "5",
        {"bthigh_sign": 1.0, "bshin_sign": 1.0, "fthigh_sign": 1.0},
        "2.5:fthigh_sign=-1",
    ),
    "HalfCheetahCrippled": ("5", {"dead_actuator": 5.0}, "2.5:dead_actuator=1"),
}
"""Policy -> the change that is measured; task and change of the film, if there is one."""


def pretrained(name: str) -> metarl.MAML:
    """Return a pretrained policy, with episodes that are long enough for a change."""
    learner = metarl.load(f"pretrained:{name}", device="cpu")
    assert isinstance(learner.family, TaskFamily)
    learner.family = learner.family.replace(horizon=HORIZON)
    return learner


def measured(name: str) -> Recovery:
    """Return the recovery of a pretrained policy, with a window of 15 steps as well."""
    learner, change = pretrained(name), CASES[name][0]
    result, other = (
        metarl.recovery(learner, change, tasks=100, memory_window=window, seed=7)
        for window in (None, 15)
    )
    return replace(result, courses=result.courses | {"window 15": other.first})


def film(name: str) -> None:
    """Film the change of the policy's case, if it has one."""
    _, task, change = CASES[name]
    if change:
        learner = pretrained(name)
        path = VIDEOS / f"{name}_change.mp4"
        metarl.render(learner, task, path, change=change, rollouts=1, steps=(0, 1), height=360)
        if name == "HalfCheetahDir":  # README shows it, with nothing seen of the task before
            gif(path, 400, 1.0, 5.0, (0.5, 1.0))


def cells(course: Course) -> list[str]:
    """Return reward of a step 2 s after the change, median time to 90 %, and shares within 2 s."""
    late = median_in_words(course.seconds())
    shares = [share_in_words(share) for share in (course.recovered, course.regained)]
    return [f"{course.soon[:, -1].mean():.2f}", late, *shares]


def table(results: dict[str, Recovery]) -> str:
    """Return what every policy regains, by how it remembers, as Markdown."""
    names = ["policy", "memory", "steady", "before", "2 s later"]
    names += ["90 % of the way", "in 2 s", "90 % of the rate in 2 s"]
    rows = []
    for name, result in results.items():
        steady, first = f"{result.first.steady.mean():.2f}", name
        for way, course in result.courses.items():
            rows.append([first, way, steady, f"{course.before.mean():.2f}", *cells(course)])
            first = steady = ""
        rows.append(["", "in the new task from the start", "", "", *cells(result.unchanged)])
    return tables.table(names, rows)


def main() -> None:
    (HERE / "change").mkdir(exist_ok=True)
    results = {}
    for name in CASES:
        results[name] = result = measured(name)
        print(f"{result.title}\n{result}\n", flush=True)
        write_json(HERE / "change" / f"{name}.json", result.to_dict(), indent=None)
        film(name)
    tables.write(HERE.parent / "similarity.md", "change", table(results))


if __name__ == "__main__":
    main()
