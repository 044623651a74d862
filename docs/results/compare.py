"""What meta-learning saves on a new task, on 40 new tasks and three seeds.

    python docs/results/compare.py HalfCheetahVel     # about two hours on two cores
    python docs/results/compare.py HalfCheetahMass

Meta-policies, with gradient steps or a memory, pretraining and the policy that is told the task
have as many environment steps. The numbers go to `compare/`, the figure beside this file. Runs that
are there already, such as those of `similarity.py`, are not trained again, and a comparison that
was stopped is resumed.
"""

import argparse
from pathlib import Path

import metarl
from metarl import envs
from metarl.showing import figures

HERE = Path(__file__).parent
RUNS = HERE.parent.parent / "runs"
SEEDS = (0, 1, 2)
STEPS = 3_000_000
HORIZON = 100
BUDGET = 128_000
OTHERS = {"HalfCheetahVel": (0, 1, 2), "HalfCheetahMass": (0,)}
"""Seeds of pretraining and of the policy that is told the task."""


def trained(folder: Path, family: str, seed: int, algorithm: str, *, told: bool) -> metarl.MAML:
    """Return a learner from its run folder, trained if it is not there."""
    if (folder / "config.json").exists():
        metarl.resume(folder)
    else:
        made = envs.make(family, horizon=HORIZON, reveals_task=told)
        learner = metarl.MAML(made, algorithm=algorithm, seed=seed, device="cpu")
        metarl.train(learner, folder, STEPS)
    return metarl.load(folder, device="cpu")


def skills(learner: metarl.MAML, path: Path) -> metarl.SkillLibrary:
    """Return the learner's skills from their file, built if they are not there."""
    if path.exists():
        library = metarl.SkillLibrary.load(path)
        if library.fits(learner):
            return library
    seed = learner.config.seed
    similarity = metarl.train_similarity(learner, seed=seed)
    library = metarl.SkillLibrary.build(learner, similarity, rollouts=20, seed=seed)
    library.save(path)
    return library


def main() -> None:
    parser = argparse.ArgumentParser(description="What meta-learning saves on a new task.")
    parser.add_argument("family", choices=OTHERS)
    family = parser.parse_args().family
    runs, libraries, others = [], [], []
    for seed in SEEDS:
        folder = RUNS / "similarity" / f"{family}_{seed}"
        runs.append(trained(folder, family, seed, "maml-trpo", told=False))
        libraries.append(skills(runs[-1], folder / "library.safetensors"))
        folder = RUNS / "compare" / f"{family}_siamese_{seed}"
        others.append(trained(folder, family, seed, "siamese", told=False))
        if seed not in OTHERS[family]:
            continue
        for name, told in (("pretrain", False), ("told", True)):
            folder = RUNS / "compare" / f"{family}_{name}_{seed}"
            others.append(trained(folder, family, seed, "pretrain", told=told))
    with metarl.PartialResults(RUNS / "compare" / f"{family}.safetensors") as partial:
        comparison = metarl.compare(
            runs + others, libraries=libraries, budget=BUDGET, progress_bar=True, partial=partial
        )
    numbers, figure = figures.save(comparison, HERE / "compare" / family)
    figure.rename(HERE / f"compare_{family}.png")
    print(f"{comparison}\n{numbers}")


if __name__ == "__main__":
    main()
