"""What ways of training come to over all environments of a comparison, on one scale.

On every environment 0 is chance and 1 the best run of any variant. Where environments lie far
apart, learned on one and not on the other, a mean over them is near neither, and is not to be
shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maskrl.runs.comparison_figures import VariantFigures, chance_of, in_measure, measure_of
from maskrl.runs.statistics import bootstrap_interval, interquartile_mean

APART = 0.3
"""Environments that are this far apart, from chance to the best, have no common mean."""


@dataclass(frozen=True)
class Overall:
    """One way of training over several environments.

    Attributes:
        name: As of the variants.
        values: Per environment and seed, normalised: 0 is chance, 1 the best run of any variant.
        middle: Interquartile mean of all of them.
        interval: Its 95 % bootstrap interval, seeds resampled within each environment.
    """

    name: str
    values: tuple[tuple[float, ...], ...]
    middle: float
    interval: tuple[float, float]

    @property
    def middles(self) -> tuple[float, ...]:
        """Interquartile mean on each environment."""
        return tuple(map(interquartile_mean, self.values))

    @property
    def is_split(self) -> bool:
        """Whether environments lie so far apart that no common mean is near one of them."""
        return max(self.middles) - min(self.middles) >= APART


def overall_figures(figures: Sequence[VariantFigures]) -> list[Overall]:
    """What each way of training comes to over all environments.

    Args:
        figures: Of `comparison_figures`.

    Returns:
        One for each name that every environment has, in their order; none where there is only one
        environment, or where no variant is better than chance on one.
    """
    envs = list(dict.fromkeys(one.env for one in figures))
    if len(envs) < 2:
        return []
    scales = {}
    for env in envs:
        own = [one for one in figures if one.env == env]
        measure = measure_of(own)
        chance = chance_of(own) if measure == "return" else 0.0
        best = max(value for one in own for value in in_measure(one, measure).values)
        if best <= chance:
            return []
        scales[env] = (measure, chance, best - chance)
    found = []
    for name in dict.fromkeys(one.name for one in figures):
        own = sorted(
            (one for one in figures if one.name == name), key=lambda one: envs.index(one.env)
        )
        if [one.env for one in own] != envs:
            continue
        strata = tuple(_normalised(one, *scales[one.env]) for one in own)
        pooled = [value for stratum in strata for value in stratum]
        found.append(Overall(name, strata, interquartile_mean(pooled), bootstrap_interval(strata)))
    return found


def _normalised(one: VariantFigures, measure: str, chance: float, way: float) -> tuple[float, ...]:
    return tuple((value - chance) / way for value in in_measure(one, measure).values)
