"""Random streams: reproducible, distinct, independent of who draws."""

import numpy as np
import pytest

from metarl.sampling.streams import Key, Phase, Purpose, stream, streams


def draws(*args) -> tuple[float, ...]:
    return tuple(stream(*args).random(4))


def test_every_part_of_the_key_matters_and_nothing_else():
    base = Key(3, Phase.TRAIN, 5, 1)
    keys = [
        (base, Purpose.NOISE, 2, 7),
        (base._replace(seed=4), Purpose.NOISE, 2, 7),
        (base._replace(phase=Phase.EVALUATE), Purpose.NOISE, 2, 7),
        (base._replace(iteration=6), Purpose.NOISE, 2, 7),
        (base._replace(step=2), Purpose.NOISE, 2, 7),
        (base, Purpose.START, 2, 7),
        (base, Purpose.NOISE, 3, 7),
        (base, Purpose.NOISE, 2, 8),
    ]
    assert len({draws(*key) for key in keys}) == len(keys)
    assert draws(*keys[0]) == draws(*keys[0])


def test_start_states_are_the_same_at_every_inner_step():
    before, after = Key(0, Phase.EVALUATE, step=0), Key(0, Phase.EVALUATE, step=3)
    assert draws(before, Purpose.START, 1, 2) == draws(after, Purpose.START, 1, 2)


def test_neighbouring_streams_are_not_correlated():
    key = Key(0, Phase.TRAIN)
    table = np.stack([stream(key, Purpose.NOISE, 0, r).standard_normal(4000) for r in range(8)])
    correlation = np.corrcoef(table) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


def test_streams_are_philox_by_key_and_counter():
    key, numbers = Key(3, Phase.EVALUATE, 5, 1), [(2, 7), (0, 0), (2, 8)]
    words = np.array([3, (1 << 48) | (1 << 32) | 1], np.uint64)
    several = streams(key, Purpose.NOISE, numbers)
    for (task, rollout), generator in zip(numbers, several, strict=True):
        counter = np.array([0, rollout, task, 5], np.uint64)
        expected = np.random.Generator(np.random.Philox(key=words, counter=counter))
        drawn = expected.standard_normal(7, np.float32)  # half a word is left over
        np.testing.assert_array_equal(generator.standard_normal(7, np.float32), drawn)
        alone = stream(key, Purpose.NOISE, task, rollout)
        np.testing.assert_array_equal(alone.standard_normal(7, np.float32), drawn)


def test_a_seed_that_is_no_word_of_a_key_is_named():
    for seed in (-1, 2**63):
        with pytest.raises(ValueError, match=f"seed must be a whole number .*, got {seed}"):
            stream(Key(seed, Phase.ADAPT), Purpose.NOISE, 0, 0)
