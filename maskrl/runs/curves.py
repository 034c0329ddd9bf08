"""Learning curves of several runs: on common steps, with bands, and what can be read off them.

Episodes end at steps of their own in every run; here they become means over equal bins of
steps, robust means over runs with bootstrap bands, the area under a curve, and the step
at which a mean over a few episodes first reached a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from maskrl.errors import ConfigError
from maskrl.runs.statistics import check_settings, percentiles


@dataclass(frozen=True)
class Band:
    """What several runs came to at common steps; NaN where no run has a value.

    Attributes:
        step: `[K]`, where.
        middle: `[K]`, interquartile mean over runs.
        low: `[K]`, lower end of its bootstrap interval.
        high: `[K]`, upper end.
    """

    step: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bin_ends(until: float, bins: int) -> np.ndarray:
    """The ends `[K]` of so many equal bins of the steps from 0 to `until`.

    Raises:
        ConfigError: `until` is not positive, or there is no bin.

    >>> bin_ends(100, 4).tolist()
    [25.0, 50.0, 75.0, 100.0]
    """
    if not 0 < until < np.inf or bins < 1:
        raise ConfigError(
            f"bin_ends: expected a positive number of steps and of bins, got {until} and {bins}"
        )
    ends: np.ndarray = until * np.arange(1, bins + 1) / bins
    return ends


def binned_means(step: ArrayLike, value: ArrayLike, ends: ArrayLike) -> np.ndarray:
    """Means of what happened in each bin, gaps filled with the bin before.

    Args:
        step: `[E]`, when; any order.
        value: `[E]`, what; entries that are not finite are passed over.
        ends: `[K]`, ascending ends of the bins; a bin holds `before < step <= end`.

    Returns:
        `[K]` float64. Bins before the first value are NaN, later empty ones repeat the one before.

    Raises:
        ConfigError: Shapes differ.

    >>> binned_means([1, 2, 9], [1.0, 3.0, 8.0], [3, 6, 9]).tolist()
    [2.0, 2.0, 8.0]
    """
    when, what = _pair("binned_means", step, value)
    ends = np.asarray(ends, np.float64)
    place = np.searchsorted(ends, when, side="left")
    inside = place < len(ends)
    counts = np.bincount(place[inside], minlength=len(ends))
    sums = np.bincount(place[inside], weights=what[inside], minlength=len(ends))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    filled = np.maximum.accumulate(np.where(counts > 0, np.arange(len(ends)), -1))
    return np.where(filled >= 0, means[filled], np.nan)


def curve_band(
    curves: ArrayLike,
    step: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Band:
    """The interquartile mean over runs, step by step, with bootstrap intervals over runs.

    Args:
        curves: `[N, K]`, one row per run; NaN where a run has no value yet.
        step: `[K]`.
        confidence: Of the intervals, step by step and not of the curve as a whole.
        resamples: At least 1; each draws the same runs for all steps.
        seed: Of the resampling.

    Empty rows:
        Steps at which not every run has a value are NaN: a mean over those that were quickest to
        end an episode would be one of other runs than the next.

    Raises:
        ConfigError: No run, shapes that differ, or a setting out of range.
    """
    table, where = np.asarray(curves, np.float64), np.asarray(step, np.float64)
    if table.ndim != 2 or not len(table) or table.shape[1:] != where.shape:
        raise ConfigError(
            f"curve_band: curves has shape {table.shape}, step {where.shape}; expected [runs, K] "
            "with at least one run, and [K]"
        )
    check_settings("curve_band", confidence, resamples)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(table), size=(resamples, len(table)))
    whole = np.isfinite(table).all(0)
    low, middle, high = np.full((3, len(where)), np.nan)
    if whole.any():
        known = table[:, whole]
        middle[whole] = stats.trim_mean(known, 0.25, axis=0)
        resampled = stats.trim_mean(known[drawn], 0.25, axis=1)
        low[whole], high[whole] = percentiles(resampled, confidence)
    return Band(where, middle, low, high)


def area_under_curve(means: ArrayLike) -> float:
    """The mean height of a curve of equal bins: what was earned on average while learning.

    Args:
        means: `[K]`, of `binned_means`. Bins before the first episode ended count as the first
            that has a value.

    Returns:
        In units of the curve; NaN where there is no value at all.

    >>> area_under_curve([float("nan"), 1.0, 4.0])
    2.0
    """
    heights = np.asarray(means, np.float64).reshape(-1)
    known = np.flatnonzero(np.isfinite(heights))
    if not known.size:
        return float("nan")
    first = known[0]
    return float(np.concatenate([np.full(first, heights[first]), heights[first:]]).mean())


def steps_to_threshold(
    step: ArrayLike, value: ArrayLike, threshold: float, *, window: int = 10
) -> float:
    """The step after which the mean of the last `window` episodes was first at the threshold.

    Args:
        step: `[E]`, when each episode ended, ascending.
        value: `[E]`, what it returned.
        threshold: To be reached or passed.
        window: Episodes, at least 1.

    Returns:
        A number of steps; infinity where it was never reached.

    Raises:
        ConfigError: Shapes differ, or the window is below 1.

    >>> steps_to_threshold([5, 10, 15], [0.0, 2.0, 2.0], 2.0, window=2)
    15.0
    """
    if window < 1:
        raise ConfigError(f"steps_to_threshold: window must be at least 1, got {window}")
    when, what = _pair("steps_to_threshold", step, value)
    if len(what) < window:
        return float("inf")
    # Sums of each window by itself: what a running sum carries along would move the threshold.
    means = np.lib.stride_tricks.sliding_window_view(what, window).mean(-1)
    reached = np.flatnonzero(means >= threshold)
    return float(when[reached[0] + window - 1]) if reached.size else float("inf")


def median_steps(steps: ArrayLike) -> float:
    """The median over runs, those that never arrived being later than all others.

    Returns:
        Infinity where half of the runs or more never arrived.

    Raises:
        ConfigError: There is no run.

    >>> median_steps([10.0, 30.0, float("inf")])
    30.0
    """
    ordered = np.sort(np.asarray(steps, np.float64).reshape(-1))
    if not ordered.size:
        raise ConfigError("median_steps: there is no run")
    middle = ordered[(ordered.size - 1) // 2 : ordered.size // 2 + 1]
    return float(middle.mean())


def _pair(operation: str, step: ArrayLike, value: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 `[E]`, without entries whose value is not finite."""
    when, what = np.asarray(step, np.float64), np.asarray(value, np.float64)
    if when.shape != what.shape or when.ndim != 1:
        raise ConfigError(
            f"{operation}: step has shape {when.shape}, value {what.shape}; expected one "
            "dimension, the same"
        )
    keep = np.isfinite(what)
    return when[keep], what[keep]
