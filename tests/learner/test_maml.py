"""The learner: it learns, adapts, and has the manners of a Stable-Baselines3 algorithm."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import VecMonitor

import metarl
from metarl import envs
from metarl.algorithms.table import ALGORITHMS
from metarl.envs.gymnasium_env import TaskEnv
from metarl.envs.sb3_vec_env import TaskVecEnv
from metarl.learner.config import AlgorithmName, InnerLoss
from metarl.learner.defaults import TUNED
from metarl.learner.iteration import roll_out, training_sampler
from metarl.system import checkpoint
from tests.conftest import SMALL


class Rows(KVWriter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def write(self, key_values: dict, key_excluded: dict, step: int = 0) -> None:
        self.rows.append(dict(key_values))

    def close(self) -> None:
        pass


def test_adaptation_gets_better_with_training():
    """After a few iterations one step gains more than it did with random parameters."""
    family = envs.make("Point2D", horizon=20)
    learner = metarl.MAML(
        family, seed=0, tasks=20, rollouts=10, hidden=(32,), inner_lr=0.5, max_kl=0.05
    )
    options: dict[str, Any] = {"tasks": 40, "rollouts": 10, "steps": 1, "seed": 5}
    before = metarl.evaluate(learner, **options)
    learner.learn(200_000)
    after = metarl.evaluate(learner, **options)
    assert after.gain.low > before.gain.high
    assert after.helps


def test_training_is_reproducible_to_the_bit(point: envs.TaskFamily):
    runs = [metarl.MAML(point, seed=1, **SMALL) for _ in range(2)]
    for learner in runs:
        learner.learn(600)
    a, b = (run.parameters for run in runs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    other = metarl.MAML(point, seed=2, **SMALL).learn(600)
    assert not torch.equal(other.parameters["weight0"], a["weight0"])


def test_learning_in_two_parts_is_learning_at_once(point: envs.TaskFamily):
    once = metarl.MAML(point, **SMALL).learn(1000)
    parts = metarl.MAML(point, **SMALL).learn(400)
    parts.learn(1000 - parts.num_timesteps, reset_num_timesteps=False)
    assert once.num_timesteps == parts.num_timesteps
    assert all(torch.equal(once.parameters[n], p) for n, p in parts.parameters.items())


def test_several_inner_steps_are_logged_one_by_one(point: envs.TaskFamily):
    rows = Rows()
    learner = metarl.MAML(point, **SMALL, inner_steps=3)
    learner.set_logger(Logger(None, [rows]))
    learner.learn(1)
    row = rows.rows[0]
    steps = [row[f"rollout/return_{s}"] for s in ("before", "step_1", "step_2", "after")]
    assert len(set(steps)) == 4
    assert row["rollout/gain"] == pytest.approx(steps[-1] - steps[0])
    assert row["time/total_timesteps"] == learner.num_timesteps <= 4 * 3 * 4 * 12


def test_the_log_of_a_policy_with_a_memory_tells_the_episodes_of_a_trial(point: envs.TaskFamily):
    """Which rollout came when is known by how many transitions were remembered at its end."""
    settings = {**SMALL, "rollouts": 6, "episodes": 3, "algorithm": "siamese", "encoder_steps": 1}
    rows, learner = Rows(), metarl.MAML(point, **settings, changes=0.0, seed=3)
    sampler = training_sampler(learner.state, learner.recipe, point)
    rollouts = roll_out(learner.state, learner.recipe, point, sampler)[0].rollouts
    memory = learner.state.memory
    assert memory is not None
    remembered = memory.count(rollouts.memories).squeeze(-1)
    returns = [
        float(rollouts.returns[remembered.round() == point.horizon * seen].mean())
        for seen in (1, 2, 3)
    ]
    learner.set_logger(Logger(None, [rows]))
    learner.learn(1)
    logged = [rows.rows[0][f"rollout/return_{s}"] for s in ("before", "step_1", "after")]
    assert logged == pytest.approx(returns)
    assert rows.rows[0]["rollout/gain"] == pytest.approx(returns[2] - returns[0], abs=1e-4)


def test_callbacks_are_those_of_stable_baselines(learner: metarl.MAML, tmp_path):
    seen = []

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            seen.append((self.num_timesteps, self.locals["returns"]))
            return len(seen) < 3

    saver = CheckpointCallback(1, str(tmp_path), "point")
    learner.learn(10_000, callback=[Watch(), saver])
    assert len(seen) == 3, "returning False ends training"
    assert all(len(returns) == 2 for _, returns in seen)
    assert len(list(tmp_path.iterdir())) == 3

    calls = []
    learner.learn(1, callback=lambda local, _: calls.append(local["trace"].accepted) or True)
    assert calls == [True] or calls == [False]


def test_adapts_to_one_task_and_shows_what_it_brought(learner: metarl.MAML):
    adapted = learner.adapt({"x": 0.3, "y": -0.2}, rollouts=5, steps=2)
    assert adapted.task == {"x": 0.3, "y": -0.2}
    assert adapted.returns.shape == (3, 5)
    action, state = adapted.predict(np.zeros(2), deterministic=True)
    assert action.shape == (2,)
    assert state is None
    before, _ = learner.predict(np.zeros(2), deterministic=True)
    assert not np.array_equal(action, before)
    again = learner.adapt({"x": 0.3, "y": -0.2}, rollouts=5, steps=2)
    np.testing.assert_array_equal(adapted.returns, again.returns)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("inner_loss", get_args(InnerLoss))
def test_every_algorithm_learns_adapts_and_is_saved(
    point: envs.TaskFamily, tmp_path, algorithm: str, inner_loss: str
):
    settings = {**SMALL, "rollouts": 4, "algorithm": algorithm, "inner_loss": inner_loss}
    learner = metarl.MAML(point, seed=3, **settings)
    before = {name: value.clone() for name, value in learner.parameters.items()}
    learner.learn(600)
    assert any((learner.parameters[name] != value).any() for name, value in before.items())
    learner.save(tmp_path / "point")
    again = metarl.load(tmp_path / "point.safetensors")
    options: dict[str, Any] = {"tasks": 3, "rollouts": 3, "steps": 1}
    first, second = (metarl.evaluate(each, **options) for each in (learner, again))
    np.testing.assert_array_equal(first.returns, second.returns)
    assert first.algorithm == algorithm
    assert (first.returns[:, 0] != first.returns[:, 1]).any(), "it adapts when it is evaluated"


@pytest.mark.parametrize("algorithm", ["maml-trpo", "promp", "meta-sgd", "cavia"])
def test_a_loaded_learner_goes_on_as_if_it_had_not_been_saved(
    point: envs.TaskFamily, tmp_path, algorithm: str
):
    """Parameters, what the outer step remembers, and the moments of the observations."""
    settings = {**SMALL, "algorithm": algorithm, "normalise_observations": True}
    learner = metarl.MAML(point, seed=3, **settings).learn(600)
    learner.save(tmp_path / "point")
    again = metarl.load(tmp_path / "point.safetensors")
    for each in (learner, again):
        each.learn(600, reset_num_timesteps=False)
    assert all(torch.equal(again.parameters[n], p) for n, p in learner.parameters.items())
    assert all(torch.equal(again.state.optimiser[n], v) for n, v in learner.state.optimiser.items())
    moments, found = learner.policy.normaliser, again.policy.normaliser
    assert moments is not None
    assert found is not None
    assert all(torch.equal(a, b) for a, b in zip(moments, found, strict=True))


def test_observations_are_normalised_by_what_training_has_seen(point: envs.TaskFamily):
    learner = metarl.MAML(point, seed=3, normalise_observations=True, **SMALL)
    learner.learn(1)
    normaliser = learner.policy.normaliser
    assert normaliser is not None
    assert int(normaliser.count) == learner.num_timesteps
    twin = metarl.MAML(point, seed=3, **SMALL)
    stages = roll_out(twin.state, twin.recipe, point, twin.sampler(4, 3))
    seen = torch.cat([s.rollouts.observations[s.rollouts.valid] for s in stages]).double()
    torch.testing.assert_close(normaliser.mean, seen.mean(0))
    torch.testing.assert_close(normaliser.variance, seen.var(0, correction=0))


def test_learned_rates_go_with_any_algorithm_that_can_learn_them(point: envs.TaskFamily):
    for algorithm, count in (("maml-trpo", 5), ("fomaml", 5), ("anil", 3), ("cavia", 1)):
        settings = {**SMALL, "algorithm": algorithm, "learned_rates": True}
        learner = metarl.MAML(point, **settings).learn(600)
        rates = [value for name, value in learner.parameters.items() if name.startswith("rate_")]
        assert len(rates) == count
        assert all((rate != 1.0).any() for rate in rates)
    for algorithm in ("reptile", "pretrain", "siamese"):
        message = f"learned_rates must be False with {algorithm}, whose training would not change"
        with pytest.raises(ValueError, match=message):
            metarl.MAML(point, algorithm=algorithm, learned_rates=True)


def test_cavia_moves_the_context_alone(point: envs.TaskFamily):
    learner = metarl.MAML(point, algorithm="cavia", **SMALL)
    adapted = learner.adapt({"x": 0.3, "y": -0.2}, rollouts=5)
    for name, value in learner.parameters.items():
        assert torch.equal(adapted.actor.parameters[name], value)
    context = adapted.actor.parameters["context"]
    assert context.shape == (learner.config.context_size,)
    assert context.abs().max() > 0


def test_settings_come_from_the_user_then_the_variant_then_the_algorithm():
    published = metarl.MAML(envs.make("Point2D", preset="maml2017")).config
    assert (published.inner_lr, published.hidden, published.tasks) == (0.5, (100, 100), 40)
    mine = metarl.MAML(envs.make("Point2D", preset="maml2017"), inner_lr=0.2).config
    assert (mine.inner_lr, mine.hidden) == (0.2, (100, 100))
    assert metarl.MAML("HopperRandParams", algorithm="e-maml").config.inner_loss == "score-function"


def test_the_table_of_algorithms_is_that_of_the_settings():
    assert tuple(ALGORITHMS) == get_args(AlgorithmName)


def test_pretraining_uses_no_rollouts_after_adaptation(point: envs.TaskFamily):
    learner = metarl.MAML(point, algorithm="pretrain", **SMALL)
    learner.learn(1)
    assert learner.num_timesteps <= 4 * 3 * 12


def test_an_adapted_policy_acts_in_the_environment_as_it_did_in_training():
    """Same task, same start: its most likely actions earn the same through either interface."""
    family = envs.make("HalfCheetahVel", horizon=15)
    learner = metarl.MAML(family, **SMALL)
    task = {"velocity": 1.5}
    adapted = learner.adapt(task, rollouts=4)
    env = TaskEnv(family, task=task)
    observation, _ = env.reset(seed=3)
    state = env.unwrapped._episodes.simulator.fields  # type: ignore[attr-defined]
    start = state["qpos"].copy(), state["qvel"].copy()
    total, done = 0.0, False
    while not done:
        action, _ = adapted.predict(observation, deterministic=True)
        observation, reward, _, done, _ = env.step(action)
        total += reward

    simulator = envs.Simulator(family, 1)
    simulator.set_tasks(family.task(task))
    observation, expected = simulator.set_state(*start), 0.0
    for _ in range(15):
        raw = adapted.actor.policy(
            adapted.actor.parameters, torch.from_numpy(observation).float()
        ).mean
        observation, reward, *_ = simulator.step(raw.detach().numpy())
        expected += float(reward[0])
    assert total == pytest.approx(expected, rel=1e-4)


def test_predicts_for_stable_baselines_own_evaluation():
    family = envs.make("Point2D", horizon=12)
    learner = metarl.MAML(family, **SMALL)
    env = VecMonitor(TaskVecEnv(family, 2, task={"x": 0.3, "y": 0.1}))
    for model in (learner, learner.adapt({"x": 0.3, "y": 0.1}, rollouts=3)):
        returns, lengths = evaluate_policy(
            model,  # type: ignore[arg-type]
            env,
            n_eval_episodes=4,
            return_episode_rewards=True,
        )
        assert lengths == [12] * 4
        assert np.isfinite(returns).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metarl.MAML("HalfCheetaDir"), "did you mean HalfCheetahDir"),
        (lambda: metarl.MAML("Point2D", inner_learning_rate=1), "no setting 'inner_learning_rate'"),
        (lambda: metarl.MAML("Point2D", rollout=1), "did you mean rollouts"),
        (lambda: metarl.MAML("Point2D", inner_lr=-1.0), "inner_lr must be a positive number"),
        (lambda: metarl.MAML("Point2D", tasks=0), "tasks must be a whole number of at least 1"),
        (lambda: metarl.MAML("Point2D", rollouts=1), "rollouts must be at least 2"),
        (lambda: metarl.MAML("Point2D", discount=1.5), r"discount must be in \[0, 1\], got 1.5"),
        (lambda: metarl.MAML("Point2D", algorithm="mamel"), "algorithm must be one of maml-trpo"),
        (lambda: metarl.MAML("Point2D", device="cuda:99"), "device 'cuda:99' cannot be used"),
        (lambda: metarl.MAML("Point2D", device="gpu"), "device must be auto, cpu, .* got 'gpu'"),
        (lambda: metarl.MAML("Point2D").adapt({"x": 1.0}), "task parameters x, y; got x"),
        (lambda: metarl.MAML("Point2D").adapt({"x": 5.0, "y": 0.0}), "outside the range"),
    ],
)
def test_bad_input_is_named(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", -1),
        ("steps", 1.5),
        ("rollouts", 0),
        ("rollouts", 1.5),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 1.5),
    ],
)
def test_counts_and_seeds_of_an_adaptation_are_checked(learner: metarl.MAML, name: str, value: Any):
    with pytest.raises(ValueError, match=f"{name} must be a whole number .*, got {value}"):
        learner.adapt({"x": 0.1, "y": 0.0}, **{name: value})


@pytest.mark.parametrize("value", [0, "a", float("nan"), 0.5])
def test_only_counts_of_steps_are_learnt_for(learner: metarl.MAML, value: Any):
    for counts in ({"total_timesteps": value}, {"total_timesteps": 1, "log_interval": value}):
        with pytest.raises(ValueError, match=f"must be a whole number .*, got {value!r}"):
            learner.learn(**counts)
    assert learner.learn(1e2).num_timesteps >= 100  # type: ignore[arg-type]


def test_the_seed_of_an_actor_is_checked(learner: metarl.MAML):
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
        learner.actor(seed=-1)


def test_predict_explores_anew_each_time(learner: metarl.MAML):
    first, second = (learner.predict(np.zeros(2))[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_skills_are_asked_for_where_their_file_is_given(learner: metarl.MAML):
    library: Any = "lib.safetensors"
    message = "a skill library is asked for, such as metarl.SkillLibrary.load.*'lib.safetensors'"
    with pytest.raises(TypeError, match=message):
        learner.adapt({"x": 0.1, "y": 0.0}, library=library)
    with pytest.raises(TypeError, match=message):
        metarl.evaluate(learner, library=library)
    with pytest.raises(TypeError, match=message):
        learner.adapt_from(library=library)


def test_a_family_may_be_named_when_a_learner_is_loaded(learner: metarl.MAML, tmp_path: Path):
    learner.save(tmp_path / "point")
    path = tmp_path / "point.safetensors"
    assert metarl.load(path, family="Point2D").family.describe() == learner.family.describe()
    named = "was trained on Point2D, not on HalfCheetahVel, the family given here"
    with pytest.raises(ValueError, match=named) as told:
        metarl.load(path, family="HalfCheetahVel")
    assert len(str(told.value)) < 250, "no field of either"


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"hidden": (3,)}, r"hidden .*: it has \(8,\), got \(3,\)"),
        ({"context": "siamese"}, "context .*: it has 'none', got 'siamese'"),
        ({"learned_rates": True}, "learned_rates .*: it has False, got True"),
        ({"algorithm": "cavia"}, "algorithm .*: it has 'maml-trpo', got 'cavia'"),
        ({"algorithm": "meta-sgd"}, "algorithm .*: it has 'maml-trpo', got 'meta-sgd'"),
    ],
)
def test_what_a_checkpoint_is_made_of_cannot_be_changed(
    learner: metarl.MAML, tmp_path: Path, settings: dict[str, Any], values: str
):
    learner.save(tmp_path / "point")
    path = tmp_path / "point.safetensors"
    message = values.replace(".*", "cannot be changed when a checkpoint is loaded")
    with pytest.raises(ValueError, match=f"^{message}$"):
        metarl.load(path, **settings)
    assert metarl.load(path, hidden=[8], threads=1).config.threads == 1
    assert metarl.load(path, algorithm="promp").config.algorithm == "promp"


def test_what_an_older_file_does_not_say_is_not_what_was_tuned_since(
    point: envs.TaskFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A file of before there were critics has none, and its run was told nothing."""
    path = tmp_path / "old.safetensors"
    old = metarl.MAML(point, algorithm="siamese", tasks=4, rollouts=4, hidden=(8,), threads=1)
    old.save(path)
    tensors, data = checkpoint.read(path)
    later = ("baseline", "minibatch", "initial_gain", "told")
    data["config"] = {n: value for n, value in data["config"].items() if n not in later}
    checkpoint.write(path, tensors, data)
    tuned = {"baseline": "network", "minibatch": 100, "initial_gain": 0.01, "told": 0.5}
    monkeypatch.setitem(TUNED, ("Point2D", "siamese"), tuned)
    loaded = metarl.load(path)
    assert loaded.config == old.config
    assert loaded.state.critic is None
    new = metarl.MAML("Point2D", algorithm="siamese").config
    assert (new.baseline, new.told) == ("network", 0.5)
