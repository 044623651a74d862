"""A robot of one's own: an arm whose last joint has no motor and is looser in some tasks.

    python examples/own_robot.py [--total-timesteps 1_000_000] [--out runs/planar_arm]

The arm is an MJCF file and the class below. Its tasks ask for a point on the table, and the loose
joint's damping differs from task to task; neither is told to the policy.
"""

import argparse
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

import metarl
from metarl.envs import Robot, TaskFamily, dynamics, goals
from metarl.envs.robot import Array, Fields, always
from metarl.showing import figures


class PlanarArm(Robot):
    """Two driven joints and a loose one, on a table."""

    name = "PlanarArm"
    mjcf = Path(__file__).parent / "assets" / "planar_arm.xml"
    frame_skip = 4
    fields = ("qpos", "qvel", "ctrl", "site_xpos")
    tracks = ("x", "y")
    camera = (2.6, 90.0, -75.0)
    lookat = (0.0, 0.0, 0.0)

    def start(self, model: mujoco.MjModel, generator: np.random.Generator) -> tuple[Array, Array]:
        """Start bent a little, at rest."""
        return generator.uniform(-0.1, 0.1, model.nq), np.zeros(model.nv)

    def observe(self, fields: Fields) -> Array:
        """Cosines and sines of the angles (6), angular velocities (3), place of the tip (2)."""
        angles = fields["qpos"]
        parts = [np.cos(angles), np.sin(angles), 0.1 * fields["qvel"], self.position(fields)]
        return np.concatenate(parts, axis=1)

    def position(self, fields: Fields) -> Array:
        """X and y of the tip."""
        return fields["site_xpos"][:, 0, :2]

    def healthy(self, fields: Fields) -> NDArray[np.bool_]:
        """Always."""
        return always(fields)


def family(horizon: int = 100) -> TaskFamily:
    """Return the arm's tasks."""
    return TaskFamily(
        "PlanarArm",
        PlanarArm(),
        goals.reach_in_disc(0.8),
        "an example",
        dynamics=(dynamics.joint_damping(0.5, 2.0, extrapolate=(2.0, 4.0)),),
        horizon=horizon,
        control_cost=0.01,
    )


def main() -> None:
    """Train, evaluate, film."""
    parser = argparse.ArgumentParser(description="Train a robot of one's own.")
    parser.add_argument("--total-timesteps", type=int, default=2_000_000)
    parser.add_argument("--horizon", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("runs/planar_arm"))
    arguments = parser.parse_args()

    learner = metarl.MAML(family(arguments.horizon), seed=0)
    metarl.train(learner, arguments.out, arguments.total_timesteps, progress_bar=True)
    evaluation = metarl.evaluate(learner, steps=2)
    figures.save(evaluation, arguments.out)
    print(evaluation)
    task = {"x": 0.3, "y": 0.5, "damping_scale": 0.6}
    print(f"video: {metarl.render(learner, task, arguments.out / 'adaptation.mp4')}")


if __name__ == "__main__":
    main()
