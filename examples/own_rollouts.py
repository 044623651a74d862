"""Adapt from rollouts of your own, such as a real robot's log.

    python examples/own_rollouts.py --run docs/results/half_cheetah_dir

A simulation stands in for the robot here. All that crosses over are arrays: what was observed, what
was done, what it was worth.
"""

import argparse
from pathlib import Path

import gymnasium
import numpy as np
from numpy.typing import NDArray

import metarl
from metarl.agents import Actor


def drive(robot: gymnasium.Env, policy: Actor, rollouts: int, seed: int) -> metarl.Experience:
    """Let a policy act and keep a log, as arrays with the axes [rollout, time]."""
    observations, actions, rewards, last = [], [], [], []
    for rollout in range(rollouts):
        observation, _ = robot.reset(seed=seed + rollout)
        policy.forget()  # a policy without memory has nothing to forget or remember
        seen: list[NDArray] = []
        done: list[NDArray] = []
        worth: list[float] = []
        over = False
        while not over:
            # exploring, as adaptation needs; the log keeps what exceeds the control range
            action, sampled = policy.explore(observation)
            seen.append(observation)
            done.append(sampled)
            before = observation
            observation, reward, terminated, truncated, _ = robot.step(action)
            policy.remember(before, action, float(reward), observation)
            worth.append(float(reward))
            over = terminated or truncated
        observations.append(seen)
        actions.append(done)
        rewards.append(worth)
        last.append(observation)
    return metarl.Experience(
        np.array(observations), np.array(actions), np.array(rewards), np.array(last)
    )


def main() -> None:
    """Drive, adapt, drive again."""
    parser = argparse.ArgumentParser(description="Adapt from a log.")
    parser.add_argument("--run", type=Path, default=Path("docs/results/half_cheetah_dir"))
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/own_rollouts"))
    arguments = parser.parse_args()

    robot = gymnasium.make("metarl/HalfCheetahDir-v0", task={"direction": -1.0})
    learner = metarl.load(arguments.run)
    first = drive(robot, learner.actor(), arguments.rollouts, seed=0)
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.savez(
        arguments.out / "log.npz",
        observations=first.observations,
        actions=first.actions,
        rewards=first.rewards,
        final_observations=first.final_observations,
    )

    actor = learner.adapt_from(first)  # no simulator, and nobody said which way to run
    second = drive(robot, actor, arguments.rollouts, seed=0)
    for name, each in (("before", first), ("after", second)):
        print(f"return {name} adaptation {np.sum(each.rewards, axis=1).mean():.1f}")


if __name__ == "__main__":
    main()
