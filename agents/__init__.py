"""Actors: networks that act and judge, as functions of parameters that the caller owns."""

from agents.gaussian import Gaussian
from agents.policy import GaussianPolicy

__all__ = ["Gaussian", "GaussianPolicy"]
