"""The per-task value fit against ordinary least squares."""

import math

import numpy as np
import pytest
import torch

from metarl.agents import baseline


def test_fits_each_task_as_least_squares_does():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 200, 6, generator=generator, dtype=torch.float64)
    targets = torch.randn(3, 200, generator=generator, dtype=torch.float64)
    valid = torch.rand(3, 200, generator=generator) < 0.7
    values = baseline.predict(baseline.fit(inputs, targets, valid, ridge=1e-12), inputs)
    for task in range(3):
        x, y = inputs[task][valid[task]].numpy(), targets[task][valid[task]].numpy()
        solution = np.linalg.lstsq(x, y, rcond=None)[0]
        np.testing.assert_allclose(values[task], inputs[task].numpy() @ solution, atol=1e-8)


def test_what_is_not_valid_does_not_matter():
    inputs = torch.randn(1, 50, 3, dtype=torch.float64)
    targets = torch.randn(1, 50, dtype=torch.float64)
    valid = torch.arange(50)[None] < 30
    expected = baseline.fit(inputs, targets, valid)
    inputs[:, 30:], targets[:, 30:] = 1e6, -1e6
    torch.testing.assert_close(baseline.fit(inputs, targets, valid), expected)


def test_constant_and_collinear_features_are_no_problem():
    observation = torch.zeros(2, 4, 10, 5)
    inputs = baseline.features(observation, torch.arange(10)).flatten(1, 2)
    targets = torch.arange(10.0).repeat(2, 4)
    weights = baseline.fit(inputs, targets, torch.ones(2, 40, dtype=torch.bool))
    torch.testing.assert_close(
        baseline.predict(weights, inputs), targets.double(), atol=0.02, rtol=0
    )


def test_features_are_those_of_the_paper():
    feature = baseline.features(torch.tensor([2.0, -30.0]), torch.tensor(50))
    expected = [2.0, -10.0, 4.0, 100.0, 0.5, 0.25, 0.125, 1.0]
    assert feature.tolist() == expected


def test_features_of_continued_episodes_are_those_of_the_time_since():
    continued = torch.tensor([True, False]).unsqueeze(-1)
    observation = torch.ones(2, 2, 3)
    feature = baseline.features(observation, torch.tensor([0, 20]), continued)
    usual = baseline.features(observation, torch.tensor([0, 20]))
    assert torch.equal(feature[..., :-5], usual)
    feature = feature[..., -5:]
    assert feature[0, 0].tolist() == [1.0, 0.0, 0.0, 1.0, 1.0]
    expected = [1.0, 0.2, 0.04, math.exp(-4.0), math.exp(-1.0)]
    assert feature[0, 1].tolist() == pytest.approx(expected)
    assert not feature[1].any()


def test_fits_many_features_on_several_threads():
    """As many as contact forces bring; compared with numpy, task by task."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 2000, 544, generator=generator, dtype=torch.float64)
    targets = torch.randn(3, 2000, generator=generator, dtype=torch.float64)
    weights = baseline.fit(inputs, targets, torch.ones(3, 2000, dtype=torch.bool), ridge=1e-9)
    for task in range(3):
        expected, *_ = np.linalg.lstsq(inputs[task].numpy(), targets[task].numpy(), rcond=None)
        np.testing.assert_allclose(weights[task].numpy(), expected, atol=1e-6)
