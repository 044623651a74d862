"""Updates on another device: on `meta`, and on a GPU where there is one.

Tensors on `meta` have shapes and types and no numbers, and whatever mixes them with the CPU raises.
"""

from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from metarl import MAML, envs
from metarl.agents.gaussian import Gaussian
from metarl.agents.normaliser import Normaliser
from metarl.agents.policy import GaussianPolicy
from metarl.agents.siamese import SiameseEncoder
from metarl.algorithms.adapt import Inner, adapt_further
from metarl.algorithms.fisher import flatten
from metarl.algorithms.meta_batch import MetaBatch, exploration_credit
from metarl.algorithms.objective import Objective, Terms
from metarl.algorithms.objective_by_hand import ObjectiveByHand
from metarl.algorithms.objective_in_chunks import ObjectiveInChunks
from metarl.experience.advantages import prepare
from metarl.experience.rollouts import Rollouts
from metarl.learner.config import AlgorithmName
from metarl.system.task_threads import TaskThreads

DEVICE = torch.device("meta")
TASKS, ROLLOUTS, TIME, SEEN, ACTIONS = 3, 4, 5, 6, 2


def experience() -> Rollouts:
    """Rollouts as a sampler returns them, on the CPU."""
    steps = (TASKS, ROLLOUTS, TIME)
    return Rollouts(
        torch.empty(*steps, SEEN),
        torch.empty(*steps, ACTIONS),
        torch.empty(*steps, ACTIONS),
        torch.empty(steps),
        torch.empty(steps),
        torch.ones(steps, dtype=torch.bool),
        torch.zeros(TASKS, ROLLOUTS, dtype=torch.bool),
        torch.empty(TASKS, ROLLOUTS, SEEN),
        torch.zeros(TASKS, ROLLOUTS, dtype=torch.bool),
        torch.zeros(TASKS, ROLLOUTS, 0),
        torch.zeros(TASKS, ROLLOUTS, dtype=torch.bool),
        torch.zeros(TASKS, ROLLOUTS, dtype=torch.bool),
    )


@pytest.mark.parametrize("terms", [Terms(), Terms(clip=0.2, inner_kl_penalty=0.1)])
def test_an_update_stays_on_the_device(terms: Terms):
    policy = GaussianPolicy(SEEN, ACTIONS, (8, 8), normaliser=Normaliser.new(SEEN))
    parameters = {name: torch.empty(shape, device=DEVICE) for name, shape in policy.shapes.items()}
    estimate = partial(prepare, discount=0.99, lambda_=0.97)
    pre, post = (estimate(experience().to(DEVICE)) for _ in range(2))
    inner = Inner(0.1)
    per_task = {name: value.expand(TASKS, *value.shape) for name, value in parameters.items()}
    stepped = adapt_further(policy, per_task, pre, inner)
    old = Gaussian(torch.empty_like(post.actions), torch.empty(TASKS, 1, 1, ACTIONS, device=DEVICE))
    credit = exploration_credit(post)
    objective = Objective(policy, inner, terms, MetaBatch((pre,), post, (old,), old, credit))
    with TaskThreads(2, DEVICE) as threads:
        chunked = ObjectiveInChunks.of(objective, parameters, threads, fisher_fraction=0.5)
        (part,) = chunked.chunks
        assert isinstance(part, ObjectiveByHand) is (terms == Terms())
        loss, gradient = chunked.gradient(parameters)
        product = chunked.fisher(parameters)(flatten(gradient))
        evaluation = chunked.evaluate(parameters)
    tensors: list[Tensor] = [loss, product, *evaluation, *gradient.values(), *stepped.values()]
    assert all(tensor.device == DEVICE for tensor in tensors)
    assert [gradient[name].shape for name in parameters] == list(policy.shapes.values())


def test_the_encoder_stays_on_the_device():
    generator = torch.Generator().manual_seed(0)
    encoder = SiameseEncoder(SEEN, ACTIONS, 4, 16, generator=generator).to(DEVICE)
    window = torch.empty(7, TIME, 2 * SEEN + ACTIONS + 2, device=DEVICE)
    embedding = encoder.forward_once(window, torch.ones(7, TIME, dtype=torch.bool, device=DEVICE))
    assert embedding.device == DEVICE


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("algorithm", "others"),
    [
        *((name, {}) for name in get_args(AlgorithmName)),
        ("siamese", {"baseline": "network", "minibatch": 60}),
    ],
)
def test_training_on_a_gpu_is_that_on_the_cpu(
    algorithm: str, others: dict[str, Any], point: envs.TaskFamily, tmp_path: Path
):
    """An iteration from the start, and one resumed from what a GPU saved: apart by rounding.

    Each comparison is of one iteration from the very same state: over two, rounding decides where
    an episode ends and with it what the second one is trained on, on the CPU as well.
    """
    settings = {"algorithm": algorithm, "tasks": 4, "rollouts": 4, "hidden": (8,), "seed": 3}
    # with the usual damping, so few steps leave Fisher matrices so nearly singular that rounding
    # alone turns the step by a tenth of its length, on the CPU as well
    settings |= {"cg_damping": 0.3, "fisher_fraction": 1.0, **others}
    on_cpu, on_gpu = (MAML(point, device=name, **settings) for name in ("cpu", "cuda"))
    start = flatten(on_cpu.parameters)
    for learner in (on_cpu, on_gpu):
        learner.learn(1)
    _apart_by_rounding(on_cpu, on_gpu, start)
    on_gpu.save(tmp_path / "gpu.safetensors")
    start = flatten(on_gpu.parameters).cpu()
    on_cpu = MAML.load(tmp_path / "gpu.safetensors", device="cpu")
    for learner in (on_cpu, on_gpu):
        learner.learn(1, reset_num_timesteps=False)
    assert on_gpu.iteration == on_cpu.iteration == 2
    assert all(value.device.type == "cuda" for value in on_gpu.parameters.values())
    _apart_by_rounding(on_cpu, on_gpu, start)


def _apart_by_rounding(on_cpu: MAML, on_gpu: MAML, start: Tensor) -> None:
    stepped = flatten(on_cpu.parameters)
    apart = flatten(on_gpu.parameters).cpu() - stepped
    assert apart.norm() < 0.02 * (stepped - start).norm()
    mine, theirs = on_cpu.state.memory, on_gpu.state.memory
    if mine and theirs:
        both = (memory.encoder.parameters() for memory in (mine, theirs))
        for one, other in zip(*both, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)
