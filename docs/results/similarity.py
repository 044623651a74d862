"""The Siamese encoder and the skill library, measured on tasks kept apart.

    python docs/results/similarity.py train     # every run that has no file yet; about 2 hours
    python docs/results/similarity.py coverage  # meta-batches that cover the tasks evenly
    python docs/results/similarity.py show      # figures and tables of the files there are

Every run trains a meta-policy, then an encoder of its tasks with each loss, builds a library of 100
skills with the default one and adapts to 40 test tasks from 1 to 20 rollouts, with and without it.
Its file in `similarity/` holds settings, seed, versions and all numbers.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from running import machine
from scipy import stats
from torch import Tensor, nn

import metarl
import metarl.skills.encoder_training as training
from metarl import envs
from metarl.agents.siamese import SiameseEncoder
from metarl.envs.distributions import Split
from metarl.envs.task_family import TaskFamily
from metarl.envs.tasks import Tasks
from metarl.evaluation.interval import Interval, interval
from metarl.evaluation.retrieval import retrieval
from metarl.sampling.streams import Key, Phase
from metarl.showing import figures
from metarl.system.checkpoint import versions
from metarl.system.files import whole_file, write_json

HERE = Path(__file__).parent
FILES = HERE / "similarity"
RUNS = HERE.parent.parent / "runs" / "similarity"
"""Meta-policies and libraries, not committed."""
SEEDS = (0, 1, 2)
STEPS = {"HalfCheetahVel": 3_000_000, "HalfCheetahMass": 3_000_000, "AntDir2D": 2_000_000}
HORIZON = 100
ENCODERS = ("contrastive", "triplet", "info-nce", "order-aware")
"""The losses, and the contrastive one with an encoder that knows the order of transitions; for
AntDir2D, whose physics is slow, the first alone."""
ROLLOUTS = (1, 2, 5, 10, 20)
SCORED = 10
"""Rollouts after adaptation that tell the return, however many adaptation had."""


class OrderAware(SiameseEncoder):
    """Reads a window with a GRU where the encoder takes a mean."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        embedding_size: int,
        hidden: int,
        *,
        generator: torch.Generator,
        **others: Any,  # noqa: ANN401
    ) -> None:
        sizes = observation_size, action_size, embedding_size, hidden
        super().__init__(*sizes, generator=generator, **others)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        with torch.no_grad():
            for weight in self.gru.parameters():
                weight.uniform_(-(hidden**-0.5), hidden**-0.5, generator=generator)

    def forward_once(self, window: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the embeddings of windows; see `SiameseEncoder`."""
        normal = ((self.changes(window) - self.mean) / self.std).clamp(-10.0, 10.0)
        features = self.each(normal).flatten(0, -3)
        states, _ = self.gru(features)
        last = torch.full((len(states),), states.shape[1] - 1)
        if valid is not None:
            last = (valid.flatten(0, -2).sum(-1) - 1).clamp_min(0)
        return self.whole(states[torch.arange(len(states)), last]).unflatten(0, window.shape[:-2])


def encoders_of(family: str) -> tuple[str, ...]:
    """Return which encoders are trained on a family."""
    return ENCODERS[:1] if family == "AntDir2D" else ENCODERS


@contextmanager
def encoder_of(kind: str) -> Iterator[str]:
    """Let training make the encoder of this kind for a while; give the loss."""
    if kind != "order-aware":
        yield kind
        return
    training.SiameseEncoder = OrderAware  # type: ignore[misc]
    try:
        yield "contrastive"
    finally:
        training.SiameseEncoder = SiameseEncoder  # type: ignore[misc]


def meta_policy(family: str, seed: int) -> metarl.MAML:
    """Return the trained meta-policy, from its run folder where there is one."""
    folder = RUNS / f"{family}_{seed}"
    if (folder / "config.json").exists():
        metarl.resume(folder)
    else:
        made = envs.make(family, horizon=HORIZON)
        metarl.train(metarl.MAML(made, seed=seed, device="cpu"), folder, STEPS[family])
    return metarl.load(folder, device="cpu")


def score(learner: metarl.MAML, tasks: Tasks, parameters: Mapping[str, Tensor]) -> list[float]:
    """Return the mean return of every task's own parameters, from the same starts every time."""
    rollouts = learner.sample(tasks, parameters, SCORED, Key(2, Phase.EVALUATE))
    return rollouts.returns.double().mean(1).tolist()


def after_a_step(
    learner: metarl.MAML, tasks: Tasks, rollouts: int, library: metarl.SkillLibrary | None
) -> list[float]:
    """Return what every task brings after one step from so many rollouts."""
    key = Key(1, Phase.EVALUATE)
    stages = learner.adaptation(tasks, rollouts, [learner.config.inner_lr], key, library)
    return score(learner, tasks, list(stages)[1].parameters)


def train(family: str, seed: int, path: Path) -> None:
    """Train and measure one run and write its file."""
    learner = meta_policy(family, seed)
    encoders: dict[str, Any] = {}
    trained = {}
    for kind in encoders_of(family):
        began = time.monotonic()
        with encoder_of(kind) as loss:
            trained[kind] = metarl.train_similarity(learner, loss=loss, seed=seed)
        seconds = time.monotonic() - began
        found = retrieval(learner, trained[kind], seed=seed)
        if kind == "contrastive" and seed == SEEDS[0]:
            figures.save(found, RUNS / family)
        encoders[kind] = {"seconds": seconds, **found.to_dict()}
        print(f"{path.stem} {kind} {seconds:.0f} s\n{found}", flush=True)
    library = metarl.SkillLibrary.build(learner, trained["contrastive"], rollouts=20, seed=seed)
    library.save(RUNS / f"{family}_{seed}" / "library.safetensors")
    tasks = learner.family.sample_tasks(40, seed=seed, split="test")
    record = {
        "config": asdict(learner.config),
        "similarity": asdict(library.similarity.config),
        "family": learner.family.describe(),
        "environment_steps": learner.num_timesteps,
        "versions": versions(),
        "machine": machine(learner.device),
        "encoders": encoders,
        "library_returns": library.returns.mean(0).tolist(),
        "before": score(learner, tasks, learner.parameters),
        # what the library brings without an encoder that chooses from it
        "mean_skill": score(learner, tasks, {n: v.mean(0) for n, v in library.parameters.items()}),
        "adaptation": [
            {
                "rollouts": count,
                "without": after_a_step(learner, tasks, count, None),
                "with": after_a_step(learner, tasks, count, library),
            }
            for count in ROLLOUTS
        ],
    }
    write_json(path, record, indent=None)


class Covering(TaskFamily):
    """Draws the training tasks of an iteration evenly over their range.

    It is what covering the embedding space of a one-parameter family would come to, with a perfect
    encoder.
    """

    def sample_tasks(
        self, count: int, *, seed: int | tuple[int, ...], split: Split = "train"
    ) -> Tasks:
        """Return tasks, one from each of `count` equal parts of the range."""
        drawn = super().sample_tasks(count, seed=seed, split=split)
        if split != "train":
            return drawn
        low, high = 0.0, 3.0  # of HalfCheetahVel
        part = (drawn.values - low) / (high - low)
        return Tasks(drawn.names, low + (high - low) * (np.arange(count)[:, None] + part) / count)


def coverage(seed: int) -> dict[str, list[float]]:
    """Return what 40 test tasks bring after one step, for uniform and even meta-batches."""
    plain = envs.make("HalfCheetahVel", horizon=HORIZON)
    even = Covering(**{field.name: getattr(plain, field.name) for field in fields(plain)})
    learner = metarl.MAML(even, seed=seed, device="cpu").learn(STEPS["HalfCheetahVel"])
    tasks = plain.sample_tasks(40, seed=seed, split="test")
    return {
        "uniform": after_a_step(meta_policy("HalfCheetahVel", seed), tasks, 20, None),
        "even": after_a_step(learner, tasks, 20, None),
    }


def runs(family: str) -> list[dict[str, Any]]:
    """Return the files of a family, a seed each."""
    return [json.loads(path.read_text()) for path in sorted(FILES.glob(f"{family}_*.json"))]


def after(run: dict[str, Any], rollouts: int, which: str) -> float:
    """Return the mean return after one step from so many rollouts."""
    (row,) = (row for row in run["adaptation"] if row["rollouts"] == rollouts)
    return float(np.mean(row[which]))


def curve(found: list[dict[str, Any]], which: str) -> list[Interval]:
    """Return the return after one step against rollouts, over seeds."""
    return [interval(np.array([after(run, n, which) for run in found])) for n in ROLLOUTS]


def figure(family: str) -> Figure:
    """Draw the return after one step against rollouts of the new task."""
    found = runs(family)
    drawing = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = drawing.add_subplot()
    for color, (which, label) in enumerate(
        (("without", "gradient step"), ("with", "skills of similar tasks"))
    ):
        points = curve(found, which)
        style = {"color": f"C{color}", "marker": "o", "linewidth": 1.8, "label": label}
        axes.plot(ROLLOUTS, [point.mean for point in points], **style)
        low, high = [point.low for point in points], [point.high for point in points]
        axes.fill_between(ROLLOUTS, low, high, color=f"C{color}", alpha=0.15, linewidth=0)
    before = np.mean([run["before"] for run in found])
    axes.axhline(float(before), color="0.5", linestyle=":", label="before adaptation")
    axes.set_xscale("log")
    axes.set_xticks(ROLLOUTS, [str(count) for count in ROLLOUTS])
    axes.minorticks_off()
    axes.set(xlabel="rollouts of the new task", ylabel="return on test tasks")
    axes.set_title(f"{family}: mean of {len(found)} seeds with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    drawing.legend(loc="outside lower center", ncols=3, frameon=False)
    return drawing


def encoder_table(family: str) -> str:
    """Return what each encoder finds, the mean over seeds and the worst, as Markdown."""
    rows = [
        "| encoder | Spearman | nearest among the 5 closest | AUROC of novel tasks | training |",
        "| --- " * 5 + "|",
    ]
    found = runs(family)
    for kind in encoders_of(family):
        cells = []
        for name, form in (("correlation", "{:.3f}"), ("found", "{:.0%}"), ("auroc", "{:.3f}")):
            values = [run["encoders"][kind][name] for run in found]
            cells.append(
                "none outside"
                if None in values
                else f"{form.format(np.mean(values))} (worst {form.format(min(values))})"
            )
        seconds = stats.scoreatpercentile([run["encoders"][kind]["seconds"] for run in found], 50)
        rows.append(f"| `{kind}` | {' | '.join(cells)} | {seconds:.0f} s |")
    return "\n".join(rows)


def adaptation_table(family: str) -> str:
    """Return the returns after one step with intervals over seeds, as Markdown."""
    found = runs(family)
    rows = ["| rollouts | gradient step | skills of similar tasks |", "| --- " * 3 + "|"]
    columns = zip(ROLLOUTS, curve(found, "without"), curve(found, "with"), strict=True)
    rows += [f"| {count} | {without} | {skilled} |" for count, without, skilled in columns]
    for name, key in (("before adaptation", "before"), ("mean of all skills", "mean_skill")):
        value = interval(np.array([float(np.mean(run[key])) for run in found]))
        rows.append(f"| none, {name} | {value} | |")
    more = [after(run, 1, "with") - after(run, 20, "without") for run in found]
    rows.append(f"\nOne rollout with the library less 20 without: {interval(np.array(more))}.")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="The Siamese encoder and the skill library.")
    parser.add_argument("what", choices=("train", "coverage", "show"))
    what = parser.parse_args().what
    if what == "coverage":
        for seed in SEEDS:
            write_json(FILES / f"coverage_{seed}.json", coverage(seed), indent=None)
        return
    if what == "train":
        for seed in SEEDS:
            for family in STEPS:
                path = FILES / f"{family}_{seed}.json"
                if not path.exists():
                    train(family, seed, path)
        return
    for family in STEPS:
        if not runs(family):
            continue
        with whole_file(HERE / f"library_{family}.png") as temporary:
            figure(family).savefig(temporary, dpi=120)
        for name in ("task_map", "task_distances"):
            drawn = RUNS / family / f"{name}.png"
            if drawn.exists():
                (HERE / f"{name}_{family}.png").write_bytes(drawn.read_bytes())
        print(f"{family}\n\n{encoder_table(family)}\n\n{adaptation_table(family)}\n")
    both: list[dict[str, list[float]]] = [
        json.loads(path.read_text()) for path in sorted(FILES.glob("coverage_*.json"))
    ]
    for which in ("uniform", "even") if both else ():
        means = [float(np.mean(each[which])) for each in both]
        print(f"{which} meta-batches: {interval(np.array(means))}")


if __name__ == "__main__":
    main()
