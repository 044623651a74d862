"""Adapting while the robot runs: a policy that sees the Siamese embedding, beside its rivals.

    python docs/results/running.py train HalfCheetahVel siamese 0   # one run; minutes
    python docs/results/running.py show                             # the page's table and figure

Methods, all evaluated on the same 40 tasks that were never trained on, 20 rollouts each:

    siamese     sees the embedding of what it saw of the task so far; no gradient
    told        sees the task's parameters instead: the same optimiser, steps and rollouts
    one-policy  sees neither: one policy for all tasks, the same optimiser, steps and rollouts
    maml-trpo, promp, pretrain
                the package's defaults; adapted by one gradient step from 20 rollouts

A file in `running/` holds the settings, seed, versions, environment steps, seconds, and the
evaluations on test tasks and, where the family has them, on tasks outside the training range.
"""

import argparse
import csv
import itertools
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tables
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

import metarl
from metarl import envs
from metarl.envs.distributions import Split
from metarl.evaluation.interval import interval
from metarl.sampling.streams import Key, Phase
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file, write_json

HERE = Path(__file__).parent
FILES = HERE / "running"
METHODS: dict[str, dict[str, Any]] = {
    "siamese": {"algorithm": "siamese"},
    "told": {"algorithm": "siamese", "context": "none"},
    "one-policy": {"algorithm": "siamese", "context": "none"},
    "maml-trpo": {"algorithm": "maml-trpo"},
    "promp": {"algorithm": "promp"},
    "pretrain": {"algorithm": "pretrain"},
}
FAMILIES: dict[str, tuple[int, dict[str, Any]]] = {
    "Point2D": (2_000_000, {}),
    "HalfCheetahVel": (2_000_000, {}),
    "HalfCheetahDir": (3_000_000, {}),
    "HalfCheetahReversed": (2_000_000, {}),
    "HalfCheetahCrippled": (3_000_000, {}),
    "AntDir": (2_000_000, {}),
    "AntDir2D": (3_000_000, {}),
    "AntGoal": (2_000_000, {}),
    "AntVel": (2_000_000, {}),
    "AntCrippled": (2_000_000, {}),
    "WalkerRandParams": (2_000_000, {}),
    "Walker2dVel": (2_000_000, {}),
    "HopperRandParams": (2_000_000, {}),
    "SwimmerVel": (1_000_000, {}),
    "HumanoidDir": (2_000_000, {}),
    "ReacherGoal": (1_000_000, {}),
    "PusherGoal": (1_000_000, {}),
    "FetchReach": (1_500_000, {}),
    "FetchPush": (4_400_000, {}),
    "PandaReach": (1_200_000, {}),
    "Go1Vel": (1_500_000, {}),
    "Go1Motors": (1_500_000, {}),
    "Go1Payload": (1_500_000, {}),
}
"""Environment steps of training, and what differs from the catalogue's family."""
ENCODER = ["change of reward", "gross reward", "places of tasks", "bounds of tasks"]
"""What encoders are given beside states, actions and rewards, and what they are taught by; files of
before lack some of it."""
QUARTERS = [f"{name} quarter of the first episode" for name in ("third", "last")]


def train(family: str, method: str, seed: int, threads: int, device: str) -> metarl.MAML:
    """Train one run, evaluate it and write its file; print the returns."""
    steps, changes = FAMILIES[family]
    tasks = envs.make(family, **changes)
    if method == "told":
        tasks = tasks.replace(reveals_task=True)
    learner = metarl.MAML(tasks, seed=seed, threads=threads, device=device, **METHODS[method])
    record(learner, method, learn(learner, steps))
    return learner


def learn(learner: metarl.MAML, steps: int) -> dict[str, float]:
    """Train for so many environment steps; return the seconds it took, by the clock and of CPU."""
    wall, cpu = time.monotonic(), time.process_time()
    learner.learn(steps)
    return {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}


def facts(learner: metarl.MAML, seconds: dict[str, float]) -> dict[str, Any]:
    """Return what a file of results says of a run besides its evaluations."""
    return {
        "config": asdict(learner.config),
        "family": learner.family.describe(),
        "versions": versions(),
        "machine": machine(learner.device),
        "steps": learner.num_timesteps,
        "seconds": seconds,
    }


