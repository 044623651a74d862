"""A policy as a Stable-Baselines3 PPO model, which continues training from it."""

import math
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from metarl.agents.actor import Actor
from metarl.agents.adapted_policy import AdaptedPolicy, actor_of
from metarl.agents.normaliser import Normaliser
from metarl.agents.policy import CONTEXT

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Normalised(BaseFeaturesExtractor):
    """Feature extractor that normalises observations with fixed moments."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, observation_space: gymnasium.Space, moments: Normaliser | None) -> None:
        """Take the moments; None leaves observations as they are."""
        size = int(math.prod(observation_space.shape or ()))
        super().__init__(observation_space, size)
        self._normalises = moments is not None
        for name, value in (moments or Normaliser.new(size))._asdict().items():
            self.register_buffer(name, value.clone())

    def forward(self, observations: Tensor) -> Tensor:
        """Return [n, observation]."""
        if not self._normalises:
            return observations
        return Normaliser(self.count, self.mean, self.variance)(observations)


def to_ppo(policy: Actor | AdaptedPolicy, env: VecEnv, **settings: Any) -> PPO:  # noqa: ANN401
    """Return a PPO whose policy acts as this one does, with a new value network.

    Args:
        policy: what `MAML.actor` or `MAML.adapt` returned.
        env: of the same family, such as `TaskVecEnv(family, 20, task=task)`; for a policy with a
            memory within a `ContextVecEnv`.
        settings: of PPO, such as `learning_rate`.

    Raises:
        ValueError: for a policy with an adapted context, which PPO's network has no place for, or
            an environment with other spaces, or whose actions have no bounds.
    """
    actor = actor_of(policy)
    network = actor.policy
    sizes = (env.observation_space.shape, env.action_space.shape)
    if actor.rules and sizes[0] == (actor.observation_size,):
        raise ValueError(
            "the policy has a memory: hand it on with the environments in a "
            "metarl.bridges.context_vec_env.ContextVecEnv(env, policy)"
        )
    if sizes != ((network.observation_size,), (network.action_size,)):
        raise ValueError(
            f"the policy has {network.observation_size} observations and {network.action_size} "
            f"actions, the environment {sizes[0]} and {sizes[1]}"
        )
    if CONTEXT in actor.parameters:
        raise ValueError("a policy with an adapted context cannot be handed on")
    middle, half = action_range(env.action_space)
    kwargs = {
        "net_arch": {"pi": list(network.hidden), "vf": list(network.hidden)},
        "activation_fn": ACTIVATIONS[network.activation],
        "features_extractor_class": Normalised,
        "features_extractor_kwargs": {"moments": network.normaliser},
    }
    model = PPO("MlpPolicy", env, policy_kwargs=kwargs, **{"device": "cpu", **settings})
    policy_net: Any = model.policy.mlp_extractor.policy_net
    hidden: list[Any] = [layer for layer in policy_net if hasattr(layer, "weight")]
    output: Any = model.policy.action_net
    with torch.no_grad():
        for number, layer in enumerate(hidden):
            layer.weight.copy_(actor.parameters[f"weight{number}"].T)
            layer.bias.copy_(actor.parameters[f"bias{number}"])
        # middle + half * action_scale * (W h + b): a linear map of the last layer is one itself
        scale, last = half * actor.action_scale, len(hidden)
        output.weight.copy_(scale.unsqueeze(1) * actor.parameters[f"weight{last}"].T)
        output.bias.copy_(middle + scale * actor.parameters[f"bias{last}"])
        log_std: Any = model.policy.log_std
        log_std.copy_((scale * network.std(actor.parameters)).log())
    return model


def action_range(space: gymnasium.Space) -> tuple[Tensor, Tensor]:
    """Return the middle of an action space and half its width, [action] each.

    An action of metarl is a part of the control range: -1 is its low end, 1 its high end.
    """
    if not (isinstance(space, gymnasium.spaces.Box) and space.is_bounded()):
        raise ValueError(f"the environment's actions need bounds, got {space}")
    low, high = (torch.from_numpy(end.astype(np.float64)) for end in (space.low, space.high))
    return (low + high) / 2.0, (high - low) / 2.0
