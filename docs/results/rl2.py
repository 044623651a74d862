"""RL2, the rival that remembers with a recurrent network, on the trials that `siamese` has.

    pip install sb3-contrib
    python docs/results/rl2.py HalfCheetahVel 0     # one run; a quarter of an hour

RL2 (Duan et al. 2016) gives a recurrent policy its last action and reward beside the observation,
and keeps its state over the episodes of a trial: adaptation is whatever the network learns to do.
Here it is sb3-contrib's RecurrentPPO on trials of two episodes of a task, for as many environment
steps as `running.py` gives the family, and evaluated on the same 40 test tasks, 20 trials each.
Back-propagation through 200 steps of a recurrent network makes training take several times as long.
"""

import argparse
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from running import FAMILIES, learn, machine
from sb3_contrib import RecurrentPPO  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize

from metarl import envs
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.evaluation.interval import interval
from metarl.system.checkpoint import versions
from metarl.system.files import write_json

FILES = Path(__file__).parent / "rl2"
EPISODES = 2
SETTINGS: dict[str, Any] = {
    "batch_size": 3200,
    "n_epochs": 4,
    "learning_rate": 1e-3,
    "gamma": 0.99,
    "gae_lambda": 0.97,
    "policy_kwargs": {"lstm_hidden_size": 64, "net_arch": [64], "enable_critic_lstm": True},
}
NUM_ENVS = 128


class Trials(VecEnvWrapper):
    """Episodes of one task in a row as one; shows the last action, reward and an episode's start.

    The environments are those of a `TaskVecEnv`, whose tasks change at the end of a trial only.
    """

    def __init__(
        self, venv: VecEnv, family: envs.TaskFamily, tasks: envs.Tasks | None = None
    ) -> None:
        """Begin trials of tasks drawn from the training range, or of these, one an environment."""
        self._extra = family.action_size + 2
        size = family.observation_size + self._extra
        super().__init__(venv, gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32))
        self._family, self._tasks, self._drawn = family, tasks, 0
        self._episode = np.zeros(self.num_envs, int)
        self._actions = np.zeros((self.num_envs, family.action_size))

    def reset(self) -> np.ndarray:
        """Begin a trial in each environment."""
        for env in range(self.num_envs):
            self._give(env)
        self._episode[:] = 0
        observation = np.asarray(self.venv.reset())
        return self._seen(observation, np.zeros(self.num_envs), np.ones(self.num_envs))

    def step_async(self, actions: np.ndarray) -> None:
        """Send actions on."""
        self._actions = np.array(actions)
        self.venv.step_async(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step; what ends is a trial."""
        observation, reward, dones, infos = self.venv.step_wait()
        self._episode += dones
        ended = dones & (self._episode == EPISODES)
        for env in map(int, np.flatnonzero(dones)):
            if self._episode[env] == EPISODES - 1:
                self._give(env)  # from the next episode on, which begins the next trial
            last = infos[env].pop("terminal_observation")
            infos[env].pop("TimeLimit.truncated", None)
            if ended[env]:
                shown = self._seen(last[None], reward[env : env + 1], np.zeros(1), env)
                infos[env]["terminal_observation"] = shown[0]
        self._episode[ended] = 0
        return (
            self._seen(np.asarray(observation), reward, dones.astype(float)),
            reward,
            ended,
            infos,
        )

    def _give(self, env: int) -> None:
        if self._tasks is not None:
            task = self._tasks[env]
        else:
            self._drawn += 1
            task = self._family.sample_tasks(1, seed=(0, self._drawn))[0]
        self.venv.env_method("set_task", task, indices=[env])

    def _seen(
        self, observation: np.ndarray, reward: np.ndarray, first: np.ndarray, env: int | None = None
    ) -> np.ndarray:
        action = self._actions if env is None else self._actions[env : env + 1]
        extra = np.concatenate([action, reward[:, None], first[:, None]], axis=1)
        return np.concatenate([observation, extra], axis=1).astype(np.float32)


def evaluated(
    model: RecurrentPPO, normaliser: VecNormalize, family: envs.TaskFamily
) -> list[np.ndarray]:
    """Return the mean return of 40 test tasks, [task], in the first and in the second episode."""
    tasks = family.sample_tasks(40, seed=7, split="test").repeat(20)
    venv = TaskVecEnv(family, len(tasks))
    venv.seed(7)
    trials = Trials(venv, family, tasks)
    observation, state = trials.reset(), None
    start = np.ones(len(tasks), bool)
    episode, returns = np.zeros(len(tasks), int), np.zeros((EPISODES, len(tasks)))
    while (episode < EPISODES).any():
        seen = normaliser.normalize_obs(np.asarray(observation))
        action, state = model.predict(seen, state, start, deterministic=False)
        start[:] = False
        before = trials._episode.copy()
        observation, reward, ended, _ = trials.step(action)
        going = episode < EPISODES
        np.add.at(returns, (before[going], np.flatnonzero(going)), reward[going])
        episode = np.where(going, np.where(ended, EPISODES, trials._episode), episode)
    return [each.reshape(40, 20).mean(1) for each in returns]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("seed", type=int)
    given = parser.parse_args()
    steps, changes = FAMILIES[given.family]
    family = envs.make(given.family, **changes)
    venv = TaskVecEnv(family, NUM_ENVS)
    venv.seed(given.seed)
    normaliser = VecNormalize(Trials(venv, family), gamma=SETTINGS["gamma"])
    settings = {"n_steps": EPISODES * family.horizon, **SETTINGS}  # a trial
    model = RecurrentPPO("MlpLstmPolicy", normaliser, seed=given.seed, device="cpu", **settings)
    seconds = learn(model, steps)
    first, second = (interval(each).to_dict() for each in evaluated(model, normaliser, family))
    record = {
        "settings": {**settings, "num_envs": NUM_ENVS, "seed": given.seed},
        "family": family.describe(),
        "versions": versions(),
        "machine": machine(model.device),
        "steps": model.num_timesteps,
        "seconds": seconds,
        "rl2": {"first episode": first, "second episode": second},
    }
    FILES.mkdir(exist_ok=True)
    path = FILES / f"{given.family}_{given.seed}.json"
    write_json(path, record, indent=None)
    print(f"{given.family}, RL2: {first} in the first episode, {second} in the second; {seconds}")


if __name__ == "__main__":
    main()
