"""A policy that sees its task: sampling, training, resuming and acting agree with each other."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import metarl
from metarl import envs
from metarl.agents.memory import PATIENCE, SCALE
from metarl.agents.siamese import SiameseEncoder
from metarl.envs.gymnasium_env import TaskEnv
from metarl.experience.memories import nothing_seen, with_contexts
from metarl.experience.task_map import task_map
from metarl.learner.iteration import roll_out, training_sampler, update
from metarl.learner.task_encoder import LEAST_TOLERANCE, tolerance_of
from metarl.sampling.sampler import Sampler
from metarl.sampling.streams import Key, Phase
from metarl.sampling.telling import MAPPED
from metarl.sampling.trial import Trial
from metarl.sampling.workers import Workers
from metarl.skills.similarity import KIND
from metarl.system import checkpoint
from tests.conftest import SMALL

SETTINGS = {**SMALL, "rollouts": 4, "encoder_steps": 3, "embedding_size": 3}
KEY = Key(5, Phase.EVALUATE)
COUNT = -3  # in a memory


def siamese(family: envs.TaskFamily, **settings) -> metarl.MAML:
    return metarl.MAML(family, **{**SETTINGS, "algorithm": "siamese", **settings})


@pytest.fixture(scope="module")
def hopper() -> envs.TaskFamily:
    """Its rollouts end at different lengths."""
    return envs.make("HopperRandParams", horizon=40)


@pytest.fixture(scope="module")
def learner(hopper: envs.TaskFamily) -> metarl.MAML:
    return siamese(hopper, seed=1, changes=0.0).learn(600)


def test_episodes_shorter_than_any_window_are_refused_before_a_run_begins():
    for settings in ({"algorithm": "siamese"}, {"context": "siamese"}):
        with pytest.raises(ValueError, match=r"horizon must be at least 5 steps .*, got 4"):
            metarl.MAML(envs.make("Point2D", horizon=4), **{**SETTINGS, **settings})
    siamese(envs.make("Point2D", horizon=5), rollouts=4).learn(1)


def test_contexts_are_embeddings_of_what_was_seen_so_far(learner: metarl.MAML):
    """The sampler's NumPy memory against the encoder on whole windows, with early ends."""
    tasks = learner.family.sample_tasks(3, seed=0)
    rollouts = learner.sample(tasks, learner.parameters, 2, KEY)
    memory = nothing_seen(learner.state.memory, 3)
    assert memory is not None
    size = learner.family.observation_size
    plain = rollouts._replace(
        observations=rollouts.observations[..., :size],
        final_observations=rollouts.final_observations[..., :size],
    )
    with torch.no_grad():
        expected = with_contexts(plain, memory)
    valid = rollouts.valid[..., None]
    torch.testing.assert_close(
        rollouts.observations * valid, expected.observations * valid, atol=2e-4, rtol=1e-3
    )
    torch.testing.assert_close(
        rollouts.final_observations, expected.final_observations, atol=2e-4, rtol=1e-3
    )
    torch.testing.assert_close(rollouts.memories, expected.memories, atol=1e-3, rtol=1e-3)
    assert (rollouts.observations[:, :, 0, size:] == 0).all(), "nothing is known at first"
    assert len(rollouts.lengths.unique()) > 1
    assert math.isfinite(memory.rules.tolerance), "it was trained"
    forgotten = rollouts.lengths - rollouts.memories[..., COUNT]
    assert (forgotten > -1e-4).all(), "never more than was seen"
    assert (forgotten > 0.0).all(), "a little is forgotten of anything"


def test_episodes_in_a_row_share_a_memory_and_tasks_do_not(learner: metarl.MAML):
    tasks = learner.family.sample_tasks(3, seed=0)
    parameters = {n: v.expand(3, *v.shape) for n, v in learner.parameters.items()}
    memory = nothing_seen(learner.state.memory, 3)
    assert memory is not None
    memory = memory.never_forgetting()
    with Sampler(learner.family, 3, 4, trial=Trial(2)) as sampler:
        sampler.set_tasks(tasks)
        rollouts = sampler.sample(learner.policy, parameters, KEY, memory=memory)
    size, lengths = learner.family.observation_size, rollouts.lengths.float()
    # rollouts 0 and 1 are first episodes, 2 and 3 those that follow them
    assert rollouts.memories[:, :2, COUNT].equal(lengths[:, :2])
    assert rollouts.memories[:, 2:, COUNT].equal(lengths[:, :2] + lengths[:, 2:])
    assert (rollouts.observations[:, :2, 0, size:] == 0).all()
    torch.testing.assert_close(
        rollouts.observations[:, 2:, 0, size:], rollouts.final_observations[:, :2, size:]
    )
    # the second episodes' memories hold the first ones
    assert memory.pooled(rollouts, episodes=2).start[:, COUNT].equal(lengths.sum(1))


