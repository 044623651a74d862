"""The meta-learners by name: each is a choice at a few places, not a class.

The places are what adaptation moves, what its derivative is taken to be, what the outer loss is
made of, and which step is taken on it. The equations are in docs/algorithms.md. Evaluation and
`adapt` take inner steps with every one of them.
"""

from typing import Literal, NamedTuple

OuterStep = Literal["trust-region", "gradient", "clipped", "interpolation"]


class Algorithm(NamedTuple):
    """What makes a meta-learner."""

    summary: str
    source: str
    outer_step: OuterStep = "trust-region"
    """A trust-region step, one step of Adam, several on the clipped surrogate, or a move towards
    the mean of the adapted parameters."""
    adapts: Literal["all", "head", "context"] = "all"
    """What inner steps move: all parameters, the last layer and the log-std, or a context vector
    that starts at 0 for every task."""
    adapts_in_training: bool = True
    """Without it, training is multi-task policy gradient on the common parameters."""
    first_order: bool = False
    """Whether the outer gradient leaves out the inner step's own derivative."""
    learns_rates: bool = False
    """Whether a step size for every parameter is learned with it."""
    penalises_inner_kl: bool = False
    """Whether the policies before adaptation are held near those that sampled."""
    credits_exploration: bool = False
    """Whether rollouts before adaptation are credited for the return after it."""


ALGORITHMS: dict[str, Algorithm] = {
    "maml-trpo": Algorithm(
        "gradients and Fisher products pass through the adaptation",
        "Finn et al. 2017, algorithm 3",
    ),
    "maml-vpg": Algorithm(
        "one step of Adam along the outer gradient",
        "Finn et al. 2017, algorithm 3",
        outer_step="gradient",
    ),
    "maml-ppo": Algorithm(
        "several steps of Adam on the clipped surrogate after adaptation",
        "Schulman et al. 2017; Rothfuss et al. 2018, section 6.1",
        outer_step="clipped",
    ),
    "promp": Algorithm(
        "as maml-ppo, with the policy before adaptation held near the one that sampled",
        "Rothfuss et al. 2018, algorithm 1",
        outer_step="clipped",
        penalises_inner_kl=True,
    ),
    "e-maml": Algorithm(
        "rollouts before adaptation are credited for the return after it",
        "Stadie et al. 2018",
        credits_exploration=True,
    ),
    "fomaml": Algorithm(
        "the inner step is taken as given in the outer gradient",
        "Finn et al. 2017, section 5.2",
        first_order=True,
    ),
    "reptile": Algorithm(
        "the parameters move towards the mean of the adapted ones",
        "Nichol et al. 2018",
        outer_step="interpolation",
    ),
    "meta-sgd": Algorithm(
        "a step size for every parameter is learned as well",
        "Li et al. 2017",
        learns_rates=True,
    ),
    "anil": Algorithm(
        "inner steps move the last layer and the log-std only",
        "Raghu et al. 2020",
        adapts="head",
    ),
    "cavia": Algorithm(
        "inner steps move a context vector only, an input beside the observation",
        "Zintgraf et al. 2019",
        adapts="context",
    ),
    "pretrain": Algorithm(
        "no adaptation in training: the transfer learning that meta-learning must beat",
        "the baseline of Finn et al. 2017",
        adapts_in_training=False,
    ),
}
