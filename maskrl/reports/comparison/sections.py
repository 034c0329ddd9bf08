"""The figures of a comparison's page: learning curves, and what impossible actions cost.

Every part takes what was read and computed from the folder, and gives a `Section`, or None
where it has nothing to show. All text that came from outside is escaped on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.compared_curves import Series, compared_curves
from maskrl.figures.share_bars import share_bars
from maskrl.reports import wording
from maskrl.reports.comparison.beside_published import BesidePublished, beside_published
from maskrl.reports.comparison.findings import (
    number_text,
    published_findings,
    range_text,
    waste_findings,
)
from maskrl.reports.comparison.naming import NAIVE
from maskrl.reports.comparison.results import swatch
from maskrl.reports.section import Section, figure_place, paragraph
from maskrl.runs.comparison import MASKED, ComparedRun, Comparison, Variant
from maskrl.runs.comparison_figures import Curves, VariantFigures, curves_of
from maskrl.runs.curves import bin_ends, binned_means
from maskrl.runs.published import SOURCE, published_curve

_METRIC_BINS = 40
_FLAT = 0.03
"""Shares that move by less than this, all series together, are said and not drawn."""
_TOLD = (MASKED, NAIVE)
_BESIDE = " Dashed: the mean of the published runs on the grey band of their range."


def curves_section(comparison: Comparison, env: str, number: int) -> Section | None:
    """Training returns of every variant on one environment: all together, then each by itself.

    Together there are robust means and bands alone; every seed, and what was published beside
    it, is in the figure of its variant.

    Args:
        comparison: What was compared.
        env: One of its environments.
        number: Its place, for ids.
    """
    variants = comparison.on(env)
    begun = [
        (place, variant, curves)
        for place, variant in enumerate(variants)
        if (curves := curves_of(variant)) is not None
    ]
    if not begun:
        return None
    whole = [_series(variant, place, curves) for place, variant, curves in begun]
    published = [_published(variant, place) for place, variant, _ in begun]
    identity = f"curves-{number}"
    alone = len(whole) == 1
    bare = [replace(one, runs=np.zeros((0, 0))) for one in whole]
    together = compared_curves(
        whole if alone else bare,
        published=published[0] if alone else (),
        label="return of training episodes",
        until=_until(begun),
    )
    caption = (
        "Interquartile mean over seeds in its 95% bootstrap interval, step by step; means over 25 "
        "equal parts of the training, without penalties."
    )
    beside = _BESIDE if any(published) else ""
    if alone:
        caption += f" Thin: every seed.{beside}"
    elif len(begun) > 1:
        caption += " Click on a name to hide it."
    drawn = {identity: together}
    html = figure_place(identity, together, caption=escape(caption))
    if not alone:
        ends = _ends(whole, published)
        places = []
        for (place, variant, _), own, theirs in zip(begun, whole, published, strict=True):
            name = f"{identity}-{place}"
            drawn[name] = compared_curves(
                [own], published=theirs, height=190, within=ends, small=True, until=_until(begun)
            )
            places.append(figure_place(name, drawn[name], title=variant.name))
        note = f"Thin: every seed; bold: their interquartile mean.{beside}"
        html += (
            f'<h3 class="sub">Every seed</h3><div class="grid panels">{"".join(places)}</div>'
            f'<p class="caption">{escape(note)}</p>'
        )
    html += published_table(beside_published(variants))
    title = "Learning" if len(comparison.envs) == 1 else f"Learning on {env}"
    return Section(f"learning-{number}", title, html, figures=drawn)


def published_table(beside: Sequence[BesidePublished]) -> str:
    """Our seeds and the published runs in numbers; nothing where there are none."""
    if not beside:
        return ""
    rows = []
    for one in beside:
        cells = (
            number_text(sum(one.ours) / len(one.ours)),
            range_text(min(one.ours), max(one.ours)),
            number_text(one.mean),
            range_text(one.low, one.high),
        )
        shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{swatch(one.place)}{escape(one.name)}</th>{shown}</tr>')
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("", "our mean", "our seeds", "published mean", "published runs")
    )
    return (
        '<h3 class="sub">Beside the published runs</h3>'
        + "".join(paragraph(sentence, kind="intro") for sentence in published_findings(beside))
        + f'<div class="card wide-table"><table class="results"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        + paragraph(
            "Mean returns of the training episodes of these steps: over all runs, and of the least "
            f"and the greatest run. Published: {SOURCE}.",
            kind="caption",
        )
    )


def waste_section(
    comparison: Comparison, figures: Sequence[VariantFigures], number: int
) -> Section | None:
    """What impossible actions cost: steps, probability, and how far updates moved the policy.

    Args:
        comparison: What was compared.
        figures: Of the variants on one environment.
        number: The environment's place, for ids.
    """
    if not figures:
        return None
    drawn: dict[str, go.Figure] = {}
    parts = []
    shares = share_bars(
        [one.name for one in figures],
        [one.waste.illegal_share for one in figures],
        label="of all training steps",
    )
    drawn[f"waste-{number}"] = shares
    parts.append(
        figure_place(
            f"waste-{number}",
            shares,
            title="Steps spent on impossible actions",
            caption="Counted while training, in all runs of a variant.",
        )
    )
    variants = comparison.on(figures[0].env)
    told = [place for place, variant in enumerate(variants) if variant.regime in _TOLD]
    both = {variants[place].regime for place in told} == set(_TOLD)
    quiet = []
    for name, title, caption, percent, places in (
        (
            "illegal_share",
            "Impossible actions while learning",
            "Share of the steps, over time.",
            True,
            range(len(variants)),
        ),
        (
            "disallowed_mass",
            "Probability on disallowed actions",
            "What the network without its mask would put on them.",
            True,
            told,
        ),
        (
            "allowed_share",
            "Share of choices allowed",
            "By the mask, over all choices of a step.",
            True,
            told,
        ),
        ("forced_share", "Forced moves", "Steps with exactly one possible action.", True, told),
        # How masks act on updates is seen beside the naive; of other regimes it says nothing.
        (
            "kl_masked",
            "Moved by an update",
            "Exact divergence of what acts before and after an update, in nats.",
            False,
            told if both else range(len(variants)),
        ),
        (
            "kl_published",
            "The same as published",
            "Mean difference of the scores of the actions taken, over rows and heads: the naive "
            "one scores without the mask.",
            False,
            told if both else range(len(variants)),
        ),
    ):
        series = [one for place in places for one in _metric(variants[place], place, name)]
        if not series or (name == "kl_published" and len(series) < 2):
            continue
        if name == "illegal_share" and not any(one.waste.illegal_share > 0 for one in figures):
            continue
        if percent and (said := _all_the_time(series)):
            quiet.append(f"{title}: {said}.")
            continue
        digits = 1 if percent else 4
        until = max(float(one.step[-1]) for one in series)
        figure = compared_curves(
            series, digits=digits, percent=percent, from_zero=True, height=280, until=until
        )
        identity = f"{name.replace('_', '-')}-{number}"
        drawn[identity] = figure
        parts.append(figure_place(identity, figure, title=title, caption=escape(caption)))
    intro = "".join(f"<li>{escape(sentence)}</li>" for sentence in waste_findings(figures))
    first = 2 if f"illegal-share-{number}" in drawn else 1
    rest = parts[first:]
    columns = "two" if len(rest) % 2 == 0 else "three"
    html = (
        f'<ul class="findings apart">{intro}</ul>'
        f'<div class="grid two">{"".join(parts[:first])}</div>'
        + (f'<div class="grid {columns} next">{"".join(rest)}</div>' if rest else "")
    )
    if quiet:
        html += paragraph(" ".join(quiet), kind="caption")
    title = "Impossible actions"
    title += "" if len(comparison.envs) == 1 else f" on {figures[0].env}"
    return Section(f"impossible-{number}", title, html, figures=drawn)


def _series(variant: Variant, place: int, curves: Curves) -> Series:
    """The training of a variant, every part in the middle of its steps."""
    band = curves.band
    middles = band.step - band.step[0] / 2
    return Series(variant.name, place, middles, band.middle, band.low, band.high, curves.runs)


def _published(variant: Variant, place: int) -> list[Series]:
    """What was published of a variant's regime, as far as it was trained."""
    curve = published_curve(variant.env, variant.regime)
    if curve is None:
        return []
    keep = curve.step <= max(variant.total_steps, int(curve.step[0]))
    middles = (curve.step - curve.step[0] / 2)[keep]
    columns = (column[keep] for column in (curve.mean, curve.low, curve.high))
    return [Series("published", place, middles, *columns)]