def test_a_gradient_steps_episodes_are_remembered_once(point: envs.TaskFamily):
    """In training with trials of two episodes: what the second stage begins with."""
    learner = metarl.MAML(
        point, context="siamese", episodes=2, tasks=3, rollouts=4, hidden=(8,), threads=1
    )
    with training_sampler(learner.state, learner.recipe, point) as sampler:
        before, after = roll_out(learner.state, learner.recipe, point, sampler)
    assert after.memory is not None
    steps = before.rollouts.lengths.sum(1).float()
    torch.testing.assert_close(after.memory.start[:, COUNT], steps)


@pytest.mark.parametrize("trial", [Trial(2), Trial(2, changes=0.5)], ids=["stays", "changes"])
def test_processes_and_threads_give_the_same_bits(learner: metarl.MAML, trial: Trial):
    tasks = learner.family.sample_tasks(4, seed=0)
    parameters = {n: v.expand(4, *v.shape) for n, v in learner.parameters.items()}
    shapes = {n: tuple(v.shape) for n, v in learner.parameters.items()}
    rules = learner.state.memory
    memory = nothing_seen(rules, 4)
    assert memory is not None
    memory = memory._replace(start=torch.rand(4, memory.start.shape[1]))
    found = []
    for threads in (1, 2):
        with Sampler(learner.family, 4, 4, trial=trial, threads=threads) as sampler:
            sampler.set_tasks(tasks)
            found.append(sampler.sample(learner.policy, parameters, KEY, memory=memory))
    with Workers(learner.family, 4, 4, shapes, trial=trial, memory=rules, count=2) as workers:
        workers.set_tasks(tasks)
        found.append(workers.sample(learner.policy, parameters, KEY, memory=memory))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("algorithm", ["siamese", "maml-trpo"])
def test_a_resumed_run_goes_on_to_the_same_bits(
    point: envs.TaskFamily, tmp_path: Path, algorithm: str
):
    settings = {**SETTINGS, "algorithm": algorithm, "context": "siamese", "episodes": 2}
    once = metarl.MAML(point, seed=3, **settings).learn(1500)
    parts = metarl.MAML(point, seed=3, **settings).learn(600)
    parts.save(tmp_path / "parts")
    again = metarl.load(tmp_path / "parts.safetensors")
    again.learn(1500 - again.num_timesteps, reset_num_timesteps=False)
    assert again.iteration == once.iteration
    first = once.state.tensors() | once.state.training_tensors()
    second = again.state.tensors() | again.state.training_tensors()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_actor_in_gymnasiums_environment_does_what_the_sampler_did(learner: metarl.MAML):
    """Most likely actions, two episodes in a row, the memory told by hand."""
    task = learner.family.sample_tasks(1, seed=2)
    parameters = {n: v[None] for n, v in learner.parameters.items()}
    memory = nothing_seen(learner.state.memory, 1)
    with Sampler(learner.family, 1, 2, trial=Trial(2)) as sampler:
        sampler.set_tasks(task)
        rollouts = sampler.sample(
            learner.policy, parameters, KEY, memory=memory, deterministic=True
        )
    assert isinstance(learner.family, envs.TaskFamily)
    env, actor = TaskEnv(learner.family, task=task[0]), learner.actor(learner.parameters)
    env.reset(seed=0)
    size = learner.family.observation_size
    for episode in range(2):
        start = rollouts.observations[0, episode, 0, :size].double().numpy()
        observation = env.set_state(np.r_[0.0, start[:5]], start[5:]).astype(np.float32)
        np.testing.assert_allclose(observation, start, atol=1e-5)
        for step in range(int(rollouts.lengths[0, episode])):
            action, _ = actor.predict(observation, deterministic=True)
            expected = rollouts.actions[0, episode, step] * learner.family.action_scale
            np.testing.assert_allclose(action, expected.clamp(-1, 1), atol=5e-3)
            following, reward, *_ = env.step(action)
            actor.remember(observation, action, float(reward), following)
            observation = following
    np.testing.assert_allclose(
        actor.memory[COUNT], float(rollouts.memories[0, 1, COUNT]), rtol=1e-4
    )
    actor.forget()
    assert (actor.memory == 0).all()


