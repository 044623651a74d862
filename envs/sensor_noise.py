"""`SensorNoise`: Gaussian noise on what robots observe, of many simulations at once.

Each simulation draws from a stream of its own, whose key its reset takes from the rollout's: what
is observed depends on neither threads nor processes nor the other simulations.
"""

import numpy as np
from numpy.typing import NDArray

from metarl.envs.robot import Array

Std = float | tuple[float, ...]
"""Standard deviation of the noise, in the observation's units: of all its numbers or of each."""


def check_noise(std: Std, observed: int) -> None:
    """Check a standard deviation.

    Args:
        std: see `Std`.
        observed: how many numbers the robot observes.

    Raises:
        ValueError: for one that is negative or not finite, or another number of them.
    """
    values = np.asarray(std, dtype=np.float64)
    if not (np.isfinite(values) & (values >= 0.0)).all():
        raise ValueError(f"sensor_noise must be standard deviations of at least 0, got {std}")
    if values.ndim and values.shape != (observed,):
        raise ValueError(
            f"sensor_noise must be one number or {observed}, as many as the robot observes, "
            f"got {values.size}"
        )


class SensorNoise:
    """The noise of many simulations as of their last observation."""

    def __init__(self, std: Std, count: int) -> None:
        """Prepare.

        Args:
            std: see `Std`; without noise nothing is drawn.
            count: how many simulations.
        """
        self._std = np.asarray(std, dtype=np.float64)
        self._on = bool(self._std.any())
        self._streams = [np.random.default_rng(sim) for sim in range(count * self._on)]
        self._noise: Array | None = None

    def restart(self, sim: int | np.integer, generator: np.random.Generator) -> None:
        """Begin a new stream in a simulation, from a key that is drawn with the rollout's."""
        if self._on:
            self._streams[sim] = np.random.default_rng(int(generator.integers(2**63)))

    def added(self, sensed: Array, fresh: NDArray[np.bool_]) -> Array:
        """Return observations with noise.

        Args:
            sensed: what the robots observe, [sim, observed].
            fresh: whose noise is drawn anew, [sim]; that of the others stays as it was.
        """
        if not self._on:
            return sensed
        if self._noise is None:
            self._noise = np.zeros(sensed.shape)
        for sim in np.flatnonzero(fresh):
            self._streams[sim].standard_normal(out=self._noise[sim])
        return sensed + self._std * self._noise

    def copy_from(self, other: "SensorNoise") -> None:
        """Take over another one's noise and the state of its streams."""
        self._noise = None if other._noise is None else other._noise.copy()
        for mine, theirs in zip(self._streams, other._streams, strict=True):
            mine.bit_generator.state = theirs.bit_generator.state
