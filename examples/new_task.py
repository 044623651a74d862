"""Adapt a trained meta-policy to a task, and use what comes of it.

    python examples/new_task.py --run docs/results/half_cheetah_dir

The adapted policy drives a Gymnasium environment, is filmed, and is handed on to
Stable-Baselines3's PPO, which trains it further on the one task.
"""

import argparse
from pathlib import Path

import gymnasium

import metarl
from metarl.bridges.sb3 import to_ppo
from metarl.envs.sb3_vec_env import TaskVecEnv

TASK = {"direction": -1.0}


def main() -> None:
    """Adapt, run, film, train on."""
    parser = argparse.ArgumentParser(description="Adapt to a new task.")
    parser.add_argument("--run", type=Path, default=Path("docs/results/half_cheetah_dir"))
    parser.add_argument("--out", type=Path, default=Path("runs/new_task"))
    parser.add_argument("--ppo-timesteps", type=int, default=100_000)
    arguments = parser.parse_args()

    learner = metarl.load(arguments.run)
    adapted = learner.adapt(TASK, rollouts=20, steps=1, seed=0)
    before, after = adapted.returns.mean(1)
    print(f"return before adaptation {before:.1f}, after one step {after:.1f}")

    env = gymnasium.make("metarl/HalfCheetahDir-v0", task=TASK)
    observation, _ = env.reset(seed=1)
    total, done = 0.0, False
    while not done:
        action, _ = adapted.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        done = terminated or truncated
    env.close()
    print(f"return of the most likely actions {total:.1f}")

    film = metarl.render(learner, TASK, arguments.out / "adaptation.mp4", ghost=True)
    print(f"video: {film}")

    model = to_ppo(
        adapted, TaskVecEnv("HalfCheetahDir", 20, task=TASK), n_steps=100, batch_size=500
    )
    model.learn(arguments.ppo_timesteps)
    model.save(arguments.out / "ppo")
    print(f"trained on by PPO: {arguments.out / 'ppo.zip'}")


if __name__ == "__main__":
    main()