def test_an_actor_forgets_with_a_window(learner: metarl.MAML):
    """Its count is a geometric sum; what adaptation left behind is bounded, also after `forget`."""
    actor = learner.adapt(learner.family.sample_tasks(1, seed=2), rollouts=3).actor
    assert actor.memory_window is None
    remembered = actor.memory.copy()
    actor.memory_window = 10
    assert actor.memory_window == 10
    keep = np.exp(-0.1)
    np.testing.assert_allclose(actor.memory[COUNT], 1.0 / (1.0 - keep), rtol=1e-6)
    assert actor.rules
    hidden = actor.rules.encoder.hidden
    np.testing.assert_allclose(
        actor.memory[:hidden] / actor.memory[COUNT],
        remembered[:hidden] / remembered[COUNT],
        rtol=1e-4,
    )
    recent = slice(hidden, COUNT)  # a few transitions with any window
    np.testing.assert_array_equal(actor.memory[recent], remembered[recent])
    actor.memory[:] = 0.0
    zeros = np.zeros(learner.family.observation_size), np.zeros(learner.family.action_size)
    for _ in range(5):
        actor.remember(*zeros, 1.0, zeros[0])
    np.testing.assert_allclose(actor.memory[COUNT], (1.0 - keep**5) / (1.0 - keep), rtol=1e-5)
    actor.forget()
    np.testing.assert_allclose(actor.memory[COUNT], 1.0 / (1.0 - keep), rtol=1e-6)
    blind = metarl.MAML("Point2D", **SMALL).actor()
    with pytest.raises(ValueError, match="no memory to forget with"):
        blind.memory_window = 10


def test_a_log_gives_the_memory_that_the_simulator_gave(learner: metarl.MAML):
    """`adapt_from` on the sampler's own rollouts, told as arrays."""
    tasks = learner.family.sample_tasks(1, seed=2)
    rollouts = learner.sample(tasks, learner.parameters, 3, KEY)
    size, scale = learner.family.observation_size, learner.family.action_scale
    log = metarl.Experience(
        rollouts.observations[0, ..., :size].numpy(),
        rollouts.actions[0].numpy() * scale,
        rollouts.rewards[0].numpy(),
        rollouts.final_observations[0, :, :size].numpy(),
        lengths=rollouts.lengths[0].numpy(),
        terminated=rollouts.terminated[0].numpy(),
    )
    actor = learner.adapt_from(log)
    assert actor.rules
    nothing = torch.zeros(actor.rules.size)
    expected = actor.rules.pooled(nothing, rollouts.memories[0], rollouts.lengths[0]).numpy()
    np.testing.assert_allclose(actor.memory, expected, rtol=1e-3, atol=1e-2)
    for name, value in learner.parameters.items():
        assert torch.equal(actor.parameters[name], value), "the first step is the memory alone"


def test_the_embedding_never_sees_the_tasks_parameters(
    learner: metarl.MAML, monkeypatch: pytest.MonkeyPatch
):
    """After training, a family whose coordinates cannot be asked for still adapts."""

    def refuse(*_: object) -> None:
        raise AssertionError("the task's coordinates were looked at")

    monkeypatch.setattr(envs.TaskFamily, "coordinates", refuse)
    adapted = learner.adapt(learner.family.sample_tasks(1, seed=4), rollouts=2, steps=2)
    assert adapted.returns.shape == (3, 2)
    assert (adapted.actor.memory != 0).any()
    report = metarl.evaluate(learner, tasks=3, rollouts=2, steps=2)
    assert report.settings["inner_lrs"][0] == 0.0
    assert report.returns.shape == (1, 3, 3)


