"""Slow twins of what the package does fast, written as the formulas are."""

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from metarl.rollouts import Batch

Parameters = dict[str, Tensor]


def network(parameters: Parameters, observation: Tensor, layers: int) -> Independent:
    """The policy as torch's own distributions, for one task."""
    features = observation
    for layer in range(layers):
        features = torch.tanh(features) if layer else features
        features = features @ parameters[f"weight{layer}"] + parameters[f"bias{layer}"]
    return Independent(Normal(features, parameters["log_std"].exp()), 1)


def task_of(batch: Batch, index: int) -> Batch:
    return Batch(*(field[index] for field in batch))


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
