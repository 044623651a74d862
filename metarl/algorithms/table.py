"""The meta-learners by name: each is a row of choices, not a class.

The choices are what adaptation moves, what its derivative is taken to be, what the outer loss is
made of, and which step is taken on it. The equations are in docs/algorithms.md. Evaluation and
`MAML.adapt` take inner steps with every one of them, also with those that train without.
"""

from typing import Literal, NamedTuple

OuterStep = Literal["trust-region", "gradient", "clipped", "interpolation"]


class Algorithm(NamedTuple):
    """The choices that make a meta-learner."""

    summary: str
    """One line for help texts and reports."""
    source: str
    """The paper that it follows, and where in it."""
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
    """Whether a step size for every parameter is learned along with it."""
    penalises_inner_kl: bool = False
    """Whether KL(old || new) of the policies before each inner step is penalised."""
    credits_exploration: bool = False
    """Whether rollouts before adaptation are credited for the return after it; see
    `metarl.algorithms.meta_batch.exploration_credit`."""


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
    "siamese": Algorithm(
        "the policy sees the Siamese embedding of what it saw of the task so far",
        "metarl; nearest relatives RL2 (Duan et al. 2016) and PEARL (Rakelly et al. 2019)",
        outer_step="clipped",
        adapts_in_training=False,
    ),
}
"""By the name that the setting `algorithm` has for it."""