def test_one_encoder_a_run_serves_similarity_too(learner: metarl.MAML, tmp_path: Path):
    similarity = metarl.train_similarity(learner, tasks=12, rollouts=2)
    words = "loss configures the training of a new encoder; this policy already has one"
    with pytest.raises(ValueError, match=words):
        metarl.train_similarity(learner, tasks=12, rollouts=2, loss="triplet")
    with pytest.raises(ValueError, match="iterations configures the training of a new encoder"):
        metarl.train_similarity(learner, tasks=12, rollouts=2, iterations=5)
    memory = learner.state.memory
    assert memory is not None
    for name, value in memory.encoder.state_dict().items():
        assert torch.equal(similarity.encoder.state_dict()[name], value)
    assert similarity.config.embedding_size == 3
    tasks = learner.family.sample_tasks(3, seed=9)
    whole = nothing_seen(memory, 3)
    assert whole is not None
    whole = whole.never_forgetting()  # the embedding is of the whole window
    rollouts = learner.sample(tasks, learner.parameters, 2, Key(9, Phase.SIMILARITY), memory=whole)
    # the embedding is what the memory takes a task for, without the patience and the scale
    embedding = similarity.embed_each(rollouts)
    count = memory.count(rollouts.memories)
    context = memory.context(rollouts.memories) * SCALE / (1.0 - torch.exp(-count / PATIENCE))
    torch.testing.assert_close(embedding, context.detach(), rtol=1e-3, atol=1e-4)
    similarity.save(tmp_path / "encoder.safetensors")
    again = metarl.Similarity.load(tmp_path / "encoder.safetensors")
    assert torch.equal(again.embed_each(rollouts), embedding)


def test_an_iteration_of_one_task_teaches_the_encoder_too():
    """Of two tasks, two draws are the same one every other time; where it lies is known."""
    family = envs.make("HalfCheetahDir", horizon=6)
    learner = siamese(family, tasks=2, seed=0)
    state, seen = learner.state, set()
    with training_sampler(state, learner.recipe, family) as sampler:
        for iteration in range(8):
            before = state.encoder
            stages = roll_out(state, learner.recipe, family, sampler)
            state, progress = update(state, learner.recipe, family, stages)
            assert progress.encoder_loss is not None
            assert state.encoder is not before
            seen.add(len(set(family.sample_tasks(2, seed=(0, iteration))["direction"])))
    assert seen == {1, 2}
    with pytest.raises(ValueError, match="tasks must be at least 2 with a context"):
        siamese(family, tasks=1)


def test_steps_that_fail_leave_the_encoder_as_it_was(point: envs.TaskFamily):
    learner = siamese(point, encoder_lr=1e6, seed=0)
    before = learner.state.encoder
    assert before is not None
    learner.learn(2 * 100)
    assert learner.iteration >= 2
    after = learner.state.encoder
    assert after is not None
    for name, value in before.acting_tensors().items():
        assert torch.equal(after.acting_tensors()[name], value)


def test_numbers_that_are_not_finite_are_not_remembered(learner: metarl.MAML):
    actor, rng = learner.actor(), np.random.default_rng(0)
    size, actions = actor.observation_size, learner.family.action_size
    good = rng.standard_normal(size), rng.standard_normal(actions), 1.0, rng.standard_normal(size)
    actor.remember(*good)
    before = actor.memory.copy()
    for place, name in enumerate(("observation", "action", "reward", "next_observation")):
        bad = [np.array(each) for each in good]
        bad[place] = np.full_like(bad[place], np.nan)
        with pytest.raises(ValueError, match=f"^{name} is not finite"):
            actor.remember(*bad)  # type: ignore[arg-type]
        bad[place] = np.zeros((*bad[place].shape, 1))
        with pytest.raises(ValueError, match=f"^{name} must be "):
            actor.remember(*bad)  # type: ignore[arg-type]
    np.testing.assert_array_equal(actor.memory, before)
    with pytest.raises(ValueError, match="an observation is not finite"):
        actor.predict(np.full(size, np.inf))
    for memories in (np.zeros((3, len(before))), np.zeros((2, 5))):
        with pytest.raises(ValueError, match=r"state must hold memories \[2, "):
            actor.predict(np.zeros((2, size)), state=(memories,))
    assert actor.predict(np.zeros((2, size)), state=(before,))[0].shape == (2, actions)


def test_a_family_of_one_task_has_nothing_to_remember():
    with pytest.raises(ValueError, match="a single task: there is none to tell from others"):
        siamese(envs.make("HalfCheetahMass").replace(dynamics=()))


