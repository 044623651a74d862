"""`EvaluateCallback`: evaluation on held-out tasks while a learner trains; the best one is kept."""

from pathlib import Path
from typing import Unpack

from stable_baselines3.common.callbacks import BaseCallback

from metarl.envs.plain import whole
from metarl.evaluation.evaluate import evaluate
from metarl.evaluation.evaluation import Evaluation
from metarl.evaluation.settings import EvaluationKeywords, EvaluationSettings, settings_of
from metarl.evaluation.tasks import TaskChoice, new_tasks
from metarl.learner.maml import MAML
from metarl.system.files import check_place


class EvaluateCallback(BaseCallback):
    """Does for a meta-learner what Stable-Baselines3's `EvalCallback` does for a policy.

        callback = metarl.EvaluateCallback(every=500_000, tasks=20, best="best.safetensors")
        learner.learn(10_000_000, callback)
        learner = metarl.load("best.safetensors")

    What it measures goes to the learner's logger as `eval/return_before`, `eval/return_after` and
    `eval/gain`. Training is the same with and without it: it has random streams of its own.
    """

    def __init__(
        self,
        *,
        every: int,
        tasks: TaskChoice = 20,
        best: str | Path | None = None,
        verbose: int = 0,
        **settings: Unpack[EvaluationKeywords],
    ) -> None:
        """Make the callback.

        Args:
            every: environment steps between two evaluations, a whole number.
            tasks: how many to draw, or which; see `metarl.evaluate`. They are the same each time.
            best: where the learner with the highest return after the last inner step is saved; None
                to save none.
            verbose: 1 prints each verdict.
            settings: `rollouts`, `steps`, `seed`, `split`, `halve`, `scored` and `deterministic`;
                see `EvaluationSettings`. When left out, `steps` is as many as in training, and
                `seed` is 1: the best learner is chosen on other tasks than `metarl.evaluate` draws,
                whose seed is 0.

        Raises:
            TypeError: for another setting.
            ValueError: when `every` is less than 1. Tasks that the family does not have, and a file
                that cannot be written, are told when training starts.
        """
        super().__init__(verbose)
        every = whole("every", every)
        settings_of(EvaluationSettings, settings)
        self.evaluations: list[tuple[int, Evaluation]] = []
        """Environment steps of training and what was measured then, in order."""
        self.best_return = -float("inf")
        """The highest return after the last inner step, mean over tasks."""
        self._every, self._tasks, self._best = every, tasks, best
        self._settings: EvaluationKeywords = {"seed": 1, **settings}
        self._next = every

    def _on_training_start(self) -> None:
        self._next = self.model.num_timesteps + self._every
        learner = self.model
        assert isinstance(learner, MAML)
        chosen = settings_of(EvaluationSettings, self._settings)
        new_tasks(learner.family, self._tasks, chosen.seed, chosen.split)
        if self._best is not None:
            if Path(self._best).is_dir():
                raise IsADirectoryError(f"best must be a file, got the folder {self._best}")
            check_place(Path(self._best).parent)

    def _on_step(self) -> bool:
        if self.num_timesteps < self._next:
            return True
        self._next = self.num_timesteps + self._every
        learner = self.model
        assert isinstance(learner, MAML)
        settings: EvaluationKeywords = {"steps": learner.config.inner_steps, **self._settings}
        evaluation = evaluate(learner, tasks=self._tasks, **settings)
        self.evaluations.append((self.num_timesteps, evaluation))
        before, *_, after = (mean.mean for mean in evaluation.curve())
        self.logger.record("eval/return_before", before)
        self.logger.record("eval/return_after", after)
        self.logger.record("eval/gain", evaluation.gain.mean)
        self.logger.dump(self.num_timesteps)
        if self.verbose:
            print(f"{self.num_timesteps:,} environment steps: {evaluation.verdict()}")
        if after > self.best_return:
            self.best_return = after
            if self._best is not None:
                learner.save(self._best)
        return True
