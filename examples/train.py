"""Train a meta-policy, evaluate it on tasks it never saw, and keep what it learned.

    python examples/train.py --out runs/velocity

It takes about two minutes on two cores. A script is for callbacks, schedules and families of one's
own; without them, `metarl train HalfCheetahVel --algorithm siamese --total-timesteps 2_000_000
--out runs/velocity` and `metarl evaluate runs/velocity` do it, in a run folder that can be resumed.
"""

import argparse
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback

import metarl
from metarl.showing import figures


class StopWhenGood(BaseCallback):
    """Stops training once an iteration's episodes bring this return, as a mean over its tasks."""

    def __init__(self, wanted: float) -> None:
        """Wait for the return `wanted`."""
        super().__init__()
        self.wanted = wanted

    def _on_step(self) -> bool:
        after = self.locals["returns"][-1]
        return after < self.wanted


def main() -> None:
    """Train and evaluate."""
    parser = argparse.ArgumentParser(description="Train a meta-policy.")
    parser.add_argument("--total-timesteps", type=int, default=2_000_000)
    parser.add_argument("--wanted", type=float, default=-30.0)
    parser.add_argument("--tasks", type=int, default=40, help="of the evaluation")
    parser.add_argument("--out", type=Path, default=Path("runs/velocity"))
    arguments = parser.parse_args()

    # every setting is a field of metarl.Config; those left out have the family's tuned defaults
    learner = metarl.MAML("HalfCheetahVel", algorithm="siamese", seed=0, verbose=1)
    learner.learn(arguments.total_timesteps, callback=StopWhenGood(arguments.wanted))
    learner.save(arguments.out / "checkpoint.safetensors")

    evaluation = metarl.evaluate(learner, tasks=arguments.tasks)
    print(evaluation)
    for path in figures.save(evaluation, arguments.out):
        print(path)


if __name__ == "__main__":
    main()
