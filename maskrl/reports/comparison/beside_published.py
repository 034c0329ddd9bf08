"""Training returns of our runs beside published ones: the same steps, seeds with seeds.

Published runs that learned and others that did not have a mean that none of them is near, so
that ranges stand beside the means, and nothing is called reproduced for its mean alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskrl.runs.comparison import ComparedRun, Variant
from maskrl.runs.published import published_curve


@dataclass(frozen=True)
class BesidePublished:
    """One variant beside the published runs of its regime.

    Attributes:
        name: Of the variant.
        place: Of it on its environment: its colour.
        ours: Mean return of the training episodes that ended in these steps, per seed.
        mean: Of the published runs, over the same steps.
        low, high: The least and the greatest published run.
        begin, end: The steps: after `begin` until `end`, the last part that both have.
    """

    name: str
    place: int
    ours: tuple[float, ...]
    mean: float
    low: float
    high: float
    begin: int
    end: int

    def place_of(self, near: float) -> str:
        """Where our seeds lie: "meet", "above" or "below".

        Args:
            near: They meet where the ranges overlap or are not further apart than this.
        """
        if min(self.ours) > self.high + near:
            return "above"
        return "below" if max(self.ours) < self.low - near else "meet"


def beside_published(variants: Sequence[Variant]) -> list[BesidePublished]:
    """Our finished runs beside those that were published of the same regime.

    Ours are means over the same steps as theirs: at the end alone we would be ahead of them for
    being averaged later.

    Args:
        variants: Of one environment.
    """
    found = []
    for place, variant in enumerate(variants):
        curve = published_curve(variant.env, variant.regime)
        if curve is None or variant.total_steps < curve.step[0]:
            continue
        last = int(np.searchsorted(curve.step, variant.total_steps, side="right")) - 1
        end = int(curve.step[last])
        begin = int(curve.step[last - 1]) if last else 0
        ours = tuple(_mean_between(run, begin, end) for run in variant.finished)
        if not ours or not all(map(math.isfinite, ours)):
            continue
        low, mean, high = (float(column[last]) for column in (curve.low, curve.mean, curve.high))
        found.append(BesidePublished(variant.name, place, ours, mean, low, high, begin, end))
    return found


def _mean_between(run: ComparedRun, begin: int, end: int) -> float:
    """Mean return of the training episodes that ended after `begin` and until `end`."""
    episodes = run.episodes
    returned = episodes.returned[(begin < episodes.step) & (episodes.step <= end)]
    return float(returned.mean()) if returned.size else math.nan
