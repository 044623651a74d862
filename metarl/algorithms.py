"""The meta-learners by name: each is a choice at a few places, not a class.

All of them take an outer trust-region step; they differ in what training adapts and how the outer
gradient passes through it. Evaluation and `adapt` take inner steps with every one of them.
"""

from typing import NamedTuple


class Algorithm(NamedTuple):
    """What makes a meta-learner."""

    summary: str
    source: str
    adapts_in_training: bool = True
    """Without it, training is multi-task policy gradient on the common parameters."""
    first_order: bool = False
    """Whether the outer gradient leaves out the inner step's own derivative."""
    head_only: bool = False
    """Whether inner steps move the last layer and the log-std alone."""
    learns_rates: bool = False
    """Whether a step size for every parameter is learned with it."""


ALGORITHMS: dict[str, Algorithm] = {
    "maml-trpo": Algorithm(
        "gradients and Fisher products pass through the adaptation",
        "Finn et al. 2017, algorithm 3",
    ),
    "fomaml": Algorithm(
        "the inner step is taken as given in the outer gradient",
        "Finn et al. 2017, section 5.2",
        first_order=True,
    ),
    "anil": Algorithm(
        "inner steps move the last layer and the log-std only",
        "Raghu et al. 2020",
        head_only=True,
    ),
    "meta-sgd": Algorithm(
        "a step size for every parameter is learned as well",
        "Li et al. 2017",
        learns_rates=True,
    ),
    "pretrain": Algorithm(
        "no adaptation in training: the transfer learning that meta-learning must beat",
        "the baseline of Finn et al. 2017",
        adapts_in_training=False,
    ),
}
