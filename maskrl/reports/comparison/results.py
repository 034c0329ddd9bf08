"""The tests of a comparison on its page: a table that sorts, and every seed as a point.

Numbers that no seed is near are left out: where seeds fall into two groups the groups stand in
the place of a mean. All text that came from outside is escaped on its way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from maskrl.figures.compared_curves import colour_of
from maskrl.figures.seed_strips import Strip, seed_strips
from maskrl.reports import wording
from maskrl.reports.comparison.findings import chance_text, group_text, number_text, short_text
from maskrl.reports.section import Section, figure_place, paragraph
from maskrl.runs.comparison import Comparison, Variant
from maskrl.runs.comparison_figures import (
    Figure,
    VariantFigures,
    chance_of,
    in_measure,
    measure_of,
    sampled_apart,
)


def results_section(
    comparison: Comparison, figures: Sequence[VariantFigures], number: int
) -> Section | None:
    """The test: a table of every seed that sorts by any column, and the seeds as points.

    Args:
        comparison: What was compared.
        figures: Of the variants on one environment.
        number: The environment's place, for ids.
    """
    if not figures:
        return None
    first = figures[0]
    measure = measure_of(figures)
    strips = [
        Strip(
            one.name,
            place,
            one.seeds,
            (test := in_measure(one, measure)).values,
            None if test.is_split else test.middle,
            None if test.is_split or len(one.seeds) < 2 else test.interval,
        )
        for place, one in _placed(comparison, figures)
    ]
    scored = measure == "score"
    chance, how = chance_of(figures), chance_text(figures)
    lines = [(0.0 if scored else chance, "chance")]
    if first.planner is not None:
        lines.append((1.0 if scored else first.planner, "reference"))
    figure = seed_strips(strips, label=f"{measure} of the test", lines=lines)
    identity = f"seeds-{number}"
    counts = comparison.tested_episodes
    many = " to ".join(dict.fromkeys(map(wording.count, (min(counts), max(counts)))))
    intro = f"{many} test episodes per run, the most probable action at every step. Chance, {how},"
    intro += f" returns {number_text(chance)}"
    if chance != first.random:
        intro += f"; random valid play, by all of the rules, {number_text(first.random)}"
    if first.planner is not None:
        intro += f"; the reference returns {number_text(first.planner)}"
    if first.figure == "score":
        intro += ". The score is 0 for random valid play and 1 for the reference"
    caption = (
        "Each point is a seed; the bar is the interquartile mean in its 95% interval, left out "
        "where the seeds fall into two groups."
    )
    html = (
        paragraph(f"{intro}.", kind="intro")
        + results_table(comparison, figures)
        + figure_place(identity, figure, title="Every seed in the test", caption=escape(caption))
    )
    title = "Results" if len(comparison.envs) == 1 else f"Results on {first.env}"
    return Section(f"results-{number}", title, html, figures={identity: figure})


def results_table(comparison: Comparison, figures: Sequence[VariantFigures]) -> str:
    """The table of one environment's variants, ready to be sorted by the page's script."""
    first = figures[0]
    threshold = first.threshold
    measure = measure_of(figures)
    reach = f"steps to {short_text(threshold)}" if math.isfinite(threshold) else "steps"
    # Beside scores it has to be said of what returns are.
    unit = "" if measure == "return" else " (return)"
    scored = measure == "return" and first.figure == "score"
    sampled = bool(sampled_apart(figures))
    removed = any(one.removed is not None for one in figures)
    columns = [
        ("variant", ""),
        (f"test {measure}", "Interquartile mean over seeds, 95% interval, and every seed"),
        *([("score", "0: random valid play, 1: the reference")] if scored else []),
        *([(f"test, sampled{unit}", "The same agents, actions sampled")] if sampled else []),
        *([(f"test, mask removed{unit}", "The same agents without their mask")] if removed else []),
        (f"better than {first.name}", "Share of pairs of runs, ties counting half; 95% interval"),
        (f"end of training{unit}", "Return of the last 25th part"),
        (f"whole training{unit}", "Mean return: the area under the curve"),
        (reach, f"Median over seeds; mean of {comparison.window} episodes in a row"),
        ("impossible actions", "Share of the steps of training"),
        ("steps/s", "Environment steps per second of training"),
    ]
    head = "".join(
        f'<th scope="col" aria-sort="none" title="{escape(meaning)}">'
        f'<button type="button" data-sort="{k}">{escape(name)}</button></th>'
        for k, (name, meaning) in enumerate(columns)
    )
    speeds = {variant.label: _speed(variant) for variant in comparison.variants}
    body = []
    for place, one in _placed(comparison, figures):
        steps = wording.large(one.median_steps) if math.isfinite(one.median_steps) else "never"
        test = in_measure(one, measure)
        seeds = " ".join(
            f'<span title="seed {seed}">{escape(_short(value))}</span>'
            for seed, value in zip(one.seeds, test.values, strict=True)
        )
        cells = [_figure_cell(test, seeds)]
        cells += [_score_cell(one.final)] if scored else []
        cells += [_figure_cell(one.sampled)] if sampled else []
        cells += [_figure_cell(one.removed)] if removed else []
        cells += [
            _cell(*_improvement(one)),
            _figure_cell(one.trained),
            _figure_cell(one.area),
            _cell(steps, one.median_steps, _each(one.steps_to)),
            _cell(wording.percent(one.waste.illegal_share, 1), one.waste.illegal_share),
        ]
        speed = speeds[one.label]
        cells.append(_cell("" if speed is None else wording.count(speed), speed or math.nan))
        body.append(
            f'<tr><th scope="row" data-value="{place}">{swatch(place)}{escape(one.name)}</th>'
            f"{''.join(cells)}</tr>"
        )
    return (
        '<div class="card wide-table"><table class="results" data-sortable>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def swatch(place: int) -> str:
    """A spot in the colour of the variant at this place (HTML)."""
    return f'<i class="swatch" style="background:{colour_of(place)}"></i>'


def _placed(
    comparison: Comparison, figures: Sequence[VariantFigures]
) -> list[tuple[int, VariantFigures]]:
    """Each variant with its place on its environment, which is its colour."""
    env = figures[0].env
    places = {variant.label: place for place, variant in enumerate(comparison.on(env))}
    return [(places[one.label], one) for one in figures]


def _cell(text: str, value: float, below: str = "") -> str:
    """A cell: what is read, what is sorted by, and small print (HTML)."""
    key = repr(float(value)) if math.isfinite(value) else ("inf" if value > 0 else "")
    small = f"<small>{below}</small>" if below else ""
    return f'<td data-value="{key}">{escape(text)}{small}</td>'


def _figure_cell(figure: Figure | None, below: str = "") -> str:
    """A figure: the number that stands for the seeds over its interval, or both groups."""
    if figure is None:
        return _cell("", math.nan)
    if figure.is_split:
        low, high = (group_text(group) for group in figure.groups)
        return _cell(low, figure.middle, f"{escape(high)}<br>{below}" if below else escape(high))
    low_end, high_end = map(number_text, figure.interval)
    interval = f"{escape(low_end)} to {escape(high_end)}" if low_end != high_end else ""
    parts = [part for part in (interval, below) if part]
    return _cell(number_text(figure.middle), figure.middle, "<br>".join(parts))


def _score_cell(figure: Figure) -> str:
    """A score beside the return that it is made of, which has the seeds and the interval."""
    if not figure.is_split:
        return _cell(number_text(figure.middle), figure.middle)
    low, high = (number_text(sum(group) / len(group)) for group in figure.groups)
    return _cell(low, figure.middle, escape(high))


def _improvement(one: VariantFigures) -> tuple[str, float, str]:
    if one.improvement is None:
        return "", math.nan, ""
    middle, low, high = one.improvement
    interval = "" if low == high else f"{wording.percent(low)} to {wording.percent(high)}"
    return wording.percent(middle), middle, interval


def _each(steps: Sequence[float]) -> str:
    parts = [f"<span>{_thousands(s)}</span>" for s in steps]
    return " ".join(parts) if len(parts) > 1 else ""


def _thousands(steps: float) -> str:
    """A number of steps in few characters: 840, 34.4k, 1.2M, never."""
    if not math.isfinite(steps):
        return "never"
    if steps < 1e3:
        return f"{steps:.0f}"
    return f"{steps / 1e3:.3g}k" if steps < 999_500 else f"{steps / 1e6:.3g}M"


def _short(value: float) -> str:
    """Three digits of a seed's value, without zeros at the end.

    >>> _short(40.0), _short(0.125), _short(-0.0)
    ('40', '0.125', '0')
    """
    if abs(value) >= 1000:
        return wording.count(value)
    return f"{value + 0.0:.3g}".replace("-", wording.MINUS)


def _speed(variant: Variant) -> float | None:
    found = [steps / seconds for steps, seconds in (r.speed for r in variant.runs) if seconds > 0]
    return float(np.median(found)) if found else None
