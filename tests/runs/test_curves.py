"""Curves of several runs, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import ConfigError
from maskrl.runs.curves import (
    area_under_curve,
    bin_ends,
    binned_means,
    curve_band,
    median_steps,
    steps_to_threshold,
)
from maskrl.runs.statistics import bootstrap_interval, interquartile_mean

INF, NAN = float("inf"), float("nan")


def test_bins_hold_what_ended_in_them():
    ends = bin_ends(40, 4)
    assert ends.tolist() == [10.0, 20.0, 30.0, 40.0]
    # 10 belongs to the first bin, 11 to the second; 41 to none; NaN to none.
    found = binned_means([11, 2, 10, 35, 41, 5], [4.0, 1.0, 3.0, 7.0, 99.0, NAN], ends)
    assert found.tolist() == [2.0, 4.0, 4.0, 7.0]
    late = binned_means([25], [5.0], ends)
    assert np.isnan(late[:2]).all() and late[2:].tolist() == [5.0, 5.0]


def test_a_band_is_the_interquartile_mean_and_its_interval():
    curves = np.array([[0.0, 1.0, NAN], [2.0, 1.0, 5.0], [4.0, 1.0, 5.0], [99.0, 1.0, 5.0]])
    band = curve_band(curves, [1, 2, 3], resamples=10_000)
    assert band.middle[:2].tolist() == [3.0, 1.0]  # (2 + 4) / 2
    assert (band.low[1], band.high[1]) == (1.0, 1.0)
    low, high = bootstrap_interval(curves[:, 0])
    assert band.low[0] == pytest.approx(low, abs=1.5)
    assert band.high[0] == pytest.approx(high, abs=15)
    assert band.low[0] < 3.0 < band.high[0]
    assert np.isnan([band.middle[2], band.low[2], band.high[2]]).all()
    alone = curve_band([[1.0, 2.0]], [1, 2])
    assert alone.low.tolist() == alone.middle.tolist() == alone.high.tolist() == [1.0, 2.0]


def test_the_two_ends_of_two_runs_are_known_exactly():
    # Resamples of (0, 1): 00, 01, 10, 11, means 0, 1/2, 1/2, 1: the 95% interval is (0, 1).
    band = curve_band([[0.0], [1.0]], [1])
    assert (band.low[0], band.middle[0], band.high[0]) == (0.0, 0.5, 1.0)
    half = curve_band([[0.0], [1.0]], [1], confidence=0.4)
    assert (half.low[0], half.high[0]) == (0.5, 0.5)


def test_the_area_is_the_mean_height():
    assert area_under_curve([0.0, 10.0, 20.0]) == 10.0
    assert area_under_curve([NAN, NAN, 4.0, 8.0]) == 5.0  # (4 + 4 + 4 + 8) / 4
    assert np.isnan(area_under_curve([NAN]))


def test_a_threshold_is_reached_by_a_mean_of_episodes():
    step, value = [10, 20, 30, 40, 50], [0.0, 4.0, 0.0, 2.0, 2.0]
    assert steps_to_threshold(step, value, 2.0, window=1) == 20.0
    assert steps_to_threshold(step, value, 2.0, window=2) == 20.0  # (0 + 4) / 2
    assert steps_to_threshold(step, value, 2.0, window=3) == 40.0  # (4 + 0 + 2) / 3
    assert steps_to_threshold(step, value, 2.0, window=4) == 50.0  # (4 + 0 + 2 + 2) / 4
    assert steps_to_threshold(step, value, 2.0, window=5) == INF
    assert steps_to_threshold(step, value, 2.0, window=6) == INF
    # A long run of thirds is exactly at its mean, however many come before.
    thirds = np.concatenate([np.full(1000, 1e9), np.full(10, 0.1)])
    assert steps_to_threshold(np.arange(1010), -thirds, -0.1) == 1009.0


def test_the_median_counts_those_that_never_arrived():
    assert median_steps([3.0, 1.0, 2.0]) == 2.0
    assert median_steps([1.0, 2.0, 4.0, INF]) == 3.0
    assert median_steps([1.0, 2.0, INF, INF]) == INF
    assert median_steps([1.0, INF, INF]) == INF


def test_interquartile_means_agree():
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(7, 5))
    band = curve_band(curves, range(5))
    assert band.middle.tolist() == pytest.approx([interquartile_mean(c) for c in curves.T])


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: bin_ends(0, 3), "positive number of steps"),
        (lambda: bin_ends(3, 0), "positive number of steps"),
        (lambda: binned_means([1], [1.0, 2.0], [1]), r"step has shape \(1,\), value \(2,\)"),
        (lambda: steps_to_threshold([1], [1.0], 0.0, window=0), "window must be at least 1"),
        (lambda: curve_band(np.zeros((0, 2)), [1, 2]), "at least one run"),
        (lambda: curve_band([[1.0]], [1, 2]), r"expected \[runs, K\]"),
        (lambda: curve_band([[1.0]], [1], confidence=0), r"confidence must be in \(0, 1\)"),
        (lambda: median_steps([]), "no run"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ConfigError, match=complaint):
        call()