def test_the_tolerance_is_what_unchanging_tasks_ask_for():
    """Twice the distance below which 99 of 100 steps are, from sums written out."""
    generator = torch.Generator().manual_seed(0)
    encoder = SiameseEncoder(3, 2, 4, 16, generator=generator)
    window = torch.randn(3, 2, 20, encoder.transition_size, generator=generator)
    valid = torch.ones(3, 2, 20, dtype=torch.bool)
    valid[1, 1, 8:] = False
    distances = []
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if name in ("each.2.weight", "whole.2.weight"):  # further apart than a fifth of 5
                weight.mul_(30.0)
        for task in range(3):
            for rollout in range(2):
                features = encoder.features(window[task, rollout])
                for step in range(20):
                    if not valid[task, rollout, step]:
                        continue
                    so_far = features[: step + 1]
                    fading = torch.exp(-torch.arange(step, -1, -1.0) / 5.0)[:, None]
                    recent = (fading * so_far).sum(0) / fading.sum()
                    apart = encoder.whole(so_far.mean(0)) - encoder.whole(recent)
                    distances.append(float(apart.norm()))
    assert len(distances) == 108
    expected = 2.0 * sorted(distances)[106]
    assert expected > LEAST_TOLERANCE
    assert tolerance_of(encoder, window, valid) == pytest.approx(expected, rel=1e-4)
    assert tolerance_of(encoder, 0.0 * window, valid) == LEAST_TOLERANCE


def test_what_training_sets_of_the_memory_is_saved_from_then_on(tmp_path: Path):
    """Tolerance and bounds: files of before there were any forget nothing and have none."""
    family = envs.make("Point2D", horizon=8)
    learner = siamese(family)
    assert learner.state.memory
    assert math.isinf(learner.state.memory.tolerance), "nothing is learned yet"
    assert learner.state.memory.bounds is None
    learner.save(tmp_path / "new.safetensors")
    again = metarl.load(tmp_path / "new.safetensors")
    assert again.state.memory
    assert math.isinf(again.state.memory.tolerance)
    assert again.state.memory.bounds is None
    again.learn(1)
    trained = again.state.memory
    assert math.isfinite(trained.tolerance)
    assert trained.bounds is not None
    goals = family.coordinates(family.sample_tasks(MAPPED, seed=0))
    places = task_map(goals, trained.context_size).places(goals)
    assert torch.equal(trained.bounds, torch.stack([places.amin(0), places.amax(0)]))
    assert not trained.bounds[:, 2:].any(), "a goal is two numbers"
    again.save(tmp_path / "new.safetensors")
    last = metarl.load(tmp_path / "new.safetensors").state.memory
    assert last
    assert last.tolerance == trained.tolerance
    assert last.bounds is not None
    assert torch.equal(last.bounds, trained.bounds)


def test_files_of_before_act_as_they_did(learner: metarl.MAML, tmp_path: Path):
    """Without a change of reward and the cost of actions.

    The input that they lack counts nothing, until training goes on; rewards are as they come.
    """
    encoders = {"context/mean": 0.0, "context/std": 1.0, "context/each.0.weight": 0.0}
    encoders |= {f"encoder/learning/{n.removeprefix('context/')}": v for n, v in encoders.items()}
    encoders |= {"encoder/moments/mean": 0.0, "encoder/moments/variance": 1.0}
    encoders |= {f"encoder/adam/{kind}.each.0.weight": 0.0 for kind in ("mean", "square")}
    learner.save(tmp_path / "new.safetensors")
    tensors, data = checkpoint.read(tmp_path / "new.safetensors")
    counts_nothing = {}
    for name, value in encoders.items():
        counts_nothing[name] = tensors[name].clone()
        counts_nothing[name][..., -1] = value
    before = {name: tensors[name][..., :-1].contiguous() for name in encoders}
    for part in ("context/", "encoder/learning/"):
        cost = tensors.pop(part + "cost_of_actions")
        assert (cost[0] > 0.0).all()
        counts_nothing[part + "cost_of_actions"] = torch.zeros_like(cost)
    learners = []
    for number, part in enumerate((counts_nothing, before)):
        path = tmp_path / f"{number}.safetensors"
        checkpoint.write(path, tensors | part, data)
        learners.append(metarl.MAML.load(path))
    same, old = learners
    assert old.fingerprint == same.fingerprint
    tasks = old.family.sample_tasks(2, seed=0)
    actions = [each.sample(tasks, each.parameters, 2, KEY).actions for each in learners]
    assert actions[0].equal(actions[1])
    for each in learners:
        each.learn(1)
    assert old.fingerprint == same.fingerprint
    assert old.state.memory
    weight = old.state.memory.encoder.get_parameter("each.0.weight")
    assert (weight[:, -1] != 0.0).any(), "what was added is learned from"


