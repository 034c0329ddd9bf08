"""Summaries over seeds, against hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from maskrl.errors import ConfigError
from maskrl.runs.statistics import (
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
    seed_groups,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0], 1.5),
        ([0.0, 1.0, 2.0, 99.0], 1.5),  # (1 + 2) / 2
        ([9.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, -9.0], 2.5),  # (1 + 2 + 3 + 4) / 4
        ([[0.0, 99.0], [2.0, 1.0]], 1.5),
    ],
)
def test_interquartile_mean(values, expected):
    assert interquartile_mean(values) == pytest.approx(expected)


def test_the_interval_holds_the_value_and_grows_with_the_spread():
    rng = np.random.default_rng(0)
    runs = rng.normal(size=20)
    low, high = bootstrap_interval(runs)
    assert low < interquartile_mean(runs) < high
    wide_low, wide_high = bootstrap_interval(3 * runs)
    assert wide_high - wide_low == pytest.approx(3 * (high - low))
    assert bootstrap_interval(runs) == (low, high)
    narrow_low, narrow_high = bootstrap_interval(runs, confidence=0.5)
    assert low < narrow_low < narrow_high < high


def test_strata_keep_their_weight():
    # Environments at 0 and 1, no spread within: every resample has the mean 1/2.
    strata = [[0.0] * 4, [1.0] * 4]
    assert bootstrap_interval(strata, statistic=lambda x: x.mean(-1)) == (0.5, 0.5)
    pooled = np.ravel(strata)
    low, high = bootstrap_interval(pooled, statistic=lambda x: x.mean(-1))
    assert low < 0.5 < high


def test_one_run_has_no_spread():
    assert bootstrap_interval([0.7]) == (0.7, 0.7)


def test_coverage_of_the_mean_is_near_its_nominal_rate():
    # 200 samples of 30 normals: 95% nominal, the percentile bootstrap covers about 93%;
    # fewer than 86% has a chance below 1e-3 at a true rate of 93%.
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(
            rng.normal(size=30), statistic=lambda x: x.mean(-1), resamples=500
        )
        covered += low <= 0.0 <= high
    assert covered >= 172


def test_improvement_is_the_share_of_pairs():
    # 3 > 1, 3 > 2, 3 = 3; 0 < 1, 0 < 2, 0 < 3: (1 + 1 + 1/2) / 6.
    assert probability_of_improvement([3.0, 0.0], [1.0, 2.0, 3.0]) == pytest.approx(2.5 / 6)
    assert probability_of_improvement([1.0], [1.0]) == 0.5
    assert probability_of_improvement([2.0, 3.0], [1.0]) == 1.0
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=9), rng.normal(size=6)
    u = scipy.stats.mannwhitneyu(a, b).statistic
    assert probability_of_improvement(a, b) == pytest.approx(u / 54)
    assert probability_of_improvement(a, b) + probability_of_improvement(b, a) == pytest.approx(1)


def test_the_interval_of_improvement():
    assert improvement_interval([2.0, 3.0], [0.0, 1.0]) == (1.0, 1.0)
    assert improvement_interval([1.0], [1.0]) == (0.5, 0.5)
    low, high = improvement_interval([0.0, 2.0], [1.0])
    assert (low, high) == (0.0, 1.0)  # resamples 00, 02, 20, 22
    assert improvement_interval([0.0, 2.0], [1.0], confidence=0.4) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0], ((5.0,),)),
        ([1.0, 1.0, 1.0], ((1.0, 1.0, 1.0),)),
        ([40.0, 0.0, 39.0, 1.0], ((0.0, 1.0), (39.0, 40.0))),
        ([0.0, 39.0, 40.0, 39.5], ((0.0,), (39.0, 39.5, 40.0))),
        ([1.0, 2.0, 3.0, 4.0], ((1.0, 2.0, 3.0, 4.0),)),
        ([0.0, 10.0, 15.0], ((0.0,), (10.0, 15.0))),  # gap 10, spread 5
        ([0.0, 9.9, 15.0], ((0.0, 9.9, 15.0),)),
        ([39.9, 40.0], ((39.9, 40.0),)),  # apart, but by less than what matters
    ],
)
def test_runs_fall_into_two_groups_at_a_gap(values, expected):
    assert seed_groups(values, least=0.5) == expected


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: interquartile_mean([]), "no value to summarise"),
        (lambda: interquartile_mean([1.0, float("nan")]), "value 1 is nan"),
        (lambda: bootstrap_interval([[1.0], []]), "no value to summarise"),
        (lambda: bootstrap_interval([1.0], confidence=1.0), "confidence must be in"),
        (lambda: bootstrap_interval([1.0], resamples=0), "resamples must be at least 1"),
        (lambda: probability_of_improvement([], [1.0]), "no value to summarise"),
        (lambda: improvement_interval([1.0], [float("inf")]), "value 0 is inf"),
        (lambda: seed_groups([1.0], least=-1.0), "least must be a number from 0 on"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ConfigError, match=complaint):
        call()
