"""Writes families.md and a still of each family, from the catalogue itself.

python docs/make_families.py            # text and stills
python docs/make_families.py AntDir     # text, and the still of one family
python docs/make_families.py --text     # text only
"""

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from metarl import envs
from metarl.envs.drawing import camera
from metarl.system.files import whole_file

DOCS = Path(__file__).parent
STILLS = DOCS / "families"
SIZE = (320, 240)

HEAD = """\
# Task families

This page is generated from the catalogue by `docs/make_families.py`; `metarl families` prints the
same facts. With `from metarl import envs`, `envs.make("AntDir", horizon=100)` changes a field and
`envs.make("AntDir", preset="promp2018")` selects a published variant. Every family is also
registered with Gymnasium: `gymnasium.make("metarl/AntDir-v0")`. Those on robots of MuJoCo Menagerie
need their models: see [robots](robots.md); those on the Fetch arm need the extra `robots`.
Meta-World's are on [a page of their own](metaworld.md).

An action of 1 uses the fraction *action scale* of the robot's control range. A new policy has unit
standard deviation, so the action scale decides how widely it explores.

Rewards are in SI units: `v_x` is the velocity along x in m/s, `|control|^2` the sum of squared
controls. Terms of a command, such as `velocity` and `tilt`, are those of
`metarl.envs.commands.TERMS`.

"""

PRESETS = """\

## Published variants

What each preset changes relative to the family above.

| family | preset | differs in |
| --- | --- | --- |
"""

NOTES = """\

## Where it helps to know the task

What a policy earns that is told the task beside one policy for all tasks, where both were trained
([results](results/README.md), one to three seeds). Families whose bodies vary, and not
their goals, are in bold.

- Much: HalfCheetahVel (-17 and -80), HalfCheetahDir (424 and 2), Point2D (-0.4 and -34), AntDir
  (537 and 182), AntDir2D (497 and 185), AntGoal (416 and 257), AntVel (72 and -9), ReacherGoal
  (-5.8 and -9.8), PandaReach (-1.1 and -10.7), Go1Vel (112 and 61), **HalfCheetahReversed** (336
  and 266), **AntCrippled** (248 and 136).
- A fifth more: **HalfCheetahMass** (431 and 362, but no policy that adapts has got there). A tenth:
  Walker2dVel (453 and 413); an eighth: Go1Motors (71 and 63).
- **HalfCheetahCrippled** (352 and 353), **WalkerRandParams** (306 and 388) and **HopperRandParams**
  (324 and 399) vary within what one policy can do: there, policies that adapt have been no better
  than one for all tasks, or behind it. What a robot is told in vain is noise to it.

## What is not reproduced

Some published implementations have mistakes that affect their numbers. They are listed here and not
reproduced:

- **SwimmerVel**: ProMP's reward is `+|v - v*|`, which rewards deviating from the speed; here the
  sign is negative.
- **Point2D**: ProMP's `done` asks whether the point is near the origin, not near its goal; the
  presets other than `maml2017` end by the time limit only.
- **HalfCheetahDir**: several repositories observe the torso's x, which reveals to the policy in
  which direction it has been running; here it is not observed, as in ProMP.
- **AntDir** in PEARL's configuration has two fixed random angles instead of forward and back.
- **HalfCheetahVel**: PEARL draws the same tasks for any seed (1337) and calls `np.random.seed`.
- **Contact forces**: with MuJoCo 2 and mujoco-py they were zero without a warning, in observations
  and in the contact cost, so runs with those versions had neither. Here they are computed on
  request: `Ant(contact_forces=True)`, as in the presets `maml2017` and `promp2018`.
- **Varied bodies**: ports to newer MuJoCo often multiply values that an earlier task has already
  changed, or do not update the constants derived from masses; here each task starts from the
  unchanged model, and the constants are recomputed.
- rllab's simulators, which Finn et al. (2017) used, differ from Gymnasium's: a control step of 0.01
  s for the cheetah and 0.02 s for the ant. The robots here are Gymnasium's v5 throughout, so
  returns of `maml2017` are not to be compared with that paper's.
"""


def row(name: str) -> str:
    family = envs.make(name)
    facts = family.describe()
    varies = "; ".join(facts["varies"])
    lines = [
        f"## {name}",
        "",
        f"![{name}](families/{name}.png)",
        "",
        f"- robot: {facts['robot']}, observes {facts['observation_size']} numbers, "
        f"{facts['action_size']} actions",
        f"- goal: {facts['goal']}; reward of a step `{family.formula}`",
        f"- varies: {varies}",
        f"- horizon {family.horizon} steps of {family.dt:g} s, "
        f"action scale {family.action_scale:g}",
        f"- source: {family.source}",
        "",
    ]
    if not family.falls:
        lines.insert(-2, "- a fall does not end the episode")
    return "\n".join(lines)


def overview() -> str:
    lines = ["| family | robot | goal | varies | horizon |", "| --- | --- | --- | --- | --- |"]
    for name in envs.families():
        family = envs.make(name)
        varied = [d.name for d in family.dynamics]
        what = ", ".join([*(["goal"] if family.goal.distributions else []), *varied])
        lines.append(
            f"| [{name}](#{name.lower()}) | {family.robot.name} | {family.goal.name} "
            f"| {what} | {family.horizon} |"
        )
    return "\n".join(lines) + "\n\n"


def difference(name: str, preset: str) -> str:
    plain, published = envs.make(name), envs.make(name, preset=preset)
    words: list[str] = []
    for field in ("horizon", "action_scale", "control_cost", "survive_bonus", "contact_cost"):
        value = getattr(published, field)
        if value != getattr(plain, field):
            words.append(f"{field.replace('_', ' ')} {value:g}")
    if published.falls != plain.falls:
        words.append("a fall does not end the episode")
    if published.observation_size != plain.observation_size:
        words.append(f"observes {published.observation_size} numbers, with contact forces")
    if published.goal.name != plain.goal.name:
        words.append(published.goal.name)
    a, b = ([d.describe() for d in family.goal.distributions] for family in (plain, published))
    words += [text for text in b if text not in a]
    spread: Any = getattr(published.robot, "spread", 0.0)
    if spread != getattr(plain.robot, "spread", 0.0):
        words.append(f"starts within {spread:g} m of the origin")
    return "; ".join(words) or "nothing"


def text() -> str:
    pages = [HEAD, overview(), *(row(name) + "\n" for name in envs.families()), PRESETS.lstrip()]
    for name in envs.families():
        pages += [f"| {name} | {p} | {difference(name, p)} |\n" for p in envs.presets(name)]
    return "".join([*pages, NOTES])


def still(name: str) -> Image.Image:
    family = envs.make(name)
    simulator = envs.Simulator(family, 1)
    tasks = family.sample_tasks(1, seed=1, split="test")
    simulator.set_tasks(tasks)
    simulator.reset([np.random.default_rng(0)])
    with closing(camera(family, SIZE, simulator.model(0))) as view:
        picture = view.take(simulator.fields["qpos"][0], tasks[0], 1.0)
    return Image.fromarray(picture).quantize(64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*", default=envs.families(), metavar="FAMILY")
    parser.add_argument("--text", action="store_true")
    arguments = parser.parse_args()
    with whole_file(DOCS / "families.md") as temporary:
        temporary.write_text(text())
    if not arguments.text:
        STILLS.mkdir(exist_ok=True)
        for name in arguments.families:
            still(name).save(STILLS / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
