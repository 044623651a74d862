"""Actors: networks that act and judge, as functions of parameters that the caller owns."""

if (
    __name__ == "agents"
):  # found in a checkout's root; a second copy would not know the first's classes
    raise ImportError("metarl's agents are imported as: from metarl import agents")

from metarl.agents.actor import Actor
from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import GaussianPolicy

__all__ = ["Actor", "Gaussian", "GaussianPolicy"]
