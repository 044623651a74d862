"""What meta-learning saves on a new task, on 40 new tasks and three seeds.

    python docs/results/compare.py HalfCheetahVel     # about an hour on two cores
    python docs/results/compare.py HalfCheetahMass

The meta-policies and libraries are those of `similarity.py`; pretraining and the policy that is
told the task have as many environment steps. The numbers go to `compare/`, the figure beside this
file.
"""

import argparse
from pathlib import Path

import envs
import metarl
from metarl.compare import compare

HERE = Path(__file__).parent
RUNS = HERE.parent.parent / "runs"
SEEDS = (0, 1, 2)
STEPS = 3_000_000
HORIZON = 100
BUDGET = 128_000


def trained(family: str, seed: int, *, told: bool) -> metarl.MAML:
    """Return a policy that was trained on all tasks without meta-learning, from its run folder."""
    folder = RUNS / "compare" / f"{family}_{'told' if told else 'pretrain'}_{seed}"
    if (folder / "config.json").exists():
        metarl.resume(folder)
    else:
        made = envs.make(family, horizon=HORIZON, reveals_task=told)
        learner = metarl.MAML(made, algorithm="pretrain", seed=seed, device="cpu")
        metarl.train(learner, folder, STEPS)
    return metarl.load(folder, device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description="What meta-learning saves on a new task.")
    parser.add_argument("family")
    family = parser.parse_args().family
    folders = [RUNS / "similarity" / f"{family}_{seed}" for seed in SEEDS]
    runs = [metarl.load(folder, device="cpu") for folder in folders]
    libraries = [metarl.SkillLibrary.load(folder / "library.safetensors") for folder in folders]
    others = [trained(family, seed, told=told) for told in (False, True) for seed in SEEDS]
    found = compare(runs + others, libraries=libraries, budget=BUDGET, progress_bar=True)
    numbers, figure = found.save(HERE / "compare" / family)
    figure.rename(HERE / f"compare_{family}.png")
    print(f"{found}\n{numbers}")


if __name__ == "__main__":
    main()
