"""Actors: networks that act, judge and compare, as functions of parameters that the caller owns."""

if __name__ == "agents":
    # A checkout's root has this folder, and on the import path it would be loaded a second time,
    # with classes that are not those of `metarl.agents`.
    raise ImportError("metarl's agents are imported as: from metarl import agents")

from metarl.agents.actor import Actor
from metarl.agents.gaussian import Gaussian
from metarl.agents.policy import GaussianPolicy

__all__ = ["Actor", "Gaussian", "GaussianPolicy"]