def machine(device: torch.device) -> str:
    """Return how many cores the machine has, of what kind, and the GPU if updates run on one."""
    cores = f"{os.cpu_count()} cores, {platform.machine()}"
    return f"{cores}, {torch.cuda.get_device_name()}" if device.type == "cuda" else cores


def record(learner: metarl.MAML, method: str, seconds: dict[str, float]) -> None:
    """Evaluate a run and write its file; print the returns."""
    tasks = learner.family
    # the first step of a policy with memory is what it saw, the second one a gradient
    inner_steps = 2 if method == "siamese" else 1
    splits: list[Split] = ["test"]
    if tasks.extrapolates:
        splits.append("extrapolate")
    evaluations = {
        split: metarl.evaluate(learner, tasks=40, steps=inner_steps, split=split, seed=7)
        for split in splits
    }
    data = {
        "method": method,
        "encoder": ENCODER if method == "siamese" else None,
        **facts(learner, seconds),
        "second_half": second_half(learner),
        "evaluations": {split: evaluation.to_dict() for split, evaluation in evaluations.items()},
    }
    path = file_of(tasks.name, method, learner.config.seed)
    write_json(path, data, indent=None)
    times = ", ".join(f"{time:.0f} s of {kind}" for kind, time in seconds.items())
    print(f"{path.stem}: {learner.num_timesteps:,} steps, {times}")
    for split, evaluation in evaluations.items():
        print(f"{split}\n{evaluation}")


