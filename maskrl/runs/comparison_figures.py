"""What a comparison comes to: every seed, robust means, intervals, thresholds, what was wasted.

All of it is computed from what the runs left on disk, holds no time, and is the same
whether the comparison ran through or was killed on the way. Returns of training are those
of the task: penalties for disallowed actions are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskrl.runs.comparison import ComparedRun, Comparison, Variant
from maskrl.runs.curves import (
    Band,
    area_under_curve,
    bin_ends,
    binned_means,
    curve_band,
    median_steps,
    steps_to_threshold,
)
from maskrl.runs.statistics import (
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
    seed_groups,
)

BINS = 25
"""Equal parts of the training in which returns are averaged."""

LEAST_GAP = 0.25
"""Share of the range of all results on an environment from which on a gap between seeds counts."""

_TOLD = ("masked", "naive")

WAY = 0.9
"""Where no threshold was chosen: this share of the way from chance to the best variant."""


@dataclass(frozen=True)
class Figure:
    """One quantity over the seeds of a variant.

    Attributes:
        values: One per seed.
        middle: Interquartile mean.
        interval: Its 95 % bootstrap interval.
        groups: The values as one group, or as two where the seeds fall apart; then no single
            number stands for them.
    """

    values: tuple[float, ...]
    middle: float
    interval: tuple[float, float]
    groups: tuple[tuple[float, ...], ...]

    @property
    def mean(self) -> float:
        """Over the seeds; where `is_split`, a number that no seed is near."""
        return float(np.mean(self.values))

    @property
    def is_split(self) -> bool:
        """Whether the seeds fall into two groups."""
        return len(self.groups) > 1


@dataclass(frozen=True)
class Waste:
    """What impossible actions cost a variant, means over its seeds; NaN where unknown.

    Attributes:
        illegal_actions: Executed in training and test of all runs together.
        illegal_share: Share of the training's steps that were spent on disallowed actions.
        disallowed_mass: Probability that the network without its mask puts on what is disallowed,
            at the end.
        allowed_share: Share of choices that were allowed.
        forced_share: Share of steps with one possible action.
        kl_masked, kl_unmasked, kl_published: How far an update moved the policy, on average;
            see `maskrl.trainers.update_divergence`.
    """

    illegal_actions: int
    illegal_share: float
    disallowed_mass: float
    allowed_share: float
    forced_share: float
    kl_masked: float
    kl_unmasked: float
    kl_published: float


@dataclass(frozen=True)
class VariantFigures:
    """One variant, all finished seeds.

    Attributes:
        label: Of the variant.
        env: Its environment.
        regime: Its regime.
        name: What it is called beside others on the same environment.
        figure: What `final` is of: "score" or "return".
        seeds: Those whose runs are finished.
        final: The test, the best allowed action at every step.
        returned: The same as mean returns, whatever `figure` is.
        sampled: The test with sampled actions, as mean returns; None of agents by values.
        removed: The test when the mask was taken away, as mean returns; None where nobody looked.
        removed_sampled: Likewise with sampled actions.
        untrained: Mean figure of the untrained networks, None where there was none.
        random: Mean return of random valid play, exact where the environment knows it.
        random_played: What random play under the mask of these runs returns, where that mask
            allows more than the rules do and it is clearly worse; else None.
        planner: Mean return of the reference, or None.
        ratio: Mean of `final` over that of the comparison's first variant; None for returns.
        trained: Mean return of the training's last 25th part.
        area: Mean return over the whole training.
        threshold: That `steps_to` is about.
        steps_to: Per seed, infinity where it was never reached.
        median_steps: Over seeds.
        improvement: Probability of being better than the first variant on this environment, with
            its interval; None of that one itself.
        waste: What impossible actions cost.
    """

    label: str
    env: str
    regime: str
    name: str
    figure: str
    seeds: tuple[int, ...]
    final: Figure
    returned: Figure
    sampled: Figure | None
    removed: Figure | None
    removed_sampled: Figure | None
    untrained: float | None
    random: float
    random_played: float | None
    planner: float | None
    ratio: float | None
    trained: Figure | None
    area: Figure | None
    threshold: float
    steps_to: tuple[float, ...]
    median_steps: float
    improvement: tuple[float, float, float] | None
    waste: Waste


@dataclass(frozen=True)
class Curves:
    """Training returns of a variant.

    Attributes:
        label: Of the variant.
        seeds: Of the rows.
        ends: `[K]`, ends of the bins of steps.
        runs: `[N, K]`, one row per run.
        band: Over the runs.
    """

    label: str
    seeds: tuple[int, ...]
    ends: np.ndarray
    runs: np.ndarray
    band: Band


def curves_of(variant: Variant, bins: int = BINS) -> Curves | None:
    """Training returns over equal bins of steps; None where no episode has ended yet.

    Args:
        variant: Its runs may still be training.
        bins: How many.
    """
    begun = [run for run in variant.runs if len(run.episodes)]
    if not begun or variant.total_steps < 1:
        return None
    until = max(variant.total_steps, *(int(run.episodes.step[-1]) for run in begun))
    ends = bin_ends(until, bins)
    rows = []
    for run in begun:
        row = binned_means(run.episodes.step, run.episodes.returned, ends)
        # Past its last step a run has no value, not the last one for ever: it is under way, or
        # its minutes were over.
        rows.append(np.where(ends - ends[0] < trained_steps(run), row, np.nan))
    table = np.stack(rows)
    return Curves(
        variant.label, tuple(run.seed for run in begun), ends, table, curve_band(table, ends)
    )


def comparison_figures(comparison: Comparison) -> list[VariantFigures]:
    """The figures of every variant with a finished run, in the order asked for."""
    found: list[VariantFigures] = []
    leader: VariantFigures | None = None
    for env in comparison.envs:
        variants = [variant for variant in comparison.on(env) if variant.finished]
        figure = "score" if all(_has_score(variant) for variant in variants) else "return"
        least, spread = _least_gap(variants, figure), _least_gap(variants, "return")
        threshold = comparison.threshold
        if threshold is None:
            threshold = _default_threshold(variants)
        first: VariantFigures | None = None
        for variant in variants:
            one = _figures(variant, figure, least, spread, threshold, comparison.window, first)
            scored = leader is not None and leader.figure == one.figure == "score"
            if leader is not None and scored and leader.final.mean:
                one = replace(one, ratio=one.final.mean / leader.final.mean)
            leader, first = leader or one, first or one
            found.append(one)
    order = {variant.label: place for place, variant in enumerate(comparison.variants)}
    return sorted(found, key=lambda one: order[one.label])


def measure_of(figures: Sequence[VariantFigures]) -> str:
    """What the tests of one environment's variants are compared in: "return" or "score".

    Returns are what training, thresholds and tests without the mask are in too; only where
    chance or the reference differ between variants, as with settings of the environment that are
    varied, are scores what can be compared.

    Args:
        figures: At least one.
    """
    if any(one.figure != "score" for one in figures):
        return "return"
    first = figures[0]
    alike = all(
        math.isclose(one.random, first.random, abs_tol=1e-9)
        and math.isclose(one.planner or 0.0, first.planner or 0.0, abs_tol=1e-9)
        for one in figures
    )
    return "return" if alike else "score"


def in_measure(one: VariantFigures, measure: str) -> Figure:
    """The test of a variant in a measure of `measure_of`."""
    return one.returned if measure == "return" else one.final


def chance_of(figures: Sequence[VariantFigures]) -> float:
    """What random play returns on an environment: random valid play, or what is worse.

    Where the mask of the first variant allows more than the rules do, what plays at random under
    it is worse than random valid play, and is where learning under it begins.

    Args:
        figures: Of one environment, at least one.
    """
    first = figures[0]
    return first.random if first.random_played is None else first.random_played


def sampled_apart(figures: Sequence[VariantFigures]) -> list[VariantFigures]:
    """The variants whose tests with sampled actions differ from those with the most probable ones.

    They do where an agent that never acts otherwise gets stuck, as it may where not everything is
    seen: by a tenth at least of what lies between chance and the best test, in the mean over
    seeds. Where returns cannot be compared between variants each is judged by itself.

    Args:
        figures: Of one environment, at least one.
    """
    if len(figures) > 1 and measure_of(figures) == "score":
        return [one for one in figures if sampled_apart([one])]
    pairs = [
        (one, np.asarray(one.returned.values), np.asarray(one.sampled.values))
        for one in figures
        if one.sampled is not None and len(one.sampled.values) == len(one.returned.values)
    ]
    best = max((max(likely.mean(), drawn.mean()) for _, likely, drawn in pairs), default=0.0)
    least = 0.1 * (best - chance_of(figures))
    if least <= 0:
        return []
    return [one for one, likely, drawn in pairs if np.abs(likely - drawn).mean() > least]


def _figures(
    variant: Variant,
    figure: str,
    least: float,
    spread: float,
    threshold: float,
    window: int,
    first: VariantFigures | None,
) -> VariantFigures:
    runs = variant.finished
    key = "score" if figure == "score" else "mean"
    final = _over([float(run.evaluation[key]) for run in runs], least)
    tests = [run.evaluation for run in runs]
    untrained = [test.get("untrained_mean") for test in tests]
    planned = [float(test["planner_mean"]) for test in tests if "planner_mean" in test]
    curves = curves_of(variant)
    rows = {} if curves is None else dict(zip(curves.seeds, curves.runs, strict=True))
    heights = [_until_the_end(rows.get(run.seed, np.zeros(0))) for run in runs]
    steps = tuple(
        steps_to_threshold(run.episodes.step, run.episodes.returned, threshold, window=window)
        for run in runs
    )
    better = None
    if first is not None:
        pair = (final.values, first.final.values)
        better = (probability_of_improvement(*pair), *improvement_interval(*pair))
    return VariantFigures(
        label=variant.label,
        env=variant.env,
        regime=variant.regime,
        name=variant.name,
        figure=figure,
        seeds=tuple(run.seed for run in runs),
        final=final,
        returned=_over([float(test["mean"]) for test in tests], spread),
        sampled=_of([test.get("sampled", {}).get("mean") for test in tests], spread),
        removed=_of([run.removed.get("greedy", {}).get("mean") for run in runs], spread),
        removed_sampled=_of([run.removed.get("sampled", {}).get("mean") for run in runs], spread),
        untrained=_mean([_as_figure(u, t, figure) for u, t in zip(untrained, tests, strict=True)]),
        random=_mean([float(test["random_mean"]) for test in tests]) or 0.0,
        random_played=_mean([_worse_at_random(test) for test in tests]),
        planner=_mean(planned),
        ratio=None,
        trained=_of([float(row[-1]) if row.size else None for row in heights], spread),
        area=_of([area_under_curve(row) for row in heights], spread),
        threshold=threshold,
        steps_to=steps,
        median_steps=median_steps(steps),
        improvement=better,
        waste=_waste(runs, told=variant.regime in _TOLD),
    )


def _over(values: Sequence[float], least: float) -> Figure:
    return Figure(
        tuple(values),
        interquartile_mean(values),
        bootstrap_interval(values),
        seed_groups(values, least=least),
    )


def _of(values: Sequence[float | None], least: float) -> Figure | None:
    """A figure where every run has a value, else None."""
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    return _over(known, least) if known and len(known) == len(values) else None


def _waste(runs: Sequence[ComparedRun], *, told: bool) -> Waste:
    """What impossible actions cost; shares of a mask that was not told are unknown."""
    spent = [
        run.evaluation.get("training_illegal_actions", 0) / trained_steps(run)
        for run in runs
        if trained_steps(run) > 0
    ]

    def mean_of(name: str) -> float:
        columns = [run.metrics.get(name, np.zeros(0)) for run in runs]
        means = [column[np.isfinite(column)].mean() for column in columns if _is_known(column)]
        return float(np.mean(means)) if means else math.nan

    def last_of(name: str) -> float:
        known = [value for value in (run.last(name) for run in runs) if math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan

    def of_mask(value: float) -> float:
        return value if told else math.nan

    return Waste(
        illegal_actions=sum(illegal_actions(run) for run in runs),
        illegal_share=float(np.mean(spent)) if spent else math.nan,
        disallowed_mass=of_mask(last_of("disallowed_mass")),
        allowed_share=of_mask(mean_of("allowed_share")),
        forced_share=of_mask(mean_of("forced_share")),
        kl_masked=mean_of("kl_masked"),
        kl_unmasked=mean_of("kl_unmasked"),
        kl_published=mean_of("kl_published"),
    )


def illegal_actions(run: ComparedRun) -> int:
    """Executed in training and in both tests of a run's agent, its mask in place."""
    test = run.evaluation
    counts = (
        test.get("illegal_actions", 0),
        test.get("sampled", {}).get("illegal_actions", 0),
        test.get("training_illegal_actions", 0),
    )
    return sum(map(int, counts))


