"""The tables at the end of a comparison, in a terminal: every seed, and what they come to.

A mean over seeds that fall into two groups stands for none of them, so that the groups are
printed in its place. Returns of training and speeds follow, and what impossible actions
cost those who were not told which they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from maskrl.reports.comparison.naming import with_plain_names
from maskrl.runs.comparison import Comparison
from maskrl.runs.comparison_figures import (
    Figure,
    VariantFigures,
    in_measure,
    measure_of,
    sampled_apart,
)
from maskrl.runs.comparison_overall import Overall, overall_figures

WIDTH = 120
"""Columns of a log file, which has no width of its own."""

CAPTION = (
    "IQM: interquartile mean over seeds, with its 95% interval (bootstrap); where seeds fall into "
    "two groups these stand in its place. P: probability that a run is better than one of the "
    "first row. Score: 0 is random valid play, 1 the reference. Without mask: agents trained under "
    "it, tested when it is taken away. Random, own mask: where that allows more than the rules do."
)


def print_figures(
    comparison: Comparison, figures: Sequence[VariantFigures], console: Console | None = None
) -> None:
    """Print all tables of a comparison, one environment after the other.

    Args:
        comparison: What was compared.
        figures: Of `comparison_figures`.
        console: Where to; standard output by default.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, WIDTH), file=console.file)
    if not figures:
        console.print("no run is finished yet")
        return
    # Words as on the page: those of the command line would be cut off in columns this narrow.
    comparison = with_plain_names(comparison)
    names = {variant.label: variant.name for variant in comparison.variants}
    figures = [replace(one, name=names[one.label]) for one in figures]
    for env in comparison.envs:
        own = [one for one in figures if one.env == env]
        if own:
            console.print(results_table(env, own, comparison.seeds))
            console.print(training_table(comparison, own))
            console.print(waste_table(own))
            if any(math.isfinite(one.waste.kl_published) for one in own):
                console.print(divergence_table(own))
    if overall := overall_figures(figures):
        console.print(overall_table(overall, comparison.envs))
    for one in figures[1:]:
        first = figures[0]
        # Only settings of one environment have a price; another environment is another task.
        alike = one.env != first.env and _base(one.env) == _base(first.env)
        # A ratio of means says nothing where no seed is near one of them.
        whole = not one.final.is_split and not first.final.is_split
        if one.ratio is not None and alike and whole:
            console.print(
                f"{one.label} reaches {one.ratio:.1%} of the score of {first.label}: the price of "
                f"the difference is {1 - one.ratio:.1%}",
                markup=False,
            )


def results_table(env: str, figures: Sequence[VariantFigures], seeds: Sequence[int]) -> Table:
    """The tests: a row per variant, a column per seed.

    Args:
        env: The environment.
        figures: Its variants.
        seeds: Of all runs.
    """
    first = figures[0]
    measure = measure_of(figures)
    table = _table(f"{env}: {measure} of the test", caption=CAPTION)
    columns = [f"seed {seed}" for seed in seeds]
    columns += ["IQM", "95% interval", "P"]
    scored = measure == "return" and first.figure == "score"
    columns += ["score"] if scored else []
    looked = any(one.removed is not None for one in figures)
    # What is taken away has returns and no score of its own.
    without = "without mask" if measure == "return" else "without mask (return)"
    columns += [without] if looked else []
    for name in columns:
        table.add_column(name, justify="right")
    for one in figures:
        test = in_measure(one, measure)
        of_seed = dict(zip(one.seeds, test.values, strict=True))
        cells = [number(of_seed.get(seed)) or "not finished" for seed in seeds]
        cells += [shown(test), interval(test.interval, len(one.seeds))]
        cells.append("" if one.improvement is None else _improvement(one.improvement))
        cells += ["" if one.final.is_split else number(one.final.middle)] if scored else []
        table.add_row(Text(one.name), *cells, *([shown(one.removed)] if looked else []))
    table.add_section()
    scores = measure == "score"
    marks = {"random valid agent": 0.0 if scores else first.random}
    if first.random_played is not None and not scores:
        marks["random, own mask"] = first.random_played
    if first.planner is not None:
        marks["reference"] = 1.0 if scores else first.planner
    if first.untrained is not None and measure == first.figure:
        marks["untrained agent"] = first.untrained
    place = len(seeds)
    for name, value in marks.items():
        table.add_row(Text(name), *[""] * place, number(value), *[""] * (len(columns) - place - 1))
    return table


