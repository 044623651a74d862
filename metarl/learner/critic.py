"""The critic: a value network that advantages are measured from, and how it is trained.

The linear baseline (`metarl.agents.baseline`) is fitted anew to the few rollouts of each task.
Where observations are long it has more features than there are steps to fit. The critic is one
network for all tasks, which keeps learning from iteration to iteration. It is used in training
only, where tasks are known, so that it may see more than the policy does: where the task lies, and
whether the rollout followed one in another task (an asymmetric critic: Pinto et al. 2018).

Its output is standardised: value = mean + std * output, with mean and std of all returns so far.
When these are updated, the last layer is rescaled so that the values stay the same (van Hasselt et
al. 2016, "PopArt", eqs. 7 and 8).
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.agents.normaliser import Normaliser
from metarl.algorithms.outer_steps import (
    LARGEST_GRADIENT,
    Minibatches,
    check_moments,
    moments_of,
    resumed_adam,
)
from metarl.envs.family import Family
from metarl.experience.advantages import batch_of, discounted_returns, judged
from metarl.experience.rollouts import Batch, Rollouts
from metarl.learner.config import Config
from metarl.system.checkpoint import part

HIDDEN = 64
LR = 1e-3
"""Adam's step size."""


@dataclass(frozen=True, eq=False)
class Critic:
    """A value network, and what its training remembers."""

    network: nn.Sequential
    """From what it sees at a step (`judge`) to standardised values."""
    returns: Normaliser
    """Moments of all returns that it was trained on, [1]. The first iteration is counted twice: as
    discounted returns, for the initial scale, and as TD(lambda) returns, the training targets."""
    adam: dict[str, Tensor]
    """Moments of its optimiser, by name."""

    @classmethod
    def new(cls, family: Family, observation_size: int, generator: torch.Generator) -> "Critic":
        """Return a critic that predicts 0 everywhere.

        Args:
            family: whose tasks it judges.
            observation_size: numbers that the policy sees, its context among them.
            generator: draws its weights.
        """
        coordinates = family.coordinates(family.sample_tasks(1, seed=0)).shape[1]
        sizes = (observation_size + coordinates + 2, HIDDEN, HIDDEN)
        network = nn.Sequential(
            *(nn.Linear(sizes[0], sizes[1]), nn.Tanh()),
            *(nn.Linear(sizes[1], sizes[2]), nn.Tanh()),
            nn.Linear(sizes[2], 1),
        )
        with torch.no_grad():
            for name, weight in network.named_parameters():
                if name.endswith("bias") or name.startswith("4"):
                    weight.zero_()
                else:
                    nn.init.xavier_uniform_(weight, generator=generator)
        return cls(network, Normaliser.new(1), {})

    def tensors(self) -> dict[str, Tensor]:
        """Return what further training needs, by name."""
        return {
            **{f"network/{name}": value for name, value in self.network.state_dict().items()},
            **{f"returns/{name}": value for name, value in self.returns._asdict().items()},
            **{f"adam/{name}": value for name, value in self.adam.items()},
        }

    def restored(self, tensors: Mapping[str, Tensor]) -> "Critic":
        """Return the critic whose tensors these are; this one says what they belong to.

        Raises:
            ValueError: for moments of other things.
            RuntimeError: for weights of another network.
        """
        network = copy.deepcopy(self.network)
        network.load_state_dict(part(tensors, "network/"))
        returns, adam = Normaliser(**part(tensors, "returns/")), part(tensors, "adam/")
        if any(one.shape != other.shape for one, other in zip(returns, self.returns, strict=True)):
            raise ValueError("the critic's moments have another shape")
        check_moments(adam, dict(network.named_parameters()))
        return Critic(network, returns, adam)

    def values(self, inputs: Tensor) -> Tensor:
        """Return the values of `inputs` [..., input], [...], in float64."""
        with torch.no_grad():
            units = self.network(inputs).squeeze(-1).double()
        return float(self._unit) * units + float(self._mean)

    def measuring(self, returns: Tensor) -> "Critic":
        """Return the critic with its moments updated by these returns and its values unchanged.

        It is PopArt's update. A critic that has seen no returns yet predicts their mean.

        Args:
            returns: [n].
        """
        moments = self.returns.updated(returns.unsqueeze(-1))
        changed = replace(self, network=copy.deepcopy(self.network), returns=moments)
        if not self.returns.count:
            return changed
        ratio = float(self._unit / changed._unit)
        last = changed.network[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(ratio)
            last.bias.mul_(ratio).add_(float((self._mean - changed._mean) / changed._unit))
        return changed

    def towards(
        self, inputs: Tensor, returns: Tensor, settings: Minibatches, generator: torch.Generator
    ) -> "Critic":
        """Return the critic after steps of Adam on the squared error; unchanged, if they fail.

        Args:
            inputs: [n, input].
            returns: what their values are to be, [n].
            settings: of the minibatches; the step size is `LR`.
            generator: shuffles.
        """
        changed = self.measuring(returns)
        network = changed.network
        targets = ((returns - float(changed._mean)) / float(changed._unit)).to(inputs.dtype)
        leaves = dict(network.named_parameters())
        optimiser = resumed_adam(leaves, self.adam, LR)
        for _ in range(settings.epochs):
            for chosen in settings.deal(len(inputs), generator):
                error = network(inputs[chosen]).squeeze(-1) - targets[chosen]
                optimiser.zero_grad()
                error.square().mean().backward()
                nn.utils.clip_grad_norm_(leaves.values(), LARGEST_GRADIENT)
                optimiser.step()
        if not all(torch.isfinite(leaf).all() for leaf in leaves.values()):
            return self
        return replace(changed, adam=moments_of(optimiser, leaves))

    @property
    def _mean(self) -> Tensor:
        return self.returns.mean

    @property
    def _unit(self) -> Tensor:
        # not the normaliser's, which is bounded: rewards may be of any size, but vary they must
        std = self.returns.variance.sqrt()
        return torch.where(std > 1e-12 * (1.0 + self._mean.abs()), std, 1.0)


class Judged(NamedTuple):
    """What a critic makes of an iteration."""

    batch: Batch
    """With its advantages."""
    critic: Critic
    """After learning from the rollouts, on the CPU."""
    explained_variance: float
    """The part of the returns' variance that its values explained, before it learned from them: 1
    is all of it, and below 0 their mean would have been better. Nan where returns do not vary."""


def judge(
    before: Critic,
    rollouts: Rollouts,
    coordinates: Tensor,
    normaliser: Normaliser | None,
    config: Config,
    generator: torch.Generator,
) -> Judged:
    """Return rollouts with the critic's advantages, and the critic after learning from them.

    It judges first and learns then, so that no rollout is judged by a critic that learned from it.
    At each step it sees the observation as the policy does; where the task lies; the time since the
    rollout began, as a part of the horizon; and 1 where the rollout followed one in another task.
    What it learns are the returns of TD(lambda), A + V with the advantages A of Schulman et al.
    (2016), "GAE", eq. 16. One that has seen nothing yet predicts the mean return.

    Args:
        before: the critic so far, on the CPU; it is not changed.
        rollouts: of the iteration, on the device to compute on.
        coordinates: of their tasks, [task, coordinate].
        normaliser: what observations pass through first; None leaves them as they are.
        config: of the learner.
        generator: shuffles.
    """
    valid, seen = rollouts.valid, rollouts.observations
    inputs, ends = _inputs(rollouts, coordinates.to(seen), normaliser)
    rewards = config.reward_scale * rollouts.rewards.double()
    critic = replace(before, network=copy.deepcopy(before.network).to(seen.device))
    if not critic.returns.count:
        critic = critic.measuring(discounted_returns(rewards, config.discount)[valid])
    values, final = critic.values(inputs), critic.values(ends)
    advantages = judged(rollouts, rewards, values, final, config.discount, config.gae_lambda)
    settings = Minibatches(config.minibatch, config.outer_epochs, LR)
    returns = (advantages + values)[valid]
    explained = _explained(advantages[valid], returns)
    critic = critic.towards(inputs[valid], returns, settings, generator)
    adam = {name: value.detach().cpu() for name, value in critic.adam.items()}
    critic = replace(critic, network=critic.network.cpu(), adam=adam)
    normalise = config.normalise_advantages
    batch = batch_of(rollouts, rewards, advantages, config.discount, normalise=normalise)
    return Judged(batch, critic, explained)


def _explained(errors: Tensor, returns: Tensor) -> float:
    """Return the part of the returns' variance that is not the errors'; nan where there is none."""
    variance = returns.var(correction=0)
    if variance <= 1e-12 * returns.square().mean():  # rounding alone
        return math.nan
    return 1.0 - float(errors.var(correction=0) / variance)


def _inputs(
    rollouts: Rollouts, coordinates: Tensor, normaliser: Normaliser | None
) -> tuple[Tensor, Tensor]:
    """Return what the critic sees at each step, [task, rollout, time, input], and at the end."""
    horizon = rollouts.rewards.shape[2]

    def seen(observations: Tensor, time: Tensor) -> Tensor:
        axes = observations.shape[:-1]
        normal = normaliser(observations) if normaliser else observations
        task = coordinates[:, None, None].expand(*axes, -1)
        since = (time.to(normal) / horizon).expand(axes).unsqueeze(-1)
        other = rollouts.continued[:, :, None, None].to(normal).expand(*axes, 1)
        return torch.cat([normal, task, since, other], dim=-1)

    time = torch.arange(horizon, device=rollouts.rewards.device)
    ends = seen(rollouts.final_observations.unsqueeze(2), rollouts.lengths.unsqueeze(2))
    return seen(rollouts.observations, time), ends.squeeze(2)