def test_a_similarity_of_before_embeds_as_it_did(learner: metarl.MAML, tmp_path: Path):
    similarity = metarl.train_similarity(learner, tasks=12, rollouts=2)
    with torch.no_grad():
        similarity.encoder.get_parameter("each.0.weight")[:, -1] = 0.0
        similarity.encoder.cost_of_actions.zero_()
    tensors, data = similarity.contents()
    del tensors["encoder/cost_of_actions"]
    for name in ("encoder/each.0.weight", "encoder/mean", "encoder/std"):
        tensors[name] = tensors[name][..., :-1].contiguous()
    del data["sees_change_of_reward"]
    checkpoint.write(tmp_path / "old.safetensors", tensors, data, kind=KIND)
    old = metarl.Similarity.load(tmp_path / "old.safetensors")
    tasks = learner.family.sample_tasks(3, seed=9)
    rollouts = learner.sample(tasks, learner.parameters, 2, KEY)
    torch.testing.assert_close(old.embed_each(rollouts), similarity.embed_each(rollouts))


def test_a_similarity_of_today_is_not_taken_for_one_of_before(learner: metarl.MAML, tmp_path: Path):
    """Without a column of its first layer it is damaged, which zeros would hide."""
    tensors, data = metarl.train_similarity(learner, tasks=12, rollouts=2).contents()
    weight = "encoder/each.0.weight"
    tensors[weight] = tensors[weight][..., :-1].contiguous()
    checkpoint.write(tmp_path / "damaged.safetensors", tensors, data, kind=KIND)
    with pytest.raises(ValueError, match="damaged"):
        metarl.Similarity.load(tmp_path / "damaged.safetensors")


def test_an_actor_notices_where_an_episode_begins(learner: metarl.MAML):
    """Also when the caller's array is used again; and it believes what it is told."""
    rules = learner.state.memory
    assert rules
    size, acts = learner.family.observation_size, learner.family.action_size
    seen = np.random.default_rng(0).normal(size=(5, size)).astype(np.float32)

    def last_changes(begins: list[bool | None], skips: int = 0) -> list[float]:
        """Return what each reward is compared with: 0 where an episode begins."""
        actor, buffer, result = learner.actor(), np.empty(size, np.float32), []
        for step, begin in enumerate(begins):
            before = seen[step] if step != skips else -seen[step]
            buffer[:] = seen[step + 1]
            compared = rules.change_of_reward(torch.from_numpy(actor.memory), torch.zeros(1))
            noted = actor.memory.copy()
            actor.remember(before.copy(), np.zeros(acts), 1.0 + step, buffer, begins=begin)
            expected = learner.actor()
            expected.memory = noted
            expected.remember(before, np.zeros(acts), 1.0 + step, seen[step + 1], begins=False)
            goes_on = np.array_equal(actor.memory, expected.memory)
            result.append(float(compared) if goes_on else 0.0)
        return result

    assert last_changes([None] * 4) == [0.0, -1.0, -2.0, -3.0]
    assert last_changes([None] * 4, skips=2) == [0.0, -1.0, 0.0, -3.0]
    assert last_changes([True, False, False, True], skips=2) == [0.0, -1.0, -2.0, 0.0]


def test_moments_of_other_inputs_are_refused(learner: metarl.MAML, tmp_path: Path):
    learner.save(tmp_path / "saved.safetensors")
    tensors, data = checkpoint.read(tmp_path / "saved.safetensors")
    tensors["encoder/moments/mean"] = tensors["encoder/moments/mean"][:3].contiguous()
    checkpoint.write(tmp_path / "other.safetensors", tensors, data)
    with pytest.raises(ValueError, match="moments are of other inputs"):
        metarl.MAML.load(tmp_path / "other.safetensors")


def test_bounds_are_for_the_tasks_of_others():
    """Training explores without them."""
    learner = siamese(envs.make("Point2D", horizon=8)).learn(1)
    encoder = learner.state.encoder
    assert encoder
    narrow = replace(encoder.memory, bounds=torch.zeros(2, 3))
    learner.state = replace(learner.state, encoder=replace(encoder, memory=narrow))
    tasks = learner.family.sample_tasks(SETTINGS["tasks"], seed=0)
    evaluated = learner.sample(tasks, learner.parameters, 2, KEY)
    assert not evaluated.observations[..., -3:].any()
    with learner.sampler(SETTINGS["tasks"], SETTINGS["rollouts"]) as sampler:
        (stage,) = roll_out(learner.state, learner.recipe, learner.family, sampler)
    assert stage.rollouts.observations[..., -3:].any()