def second_half(learner: metarl.MAML) -> float:
    """Return the mean return of the test tasks' first episodes if all were like its second half."""
    tasks = learner.family.sample_tasks(40, seed=7, split="test")
    rollouts = learner.sample(tasks, learner.parameters, 20, Key(7, Phase.EVALUATE))
    late = rollouts.rewards[..., learner.family.horizon // 2 :]
    return float(late.double().mean()) * learner.family.horizon


def file_of(family: str, method: str, seed: int) -> Path:
    """Return where a run's numbers are."""
    return FILES / f"{family}_{method}_{seed}.json"


def runs(family: str, method: str) -> list[dict[str, Any]]:
    """Return the files of one method, a seed each."""
    paths = sorted(FILES.glob(f"{family}_{method}_*.json"))
    return [json.loads(path.read_text()) for path in paths]


def returns(family: str, method: str, split: str, what: str) -> np.ndarray | None:
    """Return means over tasks, [seed]; None where there is no such run or number.

    Args:
        family: its name.
        method: one of `METHODS`.
        split: of the tasks.
        what: `step N`, `second half` of the first episode, or words of `Evaluation.seen`.
    """
    values = []
    for run in runs(family, method):
        if what == "second half" and split == "test" and "second_half" in run:
            values.append(run["second_half"])
            continue
        if split not in run["evaluations"]:
            return None
        evaluation = run["evaluations"][split]
        if what.startswith("step "):
            step = int(what.removeprefix("step "))
            if step >= len(evaluation["returns"]):
                return None
            values.append(evaluation["returns"][step]["mean"])
        elif "seen" not in evaluation:
            return None
        elif what == "second half":
            values.append(float(np.mean([evaluation["seen"][q]["mean"] for q in QUARTERS])))
        else:
            values.append(evaluation["seen"][what]["mean"])
    return np.array(values) if values else None


COLUMNS = (
    ("one policy", "one-policy", "step 0"),
    ("told", "told", "step 0"),
    ("first episode", "siamese", "step 0"),
    ("its second half", "siamese", "second half"),
    ("after 1 rollout", "siamese", "after 1 rollout"),
    ("after 20", "siamese", "step 1"),
    ("and a gradient step", "siamese", "step 2"),
)
"""Heading, method and moment of each column of the table."""

RIVALS = (
    ("siamese, first episode", "siamese", "step 0"),
    ("after 1 rollout", "siamese", "after 1 rollout"),
    ("maml-trpo", "maml-trpo", "step 1"),
    ("promp", "promp", "step 1"),
    ("pretrain", "pretrain", "step 1"),
    ("pretrain, not adapted", "pretrain", "step 0"),
)
"""The same of the table of rivals; one gradient step from 20 rollouts is their adaptation."""


def table() -> str:
    """Return what every family's methods reach, as Markdown: a row for each family and split."""
    headings = [heading for heading, *_ in COLUMNS]
    names = ["family", "M steps", *headings, "part in its second half", "part after 1"]
    rows = []
    splits: tuple[Split, ...] = ("test", "extrapolate")
    for family, split in itertools.product(FAMILIES, splits):
        cells = [returns(family, method, split, what) for _, method, what in COLUMNS]
        if all(cell is None for cell in cells):
            continue
        first = next(run for _, method, _ in COLUMNS for run in runs(family, method))
        row = [family, f"{first['steps'] / 1e6:.1f}"] if split == "test" else ["- outside", ""]
        row += [
            _words(cell, family, method)
            for cell, (_, method, _) in zip(cells, COLUMNS, strict=True)
        ]
        if split == "test":
            one, told = (returns(family, m, split, "second half") for m in ENDS)
            after = _part(cells[0], cells[1], cells[4])
            row += [_part(one, told, cells[3]) if after else "", after]
        rows.append(row)
    return tables.table(names, rows)


def rivals() -> str:
    """Return what other ways to adapt reach in as many steps, as Markdown."""
    names = ["family", "M steps", *(heading for heading, *_ in RIVALS), "RL2, second episode"]
    rows = []
    for family in FAMILIES:
        cells = [returns(family, method, "test", what) for _, method, what in RIVALS]
        cells.append(_rl2(family))
        if cells[0] is None or all(cell is None for cell in cells[2:]):
            continue
        steps = f"{runs(family, 'siamese')[0]['steps'] / 1e6:.1f}"
        methods = [*(method for _, method, _ in RIVALS), "rl2"]
        words = [_words(c, family, method) for method, c in zip(methods, cells, strict=True)]
        rows.append([family, steps, *words])
    return tables.table(names, rows)


GLANCE = {
    "HalfCheetahDir": "forward or back",
    "HalfCheetahVel": "at which speed",
    "HalfCheetahReversed": "which motors are reversed",
    "AntDir2D": "in which direction",
    "PandaReach": "a Franka Panda, which point to reach",
    "Go1Vel": "a Unitree Go1, at which speed",
}
"""Families of the table in the README, and what a task of each hides."""


def glance() -> str:
    """Return the table of the README: before and after adaptation, and told the task."""
    columns = {
        "one policy for all": ("one-policy", "step 0"),
        "first episode": ("siamese", "step 0"),
        "after 1 rollout": ("siamese", "after 1 rollout"),
        "told the task": ("told", "step 0"),
    }
    rows = []
    for family, hidden in GLANCE.items():
        cells = [returns(family, method, "test", what) for method, what in columns.values()]
        steps = f"{runs(family, 'siamese')[0]['steps'] / 1e6:.1f} M steps"
        means = ["" if cell is None else f"{cell.mean():.1f}" for cell in cells]
        rows.append([f"{family}: {hidden}", steps, *means])
    return tables.table(["family: what is hidden", "training", *columns], rows)


def _rl2(family: str) -> np.ndarray | None:
    """Return what RL2 earns in its second episode, [seed]; see `rl2.py`."""
    paths = sorted((HERE / "rl2").glob(f"{family}_*.json"))
    found = [json.loads(path.read_text())["rl2"]["second episode"]["mean"] for path in paths]
    return np.array(found) if found else None


ENDS = ("one-policy", "told")
"""The methods between which adaptation is looked at."""
LEFT, RIGHT = -0.5, 1.5
"""Where the figure ends; longer bars are cut off and have their number."""


def _words(values: np.ndarray | None, family: str, method: str) -> str:
    """Return a mean over seeds with its interval, or the one seed's number, and its mark."""
    if values is None:
        return ""
    mean = f"{values[0]:.1f}" if len(values) == 1 else f"{interval(values)} ({len(values)})"
    return mean + _mark(family, method)


def _mark(family: str, method: str) -> str:
    """Return a mark where a method's runs are not of today's package."""
    given = [run["encoder"] for run in runs(family, method) if method == "siamese"]
    return "°" if any(each != ENCODER for each in given) else ""


def _gains(low: np.ndarray, high: np.ndarray) -> bool:
    """Return whether being told the task brings a twentieth more than one policy for all."""
    return bool(high.mean() - low.mean() > abs(low.mean()) / 20.0)


def _part(low: np.ndarray | None, high: np.ndarray | None, reached: np.ndarray | None) -> str:
    """Return the part of the way from one policy for all to being told, if it is one."""
    if low is None or high is None or reached is None or not _gains(low, high):
        return ""
    return f"{(reached.mean() - low.mean()) / (high.mean() - low.mean()):.0%}"


def _before(family: str, method: str) -> np.ndarray:
    """Return mean returns on test tasks before any adaptation, [seed]."""
    returned = [run["evaluations"]["test"]["returns"] for run in runs(family, method)]
    return np.array([each[0]["mean"] for each in returned])


def figure() -> Figure:
    """Draw how far each family's adaptation gets from one policy for all to being told the task."""
    bars = (
        ("siamese, first episode", "siamese", "step 0", "#8ecae6"),
        ("siamese, after 1 rollout", "siamese", "after 1 rollout", "#219ebc"),
        ("maml-trpo, a gradient step from 20 rollouts", "maml-trpo", "step 1", "#fb8500"),
    )
    shown = [
        family
        for family in FAMILIES
        if all(runs(family, method) for method in ("one-policy", "told", "siamese"))
        and _gains(*(_before(family, end) for end in ENDS))
    ]
    drawing = Figure(figsize=(8.0, 0.9 + 0.8 * len(shown)), layout="constrained")
    axes = drawing.subplots()
    for row, family in enumerate(shown):
        low, high = (_before(family, end).mean() for end in ENDS)
        for place, (_, method, what, color) in enumerate(bars):
            values = returns(family, method, "test", what)
            if values is None:
                continue
            parts = (values - low) / (high - low)
            at = row + 0.26 * (place - 1)
            axes.barh(at, parts.mean(), 0.24, color=color)
            axes.plot(parts, [at] * len(parts), "o", color="#023047", markersize=3)
            mean = parts.mean()
            if not LEFT <= mean <= RIGHT:
                end, side = (LEFT + 0.02, "left") if mean < LEFT else (RIGHT - 0.02, "right")
                axes.text(end, at, f"{mean:.0%}", va="center", ha=side, fontsize=8)
    axes.set_xlim(LEFT, RIGHT)
    axes.set_yticks(range(len(shown)), shown)
    axes.invert_yaxis()
    axes.axvline(1.0, color="#023047", linewidth=1.0)
    axes.axvline(0.0, color="#023047", linewidth=1.0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("0 %: one policy for all tasks    100 %: told the task    (dots: seeds)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    drawing.legend(
        handles=[Patch(color=color, label=label) for label, _, _, color in bars],
        loc="outside upper center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("train")
    one.add_argument("family", choices=FAMILIES)
    one.add_argument("method", choices=METHODS)
    one.add_argument("seed", type=int)
    one.add_argument("--threads", type=int, default=0, help="0 for all cores")
    one.add_argument("--device", default="cpu", help="of the updates: cpu (default) or cuda")
    one.add_argument("--save", help="file to save the learner to, for `metarl.MAML.load`")
    other = commands.add_parser("record", help="write the file of a run folder of metarl train")
    other.add_argument("run", type=Path)
    other.add_argument("--method", choices=METHODS, help="default: its algorithm")
    commands.add_parser("show")
    given = parser.parse_args()
    if given.what == "train":
        FILES.mkdir(exist_ok=True)
        path = file_of(given.family, given.method, given.seed)
        if path.exists():
            print(f"{path} is there already; move it away to make the run again")
        else:
            learner = train(given.family, given.method, given.seed, given.threads, given.device)
            if given.save:
                learner.save(given.save)
        return
    if given.what == "record":
        learner = metarl.load(given.run, device="cpu")
        last = list(csv.DictReader((given.run / "progress.csv").open()))[-1]
        seconds = {"wall": float(last["time/elapsed"])}
        record(learner, given.method or learner.config.algorithm, seconds)
        return
    tables.write(HERE / "README.md", "running", table())
    tables.write(HERE / "README.md", "rivals", rivals())
    tables.write(HERE.parent.parent / "README.md", "glance", glance())
    with whole_file(HERE / "running.png") as temporary:
        figure().savefig(temporary, dpi=150)


if __name__ == "__main__":
    main()