def _until(begun: Sequence[tuple[int, Variant, Curves]]) -> float:
    """How far the steps go: to the end of the longest training."""
    return max(float(curves.ends[-1]) for _, _, curves in begun)


def _ends(ours: Sequence[Series], published: Sequence[Sequence[Series]]) -> tuple[float, float]:
    """The least and the greatest value of figures that stand beside each other."""
    every = [*ours, *(one for theirs in published for one in theirs)]
    parts = [np.ravel(part) for one in every for part in (one.middle, one.low, one.high, one.runs)]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def _metric(variant: Variant, place: int, name: str) -> list[Series]:
    """A metric over training, the mean over the seeds that have it.

    In bins that no run measures less often than once; those of a run that is under way, or whose
    minutes were over, end where it is.
    """
    rows = []
    if variant.total_steps < 1:
        return []
    begun = [run for run in variant.runs if run.metrics.get("step", np.zeros(0)).size]
    until = max([variant.total_steps, *(int(run.metrics["step"][-1]) for run in begun)])
    counted = [until * run.metrics["step"].size // run.metrics["step"][-1] for run in begun]
    ends = bin_ends(until, int(min([_METRIC_BINS, *counted])))
    for run in begun:
        column = _illegal_share(run) if name == "illegal_share" else run.metrics.get(name)
        if column is not None and np.isfinite(column).any():
            row = binned_means(run.metrics["step"], column, ends)
            rows.append(np.where(ends - ends[0] < run.metrics["step"][-1], row, np.nan))
    if not rows:
        return []
    table = np.stack(rows)
    counts = np.isfinite(table).sum(0)
    sums = np.where(np.isfinite(table), table, 0.0).sum(0)
    middle = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return [Series(variant.name, place, ends, middle)] if np.isfinite(middle).any() else []


def _all_the_time(series: Sequence[Series]) -> str:
    """What shares that hardly move are, in words; nothing where they move enough to be drawn."""
    values = np.concatenate([one.middle[np.isfinite(one.middle)] for one in series])
    low, high = float(values.min()), float(values.max())
    if low == high == 0.0:
        return "none"
    if high - low >= _FLAT:
        return ""
    ends = dict.fromkeys((wording.percent(low), wording.percent(high)))
    return f"{' to '.join(ends)} all the time"


def _illegal_share(run: ComparedRun) -> np.ndarray | None:
    """Per row of the metrics the share of its steps that were spent on impossible actions."""
    counts = run.metrics.get("illegal_actions")
    if counts is None:
        return None
    share: np.ndarray = np.diff(counts, prepend=0.0) / np.diff(run.metrics["step"], prepend=0.0)
    return share
