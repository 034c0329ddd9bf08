"""Summaries over several seeds that one lucky or unlucky run cannot bend.

The interquartile mean drops the lowest and the highest quarter of the runs and
averages the rest; the bootstrap interval says how far it would move had other
seeds been drawn.

Reference: Agarwal et al. 2021, "Deep RL at the Edge of the Statistical
Precipice", sections 4.1 and 4.3, https://arxiv.org/abs/2108.13264
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from maskrl.errors import ConfigError

Statistic = Callable[[np.ndarray], np.ndarray]


def _trimmed(values: np.ndarray) -> np.ndarray:
    return cast(np.ndarray, stats.trim_mean(values, 0.25, axis=-1))


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of all values.

    A quarter, rounded down, is cut at each end: of 4 runs the middle two count, of 2 or
    3 all do.

    Args:
        values: any shape, at least one value; all are pooled.

    Raises:
        ConfigError: there is no value, or one is not finite.

    >>> interquartile_mean([0.0, 1.0, 2.0, 99.0])
    1.5
    """
    pooled = _checked("interquartile_mean", values)
    return float(_trimmed(pooled))


def bootstrap_interval(
    strata: ArrayLike | Sequence[ArrayLike],
    *,
    statistic: Statistic = _trimmed,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of a statistic, resampling runs within each stratum.

    Args:
        strata: `[runs]`, or one sequence of runs per environment; runs are drawn with
            replacement within their environment, so every environment keeps its weight.
        statistic: from `[..., pooled runs]` to `[...]`; the interquartile mean by default.
        confidence: 0 to 1, exclusive.
        resamples: number of resamples, at least 1.
        seed: of the resampling; the same data give the same interval.

    Returns:
        (low, high); both the value itself where every stratum has one run.

    Raises:
        ConfigError: a stratum is empty, a value is not finite, or a setting out of range.
    """
    check_settings("bootstrap_interval", confidence, resamples)
    groups = list(cast(Sequence[ArrayLike], strata))
    if all(np.ndim(group) == 0 for group in groups):
        groups = [cast(ArrayLike, groups)]
    rng = np.random.default_rng(seed)
    drawn = []
    for group in groups:
        runs = _checked("bootstrap_interval", group)
        drawn.append(runs[rng.integers(0, runs.size, size=(resamples, runs.size))])
    values = statistic(np.concatenate(drawn, axis=-1))
    low, high = percentiles(values, confidence)
    return float(low), float(high)


def probability_of_improvement(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Return how often a run of ours is better than a run of theirs, ties counting half.

    Over all pairs of runs; 1/2 says that neither is better. How much better does not matter,
    so that one run that failed, or one that shone, decides nothing alone.

    Args:
        ours: any shape, at least one value; larger is better.
        theirs: likewise.

    Raises:
        ConfigError: there is no value, or one is not finite.

    Reference:
        Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
        section 4.3, https://arxiv.org/abs/2108.13264; Mann and Whitney (1947).

    >>> probability_of_improvement([1.0, 3.0], [1.0, 2.0])
    0.625
    """
    a = _checked("probability_of_improvement", ours)
    b = _checked("probability_of_improvement", theirs)
    better = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
    return float(better)


def improvement_interval(
    ours: ArrayLike,
    theirs: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval of the probability of improvement, both sides resampled.

    Args:
        ours: As of `probability_of_improvement`.
        theirs: Likewise.
        confidence: 0 to 1, exclusive.
        resamples: number of resamples, at least 1.
        seed: of the resampling; the same data give the same interval.

    Raises:
        ConfigError: no value, one that is not finite, or a setting out of range.
    """
    a = _checked("improvement_interval", ours)
    b = _checked("improvement_interval", theirs)
    check_settings("improvement_interval", confidence, resamples)
    rng = np.random.default_rng(seed)
    left = a[rng.integers(0, a.size, size=(resamples, a.size))][:, :, None]
    right = b[rng.integers(0, b.size, size=(resamples, b.size))][:, None, :]
    found = (left > right).mean((1, 2)) + 0.5 * (left == right).mean((1, 2))
    low, high = percentiles(found, confidence)
    return float(low), float(high)


def seed_groups(values: ArrayLike, *, least: float = 0.0) -> tuple[tuple[float, ...], ...]:
    """Return the runs as one group, or as two where a gap parts them.

    Runs that fall into two groups, learned and not learned, have a mean that none of them is
    near. They are parted at the largest gap between neighbours, if that is at least `least` and
    twice the spread of the wider group. It describes these runs and tests nothing: with few
    runs a gap may be chance, and is worth seeing all the same.

    Args:
        values: any shape, at least one value.
        least: the smallest gap that matters, in units of the values.

    Returns:
        The values in ascending order, in one or two groups, the lower one first.

    Raises:
        ConfigError: no value, one that is not finite, or `least` is negative.

    >>> seed_groups([39.5, 0.2, 39.9, 0.4])
    ((0.2, 0.4), (39.5, 39.9))
    """
    if not 0.0 <= least < np.inf:
        raise ConfigError(f"seed_groups: least must be a number from 0 on, got {least}")
    ordered = np.sort(_checked("seed_groups", values))
    if ordered.size < 2:
        return (tuple(ordered.tolist()),)
    gaps = np.diff(ordered)
    cut = int(gaps.argmax()) + 1
    low, high = ordered[:cut], ordered[cut:]
    gap, spread = gaps[cut - 1], max(np.ptp(low), np.ptp(high))
    if gap > 0 and gap >= least and gap >= 2.0 * spread:
        return tuple(low.tolist()), tuple(high.tolist())
    return (tuple(ordered.tolist()),)


def percentiles(values: np.ndarray, confidence: float) -> np.ndarray:
    """The two ends of the middle `confidence` of the values `[R, ...]`: `[2, ...]`."""
    tail = 50.0 * (1.0 - confidence)
    return cast(np.ndarray, np.percentile(values, [tail, 100.0 - tail], axis=0))


def check_settings(operation: str, confidence: float, resamples: int) -> None:
    """Refuse settings of a bootstrap that are out of range.

    Raises:
        ConfigError: They are; names `operation`.
    """
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"{operation}: confidence must be in (0, 1), got {confidence}")
    if resamples < 1:
        raise ConfigError(f"{operation}: resamples must be at least 1, got {resamples}")


def _checked(operation: str, values: ArrayLike) -> np.ndarray:
    pooled = np.asarray(values, dtype=np.float64).reshape(-1)
    if pooled.size == 0:
        raise ConfigError(f"{operation}: there is no value to summarise")
    if not np.isfinite(pooled).all():
        first = int(np.flatnonzero(~np.isfinite(pooled))[0])
        raise ConfigError(f"{operation}: value {first} is {pooled[first]}, expected finite numbers")
    return pooled
