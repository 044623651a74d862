"""A policy as an ONNX file, for robots that run no Python."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from metarl.agents.actor import Actor
from metarl.agents.adapted_policy import AdaptedPolicy, actor_of
from metarl.agents.memory import TaskMemory
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


class _WithMemory(torch.nn.Module):
    """One control step of an actor with a memory: remember the last action's outcome, then act."""

    def __init__(self, actor: Actor, rules: TaskMemory) -> None:
        super().__init__()
        self._act = _MostLikelyAction(actor)
        self._rules, self._action_scale = rules, actor.action_scale
        self.encoder = rules.encoder

    def forward(
        self,
        observation: Tensor,
        memory: Tensor,
        last_observation: Tensor,
        last_action: Tensor,
        reward: Tensor,
        acted: Tensor,
    ) -> tuple[Tensor, Tensor]:
        done = last_action / self._action_scale
        gross = self.encoder.gross_reward(reward, done)
        change = self._rules.change_of_reward(memory, gross)
        transition = torch.cat([last_observation, done, gross, observation, change], dim=-1)
        longer = self._rules.remember(memory, transition)
        memory = torch.where(acted > 0.5, longer, self._rules.begin_episode(memory))
        seen = torch.cat([observation, self._rules.context(memory)], dim=-1)
        return self._act(seen), memory


def export(policy: AdaptedPolicy | Actor, path: str | Path) -> Path:
    """Write the network from `observation`, [n, observation], to `action`, [n, action].

    Actions are the most likely ones, from -1 to 1 for the robot's whole control range; everything
    that comes between (normalisation, scale, limits) is part of the file.

    An actor with a memory is one control step, policy and encoder together. Its further inputs are
    `memory`, [n, memory], which the step before returned as `next_memory` (at first the actor's
    own: `actor.memory`); `last_observation`, `last_action` and `reward`, [n, 1], of the step
    before; and `acted`, [n, 1]: 1, or 0 where there was no step before, as after a reset.

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
            "export needs onnx and onnxscript: in a checkout of metarl, "
            "pip install -c constraints.txt '.[export]'"
        ) from None
    actor = actor_of(policy)
    sizes = {"observation": actor.observation_size}
    outputs = ["action"]
    module: torch.nn.Module = _MostLikelyAction(actor)
    if actor.rules:
        module = _WithMemory(actor, actor.rules)
        outputs.append("next_memory")
        sizes |= {
            "memory": actor.rules.size,
            "last_observation": actor.observation_size,
            "last_action": actor.policy.action_size,
            "reward": 1,
            "acted": 1,
        }
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(torch.zeros(2, size) for size in sizes.values()),
            input_names=list(sizes),
            output_names=outputs,
            dynamic_shapes=tuple({0: torch.export.Dim("n")} for _ in sizes),
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
