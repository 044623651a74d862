"""`GaussianPolicy`: observation -> distribution of actions, as a function of its parameters.

The policy object holds sizes only. Its parameters are a mapping name -> tensor that the caller
owns, differentiates and adapts; adapted parameters carry a leading task axis, and the same function
then evaluates every task's own network at once.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl.agents.gaussian import Gaussian
from metarl.agents.layers import ACTIVATIONS, affine
from metarl.agents.normaliser import Normaliser

Array = NDArray[np.float32]
Parameters = Mapping[str, Tensor]

CONTEXT = "context"
"""The name of CAVIA's context vector among adapted parameters; left out, it is all zeros."""


@dataclass(frozen=True, eq=False)
class GaussianPolicy:
    """A multilayer perceptron for the mean; one log-std for each action, whatever is observed."""

    observation_size: int
    action_size: int
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    initial_std: float = 1.0
    """Std of the actions of new parameters, in units of the family's action scale."""
    min_std: float = 0.05
    """The std that acts never falls below this, however the log-std is adapted."""
    context_size: int = 0
    """Numbers of context that the first layer sees beside the observation (Zintgraf et al. 2019,
    "CAVIA", section 3.1)."""
    normaliser: Normaliser | None = None
    """What observations pass through first; None leaves them as they are."""
    initial_gain: float = 1.0
    """What the weights of a new last layer are multiplied by."""

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation must be one of {known}, got {self.activation!r}")
        if not 0.0 < self.min_std <= self.initial_std:
            raise ValueError(
                f"stds must satisfy 0 < min_std <= initial_std, got {self.min_std} "
                f"and {self.initial_std}"
            )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter that is learned, in order."""
        sizes = (self.observation_size, *self.hidden, self.action_size)
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            shapes[f"weight{layer}"] = (fan_in, fan_out)
            shapes[f"bias{layer}"] = (fan_out,)
        if self.context_size:
            shapes["context_weight"] = (self.context_size, sizes[1])
        shapes["log_std"] = (self.action_size,)
        return shapes

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw parameters, in the shapes of `shapes`.

        Weights are uniform in +-sqrt(6 / (in + out)) (Glorot and Bengio 2010, eq. 16), biases 0,
        log-stds the logarithm of `initial_std`. Those of the last layer are times `initial_gain`.

        Args:
            generator: draws the weights.
        """
        parameters = {}
        for name, shape in self.shapes.items():
            if len(shape) == 2:
                bound = math.sqrt(6.0 / sum(shape))
                uniform = torch.rand(shape, generator=generator)
                parameters[name] = bound * (2.0 * uniform - 1.0)
            elif name.startswith("bias"):
                parameters[name] = torch.zeros(shape)
            else:
                parameters[name] = torch.full(shape, math.log(self.initial_std))
        parameters[f"weight{len(self.hidden)}"] *= self.initial_gain
        return parameters

    def __call__(self, parameters: Parameters, observation: Tensor) -> Gaussian:
        """Return the distribution of actions.

        Args:
            parameters: as in `shapes`, or each with a leading task axis; and `context` when it was
                adapted, [context] or [task, context].
            observation: [..., n, observation], or [task, n, observation] with a task axis.
        """
        activate, _ = ACTIVATIONS[self.activation]
        features = self.normalised(observation)
        *hidden, last = self._layers(parameters)
        for weight, bias in hidden:
            features = activate(affine(features, weight, bias))
        return Gaussian(affine(features, *last), self._log_std(parameters).unsqueeze(-2))

    def normalised(self, observation: Tensor) -> Tensor:
        """Return observations [..., observation] as the first layer takes them."""
        return self.normaliser(observation) if self.normaliser else observation

    def acting(self, parameters: Parameters) -> Callable[[Array], Array]:
        """Return the most likely actions as a function of observations, in NumPy.

        It is the mean of the distribution that `__call__` gives, up to rounding. Rollouts evaluate
        it on few observations at a time, once a time step, which takes torch more than twice as
        long as NumPy.

        Args:
            parameters: as in `__call__`, on the CPU.

        Returns:
            From observations [n, observation] to actions [n, action], with a task axis in front
            where the parameters have it; in float32.
        """
        _, activate = ACTIVATIONS[self.activation]
        layers = [
            (weight.detach().numpy(), bias.detach().unsqueeze(-2).numpy())
            for weight, bias in self._layers(parameters)
        ]
        normalise = self.normaliser.acting() if self.normaliser else None

        def most_likely(observation: Array) -> Array:
            features = normalise(observation) if normalise else observation
            for layer, (weight, bias) in enumerate(layers):
                if layer:
                    activate(features, out=features)
                features = features @ weight
                features += bias
            return features

        return most_likely

    def std(self, parameters: Parameters) -> Tensor:
        """Return the actions' standard deviations, [action] or [task, action]."""
        return self._log_std(parameters).exp()

    def _layers(self, parameters: Parameters) -> list[tuple[Tensor, Tensor]]:
        """Return the weight and the bias of each layer."""
        layers = [
            (parameters[f"weight{layer}"], parameters[f"bias{layer}"])
            for layer in range(len(self.hidden) + 1)
        ]
        if CONTEXT in parameters:
            # [h, context] [W; V] + b = h W + (context V + b): a context beside the observation is
            # a bias of the first layer, the same for all steps of a task
            context = parameters[CONTEXT].unsqueeze(-2) @ parameters["context_weight"]
            weight, bias = layers[0]
            bias = bias + context.squeeze(-2)
            layers[0] = (weight.expand(*bias.shape[:-1], *weight.shape[-2:]), bias)
        return layers

    def _log_std(self, parameters: Parameters) -> Tensor:
        return parameters["log_std"].clamp_min(math.log(self.min_std))