def training_table(comparison: Comparison, figures: Sequence[VariantFigures]) -> Table:
    """How training went: returns without penalties, steps to the threshold, speeds."""
    threshold = figures[0].threshold
    sampled = bool(sampled_apart(figures))
    table = _table("training: returns without penalties")
    reach = f"steps to {threshold:.3g}" if math.isfinite(threshold) else "steps to threshold"
    names = ["at the end", "over all", *(["test, sampled"] if sampled else [])]
    for name in (*names, reach, "per seed", "steps/s"):
        table.add_column(name, justify="right")
    speeds = {variant.label: [run.speed for run in variant.runs] for variant in comparison.variants}
    for one in figures:
        each = " ".join(_steps(steps) for steps in one.steps_to)
        fast = [steps / seconds for steps, seconds in speeds[one.label] if seconds > 0]
        speed = " ".join(f"{value:,.0f}" for value in fast)
        table.add_row(
            Text(one.name),
            shown(one.trained),
            shown(one.area),
            *([shown(one.sampled)] if sampled else []),
            _steps(one.median_steps),
            each,
            speed,
        )
    return table


def overall_table(overall: Sequence[Overall], envs: Sequence[str]) -> Table:
    """All environments together, where they are near enough to each other for that.

    Args:
        overall: One per way of training.
        envs: The environments, in the order of `Overall.values`.
    """
    table = _table("all environments: 0 is chance, 1 the best run of any")
    for name in (*envs, "IQM", "95% interval, stratified"):
        table.add_column(Text(name), justify="right")
    for one in overall:
        whole = ["far apart", ""] if one.is_split else [number(one.middle), _around(one)]
        table.add_row(Text(one.name), *map(number, one.middles), *whole)
    return table


def _around(one: Overall) -> str:
    return interval(one.interval, 2)


def waste_table(figures: Sequence[VariantFigures]) -> Table:
    """What impossible actions cost."""
    table = _table("impossible actions")
    names = ("illegal actions", "of all steps", "probability on them", "allowed", "forced")
    for name in names:
        table.add_column(name, justify="right")
    for one in figures:
        waste = one.waste
        shares = (
            waste.illegal_share,
            waste.disallowed_mass,
            waste.allowed_share,
            waste.forced_share,
        )
        table.add_row(Text(one.name), f"{waste.illegal_actions:,}", *map(share, shares))
    return table


def divergence_table(figures: Sequence[VariantFigures]) -> Table:
    """How far an update moved the policy, on average."""
    table = _table("divergence of an update, in nats")
    for name in ("of what acts", "of the network without mask", "as published"):
        table.add_column(name, justify="right")
    for one in figures:
        waste = one.waste
        found = (waste.kl_masked, waste.kl_unmasked, waste.kl_published)
        table.add_row(
            Text(one.name), *("" if not math.isfinite(value) else f"{value:.5f}" for value in found)
        )
    return table


def shown(figure: Figure | None) -> str:
    """The one number that stands for the seeds, or the groups that they fall into.

    >>> shown(Figure((0.0, 40.0), 20.0, (0.0, 40.0), ((0.0,), (40.0,))))
    '1 at 0.000, 1 at 40.00'
    """
    if figure is None:
        return ""
    if not figure.is_split:
        return number(figure.middle)
    parts = [f"{len(group)} at {number(sum(group) / len(group))}" for group in figure.groups]
    return ", ".join(parts)


def number(value: float | None) -> str:
    """A number with four digits or three decimals, or nothing where there is none.

    >>> number(1234.5), number(-0.12345), number(None)
    ('1,234.5', '-0.123', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    size = abs(value)
    return f"{value:,.{3 if size < 10 else 2 if size < 100 else 1}f}"


def interval(ends: tuple[float, float], runs: int) -> str:
    """An interval; nothing of a single run, which has none."""
    low, high = map(number, ends)
    return "" if runs < 2 else low if low == high else f"{low} to {high}"


def share(value: float) -> str:
    """A share in percent, or nothing where it is unknown."""
    return "" if not math.isfinite(value) else f"{value:.1%}"


def _improvement(found: tuple[float, float, float]) -> str:
    middle, low, high = found
    return f"{middle:.0%}" if low == high else f"{middle:.0%} ({low:.0%}-{high:.0%})"


def _steps(steps: float) -> str:
    return f"{steps:,.0f}" if math.isfinite(steps) else "never"


def _table(title: str, caption: str | None = None) -> Table:
    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        caption=caption,
        caption_justify="left",
    )
    table.add_column("", overflow="fold", min_width=10)
    return table


def _base(env: str) -> str:
    """The environment without settings."""
    return env.partition("?")[0]
