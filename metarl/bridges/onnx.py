"""A policy as an ONNX file, for robots that run no Python."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from metarl.agents.actor import Actor, AdaptedPolicy
from metarl.system.files import whole_file

ENDING = ".onnx"


class _MostLikelyAction(torch.nn.Module):
    """Observations -> most likely actions, as `Actor.predict` gives them."""

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self._policy, self._action_scale = actor.policy, actor.action_scale
        for name, value in actor.parameters.items():
            self.register_buffer(name, value)

    def forward(self, observation: Tensor) -> Tensor:
        gaussian = self._policy(dict(self.named_buffers()), observation)
        return (self._action_scale * gaussian.mean).clamp(-1.0, 1.0)


def export(policy: AdaptedPolicy | Actor, path: str | Path) -> Path:
    """Write the network from `observation`, [n, observation], to `action`, [n, action].

    Actions are the most likely ones, from -1 to 1 for the robot's whole control range; everything
    that comes between (normalisation, scale, limits) is part of the file.

    Args:
        policy: what `adapt` or `adapt_from` returned.
        path: where to; `.onnx`.

    Returns:
        The path.

    Raises:
        ValueError: for another ending.
        ImportError: when the packages that write ONNX are not installed.
        OSError: when the path cannot be written.
    """
    path = Path(path)
    if path.suffix != ENDING:
        raise ValueError(f"an exported policy's name must end in {ENDING}, got {path.name!r}")
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ImportError(
            "export needs onnx and onnxscript: pip install 'metarl[export]'"
        ) from None
    actor = policy.actor if isinstance(policy, AdaptedPolicy) else policy
    example = torch.zeros(2, actor.policy.observation_size)
    with _quiet():
        program = torch.onnx.export(
            _MostLikelyAction(actor).eval(),
            (example,),
            input_names=["observation"],
            output_names=["action"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            verbose=False,
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    with whole_file(path) as temporary:
        program.save(temporary, external_data=False)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's messages about torch's internals, on which users cannot act."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
