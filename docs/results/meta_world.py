"""Meta-World's ML1 and ML10 with a policy that remembers its task: success on goals never seen.

    pip install --no-deps metaworld==3.1.1
    python docs/results/meta_world.py train MetaWorldML1-reach 0   # half an hour of a core
    python docs/results/meta_world.py show                         # the table of docs/metaworld.md

The published protocol: 40 goals that were never trained on, 10 rollouts of 500 steps to adapt by,
judged by one of the most likely actions (all are alike, since starts are); an episode succeeds when
any of its steps does. Of ML10 also its 5 test environments. Training has episodes of 200 steps,
long enough to get there. A file in `meta_world/` holds settings, seed, versions, environment steps,
seconds and the evaluations.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import tables
from running import facts, learn

import metarl
from metarl import envs
from metarl.envs.distributions import Split
from metarl.evaluation.interval import interval
from metarl.system.files import write_json

HERE = Path(__file__).parent
FILES = HERE / "meta_world"
STEPS = {"MetaWorldML1-reach": 800_000, "MetaWorldML1-push": 800_000, "MetaWorldML10": 1_000_000}
TRAINED = 200
"""Steps in an episode of training."""
SETTINGS: dict[str, Any] = {"algorithm": "siamese", "tasks": 10, "rollouts": 4}


def train(family: str, seed: int, threads: int) -> metarl.MAML:
    """Train one run, evaluate it and write its file; print success and return."""
    tasks = envs.make(family)
    learner = metarl.MAML(
        tasks.replace(horizon=TRAINED),
        seed=seed,
        threads=threads,
        workers=threads,
        device="cpu",
        **SETTINGS,
    )
    seconds = learn(learner, STEPS[family])
    learner.family = tasks
    splits: list[Split] = ["test", "extrapolate"] if learner.family.extrapolates else ["test"]
    evaluations = {
        split: metarl.evaluate(
            learner,
            tasks=40,
            rollouts=10,
            steps=1,
            scored=1,
            deterministic=True,
            split=split,
            seed=7,
        ).to_dict()
        for split in splits
    }
    record = {
        **facts(learner, seconds),
        "horizon in training": TRAINED,
        "evaluations": evaluations,
    }
    FILES.mkdir(exist_ok=True)
    write_json(FILES / f"{family}_{seed}.json", record, indent=None)
    for split, evaluation in evaluations.items():
        print(f"{family}, {split}: {evaluation['returns']}")
    return learner


def table() -> str:
    """Return success before and after adaptation of every run, as Markdown."""
    names = ["family", "goals", "M steps", "success before", "after 10 rollouts"]
    rows = []
    words = {"test": "new", "extrapolate": "of environments never trained on"}
    for path in sorted(FILES.glob("*.json")):
        run = json.loads(path.read_text())
        for split, evaluation in run["evaluations"].items():
            rates = np.array([task["success"] for task in evaluation["per_task"]])
            before, after = (_words(rates[:, step]) for step in (0, 1))
            steps = f"{run['steps'] / 1e6:.1f}"
            family = run["family"]["name"]
            rows.append([family, words[split], steps, before, after])
    return tables.table(names, rows)


def _words(rates: np.ndarray) -> str:
    """Return the mean over tasks, [task], with its interval, which ends at 0 and 1."""
    mean = interval(rates)
    return f"{mean.mean:.0%} [{max(0.0, mean.low):.0%}, {min(1.0, mean.high):.0%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("train")
    one.add_argument("family", choices=STEPS)
    one.add_argument("seed", type=int)
    one.add_argument("--threads", type=int, default=1, help="and processes that sample")
    one.add_argument("--save", help="file to save the learner to, for `metarl.MAML.load`")
    commands.add_parser("show")
    given = parser.parse_args()
    if given.what == "show":
        tables.write(HERE.parent / "metaworld.md", "results", table())
        return
    learner = train(given.family, given.seed, given.threads)
    if given.save:
        learner.save(given.save)


if __name__ == "__main__":
    main()
