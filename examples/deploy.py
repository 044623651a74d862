"""Run an exported policy in real time, as on a robot.

    python examples/deploy.py --run runs/go1 [--seconds 10]

`Policy` is what goes onto the robot: it needs onnxruntime and NumPy, neither metarl nor torch.
A simulation stands in for the robot, whose sensors and motors take the place of `robot.step`.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import metarl
from metarl.envs import TaskFamily
from metarl.envs.gymnasium_env import TaskEnv


class Policy:
    """An exported network, with what it remembers of its task, if it remembers."""

    def __init__(self, path: Path, memory: NDArray[np.float32]) -> None:
        """Load the file.

        Args:
            path: what `metarl.export` wrote.
            memory: what the policy remembers at first, [memory]: `actor.memory`.
        """
        options = onnxruntime.SessionOptions()  # a network of this size is fastest on one thread
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        sizes = {given.name: given.shape[1] for given in self._session.get_inputs()}
        self._inputs = {name: np.zeros((1, size), np.float32) for name, size in sizes.items()}
        if "memory" in self._inputs:
            self._inputs["memory"][0] = memory

    def act(self, observation: NDArray[np.floating], reward: float) -> NDArray[np.float32]:
        """Return an action, [action] from -1 to 1.

        Args:
            observation: [observation].
            reward: for the action before, which a policy that remembers adapts by.
        """
        inputs = self._inputs
        inputs["observation"] = np.asarray(observation[None], np.float32)
        if "memory" not in inputs:
            return np.asarray(self._session.run(["action"], inputs)[0])[0]
        inputs["reward"][:] = reward
        action, inputs["memory"] = map(np.asarray, self._session.run(None, inputs))
        inputs |= {"last_observation": inputs["observation"], "last_action": action}
        inputs["acted"] = np.ones((1, 1), np.float32)
        return action[0]


def main() -> None:
    """Export a policy, and run it at the rate that it was trained at."""
    parser = argparse.ArgumentParser(description="Run an exported policy in real time.")
    parser.add_argument("--run", type=Path, default=Path("pretrained:HalfCheetahDir"))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("runs/policy.onnx"))
    arguments = parser.parse_args()

    learner = metarl.load(arguments.run, device="cpu")
    family = learner.family
    assert isinstance(family, TaskFamily), "a robot in MuJoCo stands in for the real one"
    actor = learner.actor()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    policy = Policy(metarl.export(actor, arguments.out), actor.memory)
    robot = TaskEnv(family, split="test")
    observation, _ = robot.reset(seed=0)

    period, reward, worth, late = family.dt, 0.0, 0.0, 0
    taken: list[float] = []
    begun = time.perf_counter()
    for step in range(round(arguments.seconds / period)):
        woken = time.perf_counter()
        action = policy.act(observation, reward)
        taken.append(time.perf_counter() - woken)
        observation, reward, fell, *_ = robot.step(action)
        worth += reward
        if fell:
            print(f"fell after {step * period:.1f} s")
            break
        rest = begun + (step + 1) * period - time.perf_counter()
        late += rest < 0.0
        time.sleep(max(0.0, rest))
    median, slowest = np.quantile(1e3 * np.array(taken), [0.5, 0.99])
    print(f"return {worth:.1f} in {len(taken)} actions, {1.0 / period:.0f} a second, {late} late")
    print(f"an action takes p50 {median:.2f} ms, p99 {slowest:.2f} ms on one core")


if __name__ == "__main__":
    main()
