"""What agents that are trained under the mask earn without it, while they learn.

Drawn where the settings asked for such rollouts, beside what was published of the same.
"""

from __future__ import annotations

from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.compared_curves import Series, compared_curves
from maskrl.reports.section import Section, figure_place
from maskrl.runs.comparison import Comparison, Variant
from maskrl.runs.comparison_figures import trained_steps
from maskrl.runs.curves import bin_ends, binned_means, curve_band
from maskrl.runs.published import MASK_REMOVED, published_curve

METRIC = "mask_removed_return"
_BINS = 25


def mask_removed_section(comparison: Comparison, env: str, number: int) -> Section | None:
    """A figure for each variant that played without its mask between updates; None without any.

    Args:
        comparison: What was compared.
        env: One of its environments.
        number: Its place, for ids.
    """
    figures: dict[str, go.Figure] = {}
    places = []
    published = published_curve(env, MASK_REMOVED)
    for place, variant in enumerate(comparison.on(env)):
        series = _series(variant, place)
        if series is None:
            continue
        theirs = []
        if published is not None:
            keep = published.step <= max(variant.total_steps, int(published.step[0]))
            ends = (column[keep] for column in (published.mean, published.low, published.high))
            middles = (published.step - published.step[0] / 2)[keep]
            theirs = [Series("published", place, middles, *ends)]
        identity = f"mask-removed-{number}-{place}"
        figures[identity] = compared_curves(
            [series],
            published=theirs,
            label="return without the mask",
            height=300,
            until=max(float(variant.total_steps), float(series.step[-1])),
        )
        caption = (
            "After each update one rollout is played with sampled actions and no mask; nothing is "
            "learned from it. Bold: the interquartile mean over seeds in its 95% bootstrap "
            "interval; thin: every seed."
        )
        if theirs:
            caption += " Dashed: the mean of the published runs on the grey band of their range."
        title = f"{variant.name}, mask removed"
        places.append(figure_place(identity, figures[identity], title=title, caption=caption))
    if not places:
        return None
    title = "Without the mask"
    title += "" if len(comparison.envs) == 1 else f" on {escape(env)}"
    columns = "" if len(places) == 1 else " two"
    html = f'<div class="grid{columns}">{"".join(places)}</div>'
    return Section(f"mask-removed-{number}", title, html, figures=figures)


def _series(variant: Variant, place: int) -> Series | None:
    """The metric of a variant's runs, every part in the middle of its steps."""
    begun = [
        run
        for run in variant.runs
        if METRIC in run.metrics and np.isfinite(run.metrics[METRIC]).any()
    ]
    if not begun or variant.total_steps < 1:
        return None
    until = max([variant.total_steps, *(int(run.metrics["step"][-1]) for run in begun)])
    counted = [until * run.metrics["step"].size // run.metrics["step"][-1] for run in begun]
    ends = bin_ends(until, int(min([_BINS, *counted])))
    rows = []
    for run in begun:
        row = binned_means(run.metrics["step"], run.metrics[METRIC], ends)
        rows.append(np.where(ends - ends[0] < trained_steps(run), row, np.nan))
    table = np.stack(rows)
    band = curve_band(table, ends)
    middles = ends - ends[0] / 2
    return Series(variant.name, place, middles, band.middle, band.low, band.high, table)
