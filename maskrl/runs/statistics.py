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
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"bootstrap_interval: confidence must be in (0, 1), got {confidence}")
    if resamples < 1:
        raise ConfigError(f"bootstrap_interval: resamples must be at least 1, got {resamples}")
    groups = list(cast(Sequence[ArrayLike], strata))
    if all(np.ndim(group) == 0 for group in groups):
        groups = [cast(ArrayLike, groups)]
    rng = np.random.default_rng(seed)
    drawn = []
    for group in groups:
        runs = _checked("bootstrap_interval", group)
        drawn.append(runs[rng.integers(0, runs.size, size=(resamples, runs.size))])
    values = statistic(np.concatenate(drawn, axis=-1))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def _checked(operation: str, values: ArrayLike) -> np.ndarray:
    pooled = np.asarray(values, dtype=np.float64).reshape(-1)
    if pooled.size == 0:
        raise ConfigError(f"{operation}: there is no value to summarise")
    if not np.isfinite(pooled).all():
        first = int(np.flatnonzero(~np.isfinite(pooled))[0])
        raise ConfigError(f"{operation}: value {first} is {pooled[first]}, expected finite numbers")
    return pooled
