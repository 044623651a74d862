"""The skill library: found, blended, used in adaptation, saved, refused."""

import dataclasses
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import metarl
from metarl import envs
from metarl.experience.rollouts import Rollouts
from metarl.learner.inner_loop import inner_step
from metarl.sampling.streams import Key, Phase
from metarl.skills.similarity import before_adaptation
from metarl.system import checkpoint
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def point_learner() -> metarl.MAML:
    return metarl.MAML(envs.make("Point2D", horizon=12), seed=3, **SMALL)


@pytest.fixture(scope="module")
def library(point_learner: metarl.MAML) -> metarl.SkillLibrary:
    similarity = metarl.train_similarity(point_learner, tasks=60, window=12, iterations=200)
    return metarl.SkillLibrary.build(point_learner, similarity, tasks=20, rollouts=6, steps=2)


def seen(learner: metarl.MAML, tasks: envs.Tasks, rollouts: int = 1) -> Rollouts:
    return before_adaptation(learner, tasks, rollouts, Key(4, Phase.SIMILARITY))


def test_keeps_the_best_stage_of_every_task(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    stages = list(
        point_learner.adaptation(library.tasks, 6, [0.5, 0.5], Key(0, Phase.SIMILARITY, 2))
    )
    returns = torch.stack([stage.rollouts.returns.double().mean(1) for stage in stages])
    best = returns.argmax(0)
    assert len(best.unique()) > 1
    assert len(library) == 20
    for task in range(20):
        for name, value in library.parameters.items():
            assert value[task].equal(stages[int(best[task])].parameters[name][task])
    np.testing.assert_array_equal(library.returns[:, 0], returns[0])
    np.testing.assert_array_equal(library.returns[:, 1], returns.max(0).values)


def test_a_stage_before_the_first_step_is_kept_whole():
    """A context is no parameter before the first step: where that was best it is all zeros."""
    cavia = metarl.MAML(
        envs.make("Point2D", horizon=12), **{**SMALL, "inner_lr": 30.0}, algorithm="cavia"
    )
    similarity = metarl.train_similarity(cavia, tasks=10, rollouts=2, hidden=8, iterations=2)
    library = metarl.SkillLibrary.build(cavia, similarity, tasks=20, rollouts=6, steps=1)
    unchanged = library.returns[:, 0] == library.returns[:, 1]
    assert unchanged.any()
    assert not unchanged.all()
    still = (library.parameters["context"] == 0.0).all(1).numpy()
    np.testing.assert_array_equal(still, unchanged)


def test_an_encoder_of_another_learner_is_refused(library: metarl.SkillLibrary):
    other = metarl.MAML(envs.make("Point2D", horizon=12), seed=4, **SMALL)
    with pytest.raises(ValueError, match="encoder was trained on another policy"):
        metarl.SkillLibrary.build(other, library.similarity, tasks=4)


def test_a_task_far_from_the_only_skill_takes_the_ordinary_step(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    """Also when the encoder knows tasks like it: what counts are skills."""
    far = point_learner.family.task({"x": -0.45, "y": -0.45})
    corner = point_learner.family.task({"x": 0.45, "y": 0.45})
    alone = metarl.SkillLibrary.build(
        point_learner, library.similarity, tasks=corner, rollouts=6, steps=1
    )
    rollouts = seen(point_learner, far, 20)
    known = float(library.similarity.nearest(rollouts)[0])
    skill = float(alone.nearest(rollouts)[0])
    assert known < skill
    between = dataclasses.replace(library.similarity, threshold=(known + skill) / 2.0)
    alone = dataclasses.replace(alone, similarity=between)
    assert not between.is_novel(rollouts).any()
    stepped = {name: value[:1] for name, value in library.parameters.items()}
    with pytest.warns(UserWarning, match="1 of 1 tasks"):
        _same(alone.first_step(rollouts, stepped), stepped)


def test_blend_by_hand(point_learner: metarl.MAML, library: metarl.SkillLibrary):
    tasks = point_learner.family.sample_tasks(3, seed=1, split="test")
    rollouts = seen(point_learner, tasks)
    new = library.similarity.embed(rollouts).double().numpy()
    blend = library.blend(rollouts)
    for task in range(3):
        distances = np.linalg.norm(library.embeddings.double().numpy() - new[task], axis=1)
        near = np.argsort(distances)[:3]
        weights = distances[near] ** -2 / (distances[near] ** -2).sum()
        for name, value in library.parameters.items():
            expected = np.tensordot(weights, value[near].double().numpy(), axes=1)
            np.testing.assert_allclose(blend[name][task], expected, rtol=2e-3, atol=1e-4)


def test_the_first_step_is_the_blend_and_the_next_ones_are_gradient_steps(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    tasks = library.tasks[:4]
    plain = list(point_learner.adaptation(tasks, 3, [0.5, 0.5], Key(0, Phase.ADAPT)))
    helped = list(point_learner.adaptation(tasks, 3, [0.5, 0.5], Key(0, Phase.ADAPT), library))
    rollouts = plain[0].rollouts
    known = torch.from_numpy(~library.similarity.is_novel(rollouts))
    assert known.sum() > 1
    blend = library.blend(rollouts)
    for name, value in blend.items():
        assert helped[0].parameters[name].equal(plain[0].parameters[name])
        assert helped[1].parameters[name][known].equal(value[known])
        assert not helped[2].parameters[name].equal(helped[1].parameters[name])


def test_an_unlike_task_takes_the_ordinary_step_and_says_so(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    none_known = dataclasses.replace(
        library, similarity=dataclasses.replace(library.similarity, threshold=0.0)
    )
    key = Key(0, Phase.ADAPT)
    plain = list(point_learner.adaptation(library.tasks[:2], 3, [0.5], key))
    with pytest.warns(UserWarning, match="2 of 2 tasks are unlike all that the library knows"):
        helped = list(point_learner.adaptation(library.tasks[:2], 3, [0.5], key, none_known))
    for name, value in plain[1].parameters.items():
        assert helped[1].parameters[name].equal(value)
    with pytest.warns(UserWarning, match="unlike all"):
        metarl.evaluate(point_learner, tasks=2, rollouts=2, steps=1, library=none_known)
    with pytest.warns(UserWarning, match="unlike all"):
        point_learner.adapt({"x": 0.1, "y": 0.2}, rollouts=2, library=none_known)


def test_a_skill_of_an_unusual_task_makes_it_known(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    """Skills that are appended count, also of tasks that the encoder was not trained on."""
    outside = point_learner.family.sample_tasks(30, seed=0, split="extrapolate")
    distances = library.similarity.nearest(seen(point_learner, outside, 4))[0][:, 0]
    unusual = outside[distances.argsort(descending=True)[:4].numpy()]
    grown = library.joined(
        metarl.SkillLibrary.build(
            point_learner, library.similarity, tasks=unusual, rollouts=6, steps=1
        )
    )
    rollouts = seen(point_learner, unusual, 4)
    stepped = {name: torch.zeros_like(value[:4]) for name, value in library.parameters.items()}
    with pytest.warns(UserWarning, match="4 of 4"):
        library.first_step(rollouts, stepped)
    close = grown.nearest(rollouts)[0][:, 0] <= library.similarity.threshold
    assert close.any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some may still lie too far
        found, blend = grown.first_step(rollouts, stepped), grown.blend(rollouts)
    assert all(value[close].equal(blend[name][close]) for name, value in found.items())


def test_grows_by_joining(point_learner: metarl.MAML, library: metarl.SkillLibrary):
    more = metarl.SkillLibrary.build(
        point_learner, library.similarity, tasks=5, rollouts=6, steps=1, seed=7
    )
    grown = library.joined(more)
    assert len(grown) == 25
    assert grown.tasks[22] == more.tasks[2]
    assert grown.embeddings[22].equal(more.embeddings[2])
    assert grown.returns[22].tolist() == more.returns[2].tolist()
    assert all(
        value[22].equal(more.parameters[name][2]) for name, value in grown.parameters.items()
    )
    other = dataclasses.replace(more, origin="0")
    with pytest.raises(ValueError, match="one learner and one encoder"):
        library.joined(other)


def test_experience_of_ones_own_finds_skills_and_adapts(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    """The same data gives the same policy whether a simulator or a robot made it."""
    task = library.tasks[3]
    adapted = point_learner.adapt(task, rollouts=2, seed=5, library=library)
    stage = next(
        point_learner.adaptation(library.tasks[3:4], 2, [0.5], Key(5, Phase.ADAPT))
    ).rollouts
    experience = metarl.Experience(
        stage.observations[0].numpy(),
        stage.actions[0].numpy() * point_learner.family.action_scale,
        stage.rewards[0].numpy(),
        stage.final_observations[0].numpy(),
    )
    brought = point_learner.adapt_from(experience, library=library)
    for name, value in adapted.actor.parameters.items():
        torch.testing.assert_close(brought.parameters[name], value)
    _, expected = library.nearest(stage, 2)
    assert library.nearest(point_learner.as_rollouts(experience), 2)[1].equal(expected)


@pytest.mark.timed
def test_thousands_of_skills_are_searched_in_little_more_time_than_a_few(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    many = library
    while len(many) < 5000:
        many = many.joined(many)
    rollouts = seen(point_learner, library.tasks[:1])
    times: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(500):  # some fall between the times that others want the core
        for name, skills in (("few", library), ("many", many)):
            began = time.perf_counter()
            skills.nearest(rollouts, 3)
            times[name].append(time.perf_counter() - began)
    few, many_of_them = min(times["few"]), min(times["many"])
    # 0.76 and 0.88 ms on a slow core, where the embedding of the rollout takes most of both
    assert many_of_them < 1.5 * few
    assert few < 5e-3


def test_saved_and_loaded_it_is_the_same(
    point_learner: metarl.MAML, library: metarl.SkillLibrary, tmp_path: Path
):
    path = tmp_path / "skills.safetensors"
    library.save(path)
    loaded = metarl.SkillLibrary.load(path)
    loaded.check(point_learner)
    rollouts = seen(point_learner, library.tasks[:3])
    _same(loaded.blend(rollouts), library.blend(rollouts))
    assert loaded.tasks == library.tasks
    np.testing.assert_array_equal(loaded.returns, library.returns)
    assert len(loaded.joined(library)) == 40


def test_damaged_and_foreign_files_are_refused(library: metarl.SkillLibrary, tmp_path: Path):
    path = tmp_path / "skills.safetensors"
    library.save(path)
    with pytest.raises(ValueError, match="checkpoint of a skill library, not of a similarity"):
        metarl.Similarity.load(path)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        metarl.SkillLibrary.load(torn)
    tensors, data = checkpoint.read(path, kind="skill library")
    lacking = {name: value for name, value in tensors.items() if name != "library/returns"}
    short = {**tensors, "library/embeddings": tensors["library/embeddings"][:3]}
    for broken, message in ((lacking, "it lacks 'library/returns'"), (short, "not every skill")):
        checkpoint.write(tmp_path / "part.safetensors", broken, data, kind="skill library")
        with pytest.raises(ValueError, match=message):
            metarl.SkillLibrary.load(tmp_path / "part.safetensors")


def test_skills_of_another_learner_are_refused(library: metarl.SkillLibrary, tmp_path: Path):
    other = metarl.MAML(envs.make("Point2D", horizon=12), seed=4, **SMALL)
    with pytest.raises(ValueError, match="started from other parameters than this learner's"):
        metarl.evaluate(other, tasks=2, rollouts=2, steps=1, library=library)
    with pytest.raises(ValueError, match="other parameters"):
        other.adapt({"x": 0.1, "y": 0.2}, library=library)
    library.save(tmp_path / "skills.safetensors")
    loaded = metarl.SkillLibrary.load(tmp_path / "skills.safetensors")
    with pytest.raises(ValueError, match=r"library .*skills\.safetensors .*metarl similarity RUN"):
        loaded.check(other)


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(value.equal(second[name]) for name, value in first.items())


def test_steps_after_the_first_are_gradient_steps(
    point_learner: metarl.MAML, library: metarl.SkillLibrary
):
    key = Key(0, Phase.ADAPT)
    stages = list(point_learner.adaptation(library.tasks, 3, [0.5, 0.5], key, library))
    recipe = point_learner.recipe
    expected = inner_step(point_learner.policy, stages[1], recipe, recipe.inner(0.5))
    for name, value in expected.items():
        torch.testing.assert_close(stages[2].parameters[name], value)