def trained_steps(run: ComparedRun) -> float:
    """How far the training of a run is, which its test may not say: it is of the best checkpoint.

    A test's step counts where nothing else does; NaN of a run of which nothing is known.
    """
    last = run.last("step")
    tested = run.evaluation.get("step")
    return float(tested) if math.isnan(last) and tested is not None else last


def _until_the_end(row: np.ndarray) -> np.ndarray:
    """A curve `[K]` without the bins after its last value; empty where there is no value."""
    known = np.flatnonzero(np.isfinite(row))
    return row[: known[-1] + 1] if known.size else row[:0]


def _is_known(column: np.ndarray) -> bool:
    return bool(np.isfinite(column).any())


def _has_score(variant: Variant) -> bool:
    return all("score" in run.evaluation for run in variant.finished)


def _worse_at_random(test: Mapping[str, Any]) -> float | None:
    """Mean return of random play under the mask, where no chance makes it this much worse."""
    played = test.get("random_played", {})
    if "mean" not in played:
        return None
    error = float(played.get("standard_error") or 0.0)
    worse = float(played["mean"]) + 4.0 * error < float(test["random_mean"])
    return float(played["mean"]) if worse else None


def _least_gap(variants: Sequence[Variant], figure: str) -> float:
    """The smallest gap between seeds that matters beside how much results differ at all."""
    key = "score" if figure == "score" else "mean"
    values = [float(run.evaluation[key]) for v in variants for run in v.finished]
    values += [
        0.0 if figure == "score" else float(run.evaluation["random_mean"])
        for v in variants
        for run in v.finished
    ]
    return LEAST_GAP * (max(values) - min(values)) if values else 0.0


def _default_threshold(variants: Sequence[Variant]) -> float:
    """Most of the way from chance to the best that any variant reached in training."""
    best, chance = -math.inf, math.inf
    for variant in variants:
        curves = curves_of(variant)
        if curves is not None and np.isfinite(curves.band.middle).any():
            best = max(best, float(np.nanmax(curves.band.middle)))
        for run in variant.finished:
            chance = min(chance, float(run.evaluation["random_mean"]))
    # There is no way from chance to what is not better: nobody reaches anything by being worse.
    if not math.isfinite(best) or not best > chance:
        return math.inf
    way = best - chance
    # To three digits of the way: a threshold that a reader can keep in mind.
    return round(chance + WAY * way, 2 - math.floor(math.log10(way)))


def _as_figure(mean: float | None, test: Mapping[str, Any], figure: str) -> float | None:
    """A mean return as a score, where scores are compared."""
    if mean is None or figure != "score":
        return mean
    return float((mean - test["random_mean"]) / (test["planner_mean"] - test["random_mean"]))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None
