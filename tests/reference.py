"""Slow twins of what the package does fast, written as the formulas are."""

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence
from torch.func import vmap

from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import GaussianPolicy
from metarl.algorithms.adapt import Inner, adapt_tasks
from metarl.algorithms.losses import Policy
from metarl.algorithms.meta_batch import MetaBatch, exploration_credit
from metarl.algorithms.objective import Objective, Terms
from metarl.experience.rollouts import Batch

Parameters = dict[str, Tensor]

ACTIVATE = torch.tanh
"""The activation of `network`."""


def network(parameters: Parameters, observation: Tensor, layers: int) -> Independent:
    """The policy as torch's own distributions, for one task."""
    features = observation
    for layer in range(layers):
        features = ACTIVATE(features) if layer else features
        features = features @ parameters[f"weight{layer}"] + parameters[f"bias{layer}"]
    return Independent(Normal(features, parameters["log_std"].exp()), 1)


def task_of(batch: Batch, index: int) -> Batch:
    return Batch(*(field[index] for field in batch))


def experience(policy: GaussianPolicy, parameters: Parameters, seed: int) -> Batch:
    """Made-up experience of 3 tasks, 4 rollouts, up to 5 steps, a fifth of it padding."""
    generator = torch.Generator().manual_seed(seed)
    steps = (3, 4, 5)
    observations = torch.randn(*steps, policy.observation_size, generator=generator)
    gaussian = policy(parameters, observations)
    noise = torch.randn(*steps, policy.action_size, generator=generator)
    actions = gaussian.mean + gaussian.log_std.exp() * noise
    valid = torch.rand(steps, generator=generator) < 0.8
    weights = valid / valid.sum((1, 2), keepdim=True)
    advantages = torch.randn(steps, generator=generator)
    rewards = valid * torch.randn(steps, generator=generator)
    log_probs, unit = gaussian.log_prob(actions), torch.ones(steps)
    return Batch(observations, actions, log_probs, advantages, rewards, weights, unit)


def problem(policy: GaussianPolicy, inner_steps: int) -> tuple[Parameters, list[Batch], Batch]:
    """Parameters, made-up experience for each inner step, and some after them."""
    parameters = policy.initial(torch.Generator().manual_seed(0))
    parameters = {name: value.double() for name, value in parameters.items()}
    batches = [experience(policy, parameters, seed) for seed in range(inner_steps + 1)]
    return parameters, batches[:-1], batches[-1]


def leaves_of(parameters: Parameters) -> Parameters:
    """Copies that autograd can differentiate by."""
    return {name: value.clone().requires_grad_() for name, value in parameters.items()}


def objective(
    policy: Policy,
    parameters: Parameters,
    pre: list[Batch],
    post: Batch,
    inner: Inner,
    terms: Terms = Terms(),  # noqa: B008, immutable
) -> Objective:
    """The objective of experience that was sampled from these parameters on."""
    stages = adapt_tasks(policy, parameters, pre, inner) if pre else [parameters]

    def old(stage: Parameters, batch: Batch) -> Gaussian:
        per_task = (
            stage if pre else {n: v.expand(len(batch.weights), *v.shape) for n, v in stage.items()}
        )
        return vmap(policy)(per_task, batch.observations)

    *before, after = (old(s, b) for s, b in zip(stages, (*pre, post), strict=True))
    credit = exploration_credit(post)
    return Objective(
        policy, inner, terms, MetaBatch(tuple(pre), post, tuple(before), after, credit)
    )


def surrogate(parameters: Parameters, batch: Batch, layers: int) -> Tensor:
    """Minus the mean of ratio * advantage over the valid steps of one task."""
    log_prob = network(parameters, batch.observations, layers).log_prob(batch.actions)
    valid = batch.weights > 0
    return -((log_prob - batch.log_probs).exp() * batch.advantages)[valid].mean()


def adapted(parameters: Parameters, pre: list[Batch], inner_lr: float, layers: int) -> Parameters:
    """Gradient steps of one task, with their graph."""
    for batch in pre:
        loss = surrogate(parameters, batch, layers)
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        parameters = {
            name: value - inner_lr * gradient
            for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
        }
    return parameters


def meta_loss(
    parameters: Parameters, pre: list[Batch], post: Batch, inner_lr: float, layers: int
) -> Tensor:
    """The mean over tasks of the surrogate after adaptation."""
    losses = [
        surrogate(
            adapted(parameters, [task_of(b, i) for b in pre], inner_lr, layers),
            task_of(post, i),
            layers,
        )
        for i in range(post.weights.shape[0])
    ]
    return torch.stack(losses).mean()


def meta_kl(
    old: Parameters, new: Parameters, pre: list[Batch], post: Batch, inner_lr: float, layers: int
) -> Tensor:
    """The mean over tasks of the mean KL(old || new) after adaptation."""
    divergences = []
    for i in range(post.weights.shape[0]):
        batches, task = [task_of(b, i) for b in pre], task_of(post, i)
        p = network(adapted(old, batches, inner_lr, layers), task.observations, layers)
        q = network(adapted(new, batches, inner_lr, layers), task.observations, layers)
        fixed = Independent(Normal(p.mean.detach(), p.stddev.detach()), 1)
        divergences.append(kl_divergence(fixed, q)[task.weights > 0].mean())
    return torch.stack(divergences).mean()
