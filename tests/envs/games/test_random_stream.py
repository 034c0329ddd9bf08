"""The counter-based stream: reproducible, uniform, and without visible dependence."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import stats

from maskrl.envs.games.random_stream import below, draw, stream_keys, uniform


@njit
def _uniforms(key, start, out):
    for k in range(out.shape[0]):
        out[k] = uniform(key, start + k)


def test_uniforms_are_uniform_and_in_range() -> None:
    """Kolmogorov-Smirnov on 50,000 draws of a fixed seed; p would be below 0.001 once in 1000."""
    out = np.empty(50_000)
    _uniforms(stream_keys(0, 1)[0], 0, out)
    assert out.min() >= 0 and out.max() < 1
    assert stats.kstest(out, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(out[:-1], out[1:])[0, 1]) < 0.02


def test_streams_of_one_seed_differ_and_a_seed_gives_the_same_ones() -> None:
    keys = stream_keys(3, 1000)
    assert len(set(keys.tolist())) == 1000
    np.testing.assert_array_equal(keys, stream_keys(3, 1000))
    first, second = np.empty(10_000), np.empty(10_000)
    _uniforms(keys[0], 0, first)
    _uniforms(keys[1], 0, second)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.04


def test_a_draw_depends_on_key_and_counter_only() -> None:
    key = stream_keys(1, 1)[0]
    assert draw(key, 5) == draw(key, 5) != draw(key, 6)
    assert {below(key, k, 6) for k in range(200)} == set(range(6))
