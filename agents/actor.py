"""`Actor`: a policy with its parameters, which is what a robot runs."""

import warnings
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from metarl.agents.acting_memory import ActingMemory
from metarl.agents.memory import TaskMemory
from metarl.agents.policy import GaussianPolicy, Parameters
from metarl.agents.siamese import SiameseEncoder


class Known(Protocol):
    """Tasks that are known, as far as an actor asks: `metarl.Similarity` is one."""

    @property
    def encoder(self) -> SiameseEncoder:
        """What embeds tasks."""
        ...

    def beyond(self, points: Tensor) -> NDArray[np.bool_]:
        """Return whether each embedding, [n, embedding], is far from all known tasks', [n]."""
        ...


class Actor:
    """Chooses actions as a Stable-Baselines3 model does.

    An actor with a memory acts on what it remembers of the task. Tell it each action's outcome:

        action, _ = actor.predict(observation)
        ...
        actor.remember(observation, action, reward, next_observation)

    It keeps what it remembers over episodes, until `forget` or until it notices that the task is
    another one. For a task that changes little by little, let it forget little by little:

        actor.memory_window = 50  # control steps
    """

    def __init__(
        self,
        policy: GaussianPolicy,
        parameters: Parameters,
        action_scale: float = 1.0,
        seed: int | np.random.Generator = 0,
        remembered: tuple[TaskMemory, NDArray[np.float32]] | None = None,
    ) -> None:
        """Take one network's parameters.

        Args:
            policy: the network.
            parameters: as in `policy.shapes`, or with a task axis of 1 before.
            action_scale: the part of the robot's control range that an action of 1 of the policy
                asks for.
            seed: of the generator that draws exploration noise, or the generator itself.
            remembered: how the policy remembers its task, and what it remembers at first, [memory];
                None for a policy without memory.

        Raises:
            ValueError: for parameters of several tasks, or of another network.
        """
        self.policy = policy
        self.parameters = _of_one_task(policy, parameters)
        self.action_scale = action_scale
        self._generator = np.random.default_rng(seed)
        self.rules = remembered[0] if remembered else None
        self._start = remembered[1].copy() if remembered else np.zeros(0, np.float32)
        self._acting_memory = ActingMemory(self.rules) if self.rules else None
        self._known: Known | None = None
        self._judge_after, self._warned = 0, False
        self.forget()

    @property
    def observation_size(self) -> int:
        """Numbers that the robot observes; the policy sees its context behind them."""
        return self.rules.observation_size if self.rules else self.policy.observation_size

    @property
    def memory_window(self) -> int | None:
        """Control steps after which a transition counts e times less; None for no window.

        Setting it bounds what is remembered already: see `TaskMemory.bounded`.
        """
        if not self.rules or self.rules.keep == 1.0:
            return None
        return round(-1.0 / np.log(self.rules.keep))

    @memory_window.setter
    def memory_window(self, window: int | None) -> None:
        if not self.rules:
            raise ValueError("this policy has no memory to forget with: it does not see its task")
        self.rules = self.rules.forgetting(window)
        self._acting_memory = ActingMemory(self.rules)
        self._start, self.memory = (
            self.rules.bounded(torch.from_numpy(each)).numpy()
            for each in (self._start, self.memory)
        )

    def watch(self, known: Known, after: int = 50) -> None:
        """Warn, once until `forget`, when the task is unlike all known ones.

            actor.watch(metarl.train_similarity(learner))
            ...
            actor.is_novel  # after any step

        Args:
            known: the learner's similarity: the same encoder, and where known tasks lie.
            after: transitions to see before the task is judged, or about four windows
                (`memory_window`) where that is fewer. A quarter must be in the memory, which drops
                many transitions of an unknown task, and many after a change.

        Raises:
            ValueError: for a policy without memory, or a similarity of another encoder.
        """
        if not self.rules:
            raise ValueError("this policy has no memory to compare with known tasks")
        own, other = (each.state_dict() for each in (self.rules.encoder, known.encoder))
        same = own.keys() == other.keys()
        if not same or any(not torch.equal(value, other[name]) for name, value in own.items()):
            raise ValueError(
                "the similarity is of another encoder than this policy's; make one for its "
                "learner: train_similarity(learner)"
            )
        self._known, self._judge_after = known, after

    @property
    def is_novel(self) -> bool:
        """Whether the task is unlike all known ones, as far as it was seen; see `watch`."""
        if not self._known or not self.rules:
            return False
        # all that a memory with a window ever counts is 1 / (1 - keep)
        most = 1.0 / (1.0 - self.rules.keep + 1e-12)
        if self.seen < min(self._judge_after, 4.0 * most):
            return False
        remembered = float(self.rules.count(torch.from_numpy(self.memory)))
        if remembered < min(self._judge_after, most) / 4.0:
            return False
        with torch.no_grad():
            mean = self.rules.mean(torch.from_numpy(self.memory))
            embedding = self.rules.encoder.whole(mean)
        return bool(self._known.beyond(embedding[None])[0])

    def forget(self) -> None:
        """Reset the memory to its initial contents: empty, or what adaptation saw of the task."""
        self._warned = False
        start = torch.from_numpy(self._start)
        self.seen = float(self.rules.count(start)) if self.rules else 0.0
        """Transitions that were seen of the task, remembered or not."""
        self._followed: NDArray[np.float32] | None = None
        self.memory = self._start.copy()
        """[memory]; no numbers for a policy without memory."""

    def remember(
        self,
        observation: NDArray[np.floating],
        action: NDArray[np.floating],
        reward: float,
        next_observation: NDArray[np.floating],
        *,
        begins: bool | None = None,
    ) -> None:
        """Remember the outcome of an action; no effect on a policy without memory.

        Args:
            observation: that was acted on, [observation].
            action: as `predict` returned it, [action].
            reward: for it.
            next_observation: what followed, [observation].
            begins: whether an episode begins with this step, so that its reward is not compared
                with the one before. None: where `observation` is not the `next_observation` of the
                call before; say it where sensors are read anew before each action.

        Raises:
            ValueError: for numbers that are not finite, which would be remembered for ever, or
                arrays of other shapes; nothing is remembered then.
        """
        if self._acting_memory:
            # a copy, since who read `memory` may have kept it
            size, row = self.observation_size, self.memory[None].copy()
            before = _row("observation", observation, (size,))
            done = _row("action", action, (self.policy.action_size,)) / self.action_scale
            after = _row("next_observation", next_observation, (size,))
            earned = _row("reward", reward, ())
            if begins is None:
                begins = self._followed is None or not np.array_equal(self._followed, before)
            if begins:
                self._acting_memory.begin_episode(row)
            self._acting_memory.remember(row, before, done, earned, after)
            self.memory, self._followed = row[0], after
            self.seen += 1.0
            if not self._warned and self.is_novel:
                self._warned = True
                warnings.warn("the task is unlike all that the policy knows", stacklevel=2)

    def predict(
        self,
        observation: NDArray[np.floating],
        state: tuple[NDArray, ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], tuple[Any, ...] | None]:
        """Return actions, from -1 to 1 for the robot's whole control range, and `state`.

        Args:
            observation: [observation] or [n, observation].
            state: `(memories,)`, [n, memory] or [1, memory] for all, to act on instead of the
                actor's own; returned as it is: what came of the action is not known yet.
            episode_start: ignored: a memory is of a task, whose episodes are many.
            deterministic: return the most likely action instead of a sampled one.

        Raises:
            ValueError: for an observation of another size or that is not finite, or other memories.
        """
        action = self._action(observation, deterministic, state)
        return np.clip(action, -1.0, 1.0), state

    def explore(
        self, observation: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return sampled actions for the robot, and what a log of them must hold.

        Both are in parts of the robot's control range. The first is cut off at -1 and 1, as
        `predict` returns it. The second is not: `metarl.Experience` takes it, since the density of
        an action can be told only from what was sampled.

        Args:
            observation: [observation] or [n, observation].

        Raises:
            ValueError: for an observation of another size.
        """
        action = self._action(observation, deterministic=False)
        return np.clip(action, -1.0, 1.0), action

    def _action(
        self,
        observation: NDArray[np.floating],
        deterministic: bool,
        state: tuple[NDArray, ...] | None = None,
    ) -> NDArray[np.float32]:
        """Return actions in parts of the control range, not cut off, [action] or [n, action]."""
        size = self.observation_size
        observation = np.asarray(observation, dtype=np.float32)
        if observation.ndim not in (1, 2) or observation.shape[-1] != size:
            raise ValueError(
                f"an observation must be [{size}] or [n, {size}], got {list(observation.shape)}"
            )
        if not np.isfinite(observation).all():
            raise ValueError(f"an observation is not finite: {observation.tolist()}")
        seen = np.atleast_2d(observation)
        if self._acting_memory:
            memories = np.atleast_2d(np.asarray(state[0], np.float32) if state else self.memory)
            wanted = [len(seen), self._acting_memory.size]
            if list(memories.shape) not in ([1, wanted[1]], wanted):
                raise ValueError(f"state must hold memories {wanted}, got {list(memories.shape)}")
            if not np.isfinite(memories).all():
                raise ValueError("a memory in state is not finite")
            context = self._acting_memory.context(memories)
            context = np.broadcast_to(context, (len(seen), context.shape[1]))
            seen = np.concatenate([seen, context], axis=1)
        action = self.policy.acting(self.parameters)(seen)
        if not deterministic:
            noise = self._generator.standard_normal(action.shape, dtype=np.float32)
            action += self.policy.std(self.parameters).numpy() * noise
        action *= self.action_scale
        return action.reshape(*observation.shape[:-1], self.policy.action_size)


def _of_one_task(policy: GaussianPolicy, parameters: Parameters) -> dict[str, Tensor]:
    """Return the parameters of one network, on the CPU."""
    tasks = parameters["weight0"].shape[:-2]
    if tasks not in ((), (1,)):
        raise ValueError(
            f"an actor has the parameters of one task, got those of {list(tasks)} tasks: "
            "{name: value[number] for name, value in parameters.items()} are one's"
        )
    one = {name: value[0] if tasks else value for name, value in parameters.items()}
    if "context_weight" in one and not policy.context_size:
        raise ValueError("the policy has no context; these parameters are of one that has")
    # its own, also where the learner's lie on the CPU
    own = {name: value.detach().cpu().clone() for name, value in one.items()}
    for name, shape in policy.shapes.items():
        if name not in own or own[name].shape != shape:
            got = list(own[name].shape) if name in own else "none"
            raise ValueError(f"{name} must be {list(shape)}, got {got}")
    return own


def _row(what: str, numbers: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return numbers as float32 behind an axis of 1, [1, ...], or say what is wrong with them."""
    # a copy, as whoever calls may read the next observation into the same array
    row = np.array(numbers, np.float32)
    if row.shape != shape:
        raise ValueError(f"{what} must be {list(shape)}, got {list(row.shape)}")
    if not np.isfinite(row).all():
        raise ValueError(f"{what} is not finite: {row.tolist()}")
    return row[None]
