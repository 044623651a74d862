"""Actors: networks that act and judge, as functions of parameters that the caller owns."""

from agents.actor import Actor
from agents.gaussian import Gaussian
from agents.policy import GaussianPolicy

__all__ = ["Actor", "Gaussian", "GaussianPolicy"]
