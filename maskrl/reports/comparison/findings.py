"""What a comparison found, in sentences that are computed: no word of it stands in advance.

Each function looks at the figures of one environment and gives sentences, or none where
there is nothing of that kind to say. Numbers are those of the tables on the same page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from maskrl.reports import wording
from maskrl.reports.comparison.beside_published import BesidePublished
from maskrl.runs.comparison import MASKED
from maskrl.runs.comparison_figures import (
    Figure,
    VariantFigures,
    chance_of,
    in_measure,
    measure_of,
    sampled_apart,
)
from maskrl.runs.comparison_overall import Overall

NEAR = 0.02
"""Share of the best published return by which seeds may be off and still agree."""

CHANCE = 0.05
"""A separation of all seeds that chance alone makes more often than this says little."""


def findings_of(figures: Sequence[VariantFigures]) -> list[str]:
    """Sentences about one environment, the most important first.

    Args:
        figures: Of its variants with a finished run, the first being the one to compare with.
    """
    if not figures:
        return []
    return [
        *_best(figures),
        *_split(figures),
        *_against_the_first(figures),
        *_sampled(figures),
        *_how_soon(figures),
        *_without_mask(figures),
    ]


def waste_findings(figures: Sequence[VariantFigures]) -> list[str]:
    """Sentences about what impossible actions cost and what masks do to updates.

    Args:
        figures: As of `findings_of`.
    """
    return [*_wasted(figures), *_moved(figures)] if figures else []


def overall_findings(overall: Sequence[Overall], envs: Sequence[str]) -> list[str]:
    """Sentences about all environments together.

    Args:
        overall: Of `maskrl.runs.comparison_figures.overall_figures`.
        envs: Their names, in the order of `Overall.values`.
    """
    if not overall:
        return []
    alike, apart = [], []
    for one in sorted(overall, key=lambda one: one.middle, reverse=True):
        low, high = map(wording.number, one.interval)
        around = "" if low == high else f" ({low} to {high})"
        text = f"{_quoted(one.name)} {wording.number(one.middle)}{around}"
        if not one.is_split:
            alike.append(text)
            continue
        places = [
            f"{wording.number(middle)} on {env}"
            for middle, env in zip(one.middles, envs, strict=True)
        ]
        apart.append(f"{_quoted(one.name)} {wording.listing(places)}")
    found = []
    scale = "from 0, chance, to 1, the best run of any"
    if alike:
        found.append(
            f"Over all environments, {scale}, the interquartile means and their 95% intervals are "
            f"{wording.listing(alike)}."
        )
    if apart:  # a mean over environments would be near none of them
        begin = "On the same scale" if alike else scale.capitalize()
        found.append(f"{begin}, results differ by environment: {'; '.join(apart)}.")
    return found


def figure_text(figure: Figure) -> str:
    """The number that stands for the seeds with its interval, or the groups they fall into."""
    if figure.is_split:
        parts, word = [], " seeds"
        for group in figure.groups:
            about = "about " if len(set(group)) > 1 else ""
            count = "one" if len(group) == 1 else f"{len(group)}{word}"
            word = word if len(group) == 1 else ""
            parts.append(f"{about}{number_text(sum(group) / len(group))} in {count}")
        return wording.listing(parts)
    low, high = figure.interval
    if len(figure.values) < 2 or low == high:
        return number_text(figure.middle)
    return f"{number_text(figure.middle)} ({number_text(low)} to {number_text(high)})"


def _best(figures: Sequence[VariantFigures]) -> list[str]:
    measure = measure_of(figures)
    ranked = sorted(figures, key=lambda one: _rank(in_measure(one, measure)), reverse=True)
    best, worst = ranked[0], ranked[-1]
    height = in_measure(best, measure)
    score = ""
    if measure == "return" and best.figure == "score":
        score = f", a score of {number_text(best.final.middle)}"
    reached = f"a {measure} of {figure_text(height)} over {_seeds(best)}{score}"
    if len(ranked) == 1:
        return [f"{_name(best)} reached in the test {reached}.", *_no_better_than_chance(figures)]
    equal = [one for one in ranked if _rank(in_measure(one, measure)) == _rank(height)]
    least = in_measure(worst, measure)
    lowest = [one for one in ranked if _rank(in_measure(one, measure)) == _rank(least)]
    last = f" Last came {_listed(lowest)} with {figure_text(least)}."
    if len(equal) > 1:  # nobody is called better for being asked for first
        text = (
            f"{_listed(equal)} have the same interquartile mean in the test, a {measure} of "
            f"{number_text(height.middle)}{score}"
        )
        found = [text + "." if len(equal) == len(ranked) else f"{text}, the best of all.{last}"]
    else:
        found = [f"{_name(best)} did best in the test: {reached}.{last}"]
    return [*found, *_no_better_than_chance(figures)]


def _rank(figure: Figure) -> tuple[float, bool, float]:
    """How good: the middle, then whether it stands for all seeds, then their mean."""
    return figure.middle, not figure.is_split, figure.mean if figure.is_split else 0.0


def _no_better_than_chance(figures: Sequence[VariantFigures]) -> list[str]:
    """Who learned nothing: no seed returns more than random play does."""
    chance = chance_of(figures)
    idle = [one for one in figures if max(one.returned.values) <= chance]
    if not idle:
        return []
    return [
        f"No seed of {_listed(idle, 'or')} returns more than {chance_text(figures)}, which returns "
        f"{number_text(chance)}."
    ]


def chance_text(figures: Sequence[VariantFigures]) -> str:
    """What `chance_of` is the return of."""
    first = figures[0]
    if chance_of(figures) == first.random:
        return "random valid play"
    return f"random play under the mask of {_name(first)}"


def _against_the_first(figures: Sequence[VariantFigures]) -> list[str]:
    first = figures[0]
    sure: dict[str, list[VariantFigures]] = {"better": [], "worse": []}
    leaning, undecided = [], []
    for one in figures[1:]:
        if one.improvement is None:
            continue
        probability, low, high = one.improvement
        if probability in (0.0, 1.0):
            sure["better" if probability else "worse"].append(one)
        elif low <= 0.5 <= high:
            undecided.append(one)
        else:
            leaning.append(one)
    found = []
    for word, those in sure.items():
        if those:
            runs = "Every run" if len(those) == 1 else "All runs"
            verb = "is" if len(those) == 1 else "are"
            found.append(
                f"{runs} of {_listed(those)} {verb} {word} than every run of "
                f"{_name(first)}{_by_chance(first, those)}."
            )
    for one in leaning:
        assert one.improvement is not None
        place = "ahead of" if one.improvement[0] > 0.5 else "behind"
        found.append(f"{_name(one)} is {place} {_name(first)}: {_odds(one)}.")
    if undecided:
        parts = [f"{_name(one)} ({_odds(one)})" for one in undecided]
        found.append(
            f"These seeds do not decide between {_name(first)} and {wording.listing(parts)}."
        )
    return found


def _odds(one: VariantFigures) -> str:
    assert one.improvement is not None
    probability, low, high = one.improvement
    if low == high:
        return f"better in {wording.percent(probability)} of the pairs of runs"
    return (
        f"better in {wording.percent(probability)} of the pairs of runs, 95% interval "
        f"{wording.percent(low)} to {wording.percent(high)}"
    )


def _by_chance(first: VariantFigures, those: Sequence[VariantFigures]) -> str:
    """A warning where so few seeds part like this by chance, seen from both sides."""
    n = len(first.seeds)
    worst = max(2 / math.comb(n + len(one.seeds), n) for one in those)
    if worst <= CHANCE:
        return ""
    share = wording.percent(min(worst, 1.0))
    return f"; with so few seeds chance alone does that in {share} of all cases"


def _split(figures: Sequence[VariantFigures]) -> list[str]:
    measure = measure_of(figures)
    split = [one for one in figures if in_measure(one, measure).is_split]
    if not split:
        return []
    parts = [f"{_name(one)} ({figure_text(in_measure(one, measure))})" for one in split]
    return [f"Seeds fall into two groups, for which no mean stands, in {wording.listing(parts)}."]


def _how_soon(figures: Sequence[VariantFigures]) -> list[str]:
    threshold = figures[0].threshold
    if not math.isfinite(threshold):
        return []
    arrived = [one for one in figures if math.isfinite(one.median_steps)]
    late = [one for one in figures if not math.isfinite(one.median_steps)]
    found = []
    if arrived:
        soonest = min(arrived, key=lambda one: one.median_steps)
        text = (
            f"In training a return of {short_text(threshold)} was reached first by "
            f"{_name(soonest)}, after a median of {wording.large(soonest.median_steps)} steps"
        )
        others = [one for one in arrived if one is not soonest]
        if others:
            text += "; " + wording.listing(
                [
                    f"{_name(one)} took {wording.large(one.median_steps)}"
                    + (f" ({one.median_steps / soonest.median_steps:.1f} times as many)")
                    for one in others
                ]
            )
        found.append(text + ".")
    if late and arrived:
        never = [one for one in late if not any(map(math.isfinite, one.steps_to))]
        parts = [
            f"{sum(map(math.isfinite, one.steps_to))} of {wording.plural(len(one.seeds), 'seed')} "
            f"of {_name(one)}"
            for one in late
            if one not in never
        ]
        if never:
            parts.append(f"no seed of {_listed(never, 'or')}")
        found[-1] += f" Of the others {wording.listing(parts)} reached it."
    return found


def _wasted(figures: Sequence[VariantFigures]) -> list[str]:
    wasteful = [one for one in figures if one.waste.illegal_share > 0]
    clean = [one for one in figures if one.waste.illegal_actions == 0]
    told = [one for one in figures if math.isfinite(one.waste.disallowed_mass)]
    leaky = [one for one in told if one in wasteful]
    found = []
    if wasteful:
        parts = [
            f"{wording.percent(one.waste.illegal_share)} in {_name(one)}"
            for one in sorted(wasteful, key=lambda one: -one.waste.illegal_share)
        ]
        text = f"Of the steps of training, impossible actions took {wording.listing(parts)}."
        if leaky:
            text += (
                f" The mask of {_listed(leaky)} lets through what the environment refuses: it "
                "allows more than the rules do."
            )
        found.append(text)
    if clean:
        found.append(f"{_listed(clean)} executed no illegal action, in training or test.")
    if told:
        parts = [f"{wording.percent(one.waste.disallowed_mass)} in {_name(one)}" for one in told]
        found.append(
            "Without its mask the trained network would put on disallowed actions a probability "
            f"of {wording.listing(parts)}."
        )
    return found


def _sampled(figures: Sequence[VariantFigures]) -> list[str]:
    return [
        f"{_name(one)} returns {figure_text(one.sampled)} with sampled actions, as in training, "
        f"and {figure_text(one.returned)} with the most probable ones."
        for one in sampled_apart(figures)
        if one.sampled is not None
    ]


def _without_mask(figures: Sequence[VariantFigures]) -> list[str]:
    found = []
    measure = measure_of(figures)
    for one in figures:
        if one.removed is None or one.regime != MASKED:
            continue
        then = figure_text(one.removed)
        # Returns with returns: what is taken away has no score of its own.
        instead = f" instead of {figure_text(one.returned)}" if measure == "return" else ""
        drawn = ""
        if one.removed_sampled is not None and one.removed_sampled.middle > one.removed.middle:
            drawn = f", and {figure_text(one.removed_sampled)} with sampled actions"
        found.append(
            f"With its mask taken away in the test {_name(one)} returns {then}{instead}{drawn}."
        )
    return found


def _moved(figures: Sequence[VariantFigures]) -> list[str]:
    by_regime = {one.regime: one.waste for one in reversed(figures)}
    masked, naive = by_regime.get(MASKED), by_regime.get("naive")
    if masked is None or naive is None:
        return []
    pair = (naive.kl_published, masked.kl_published)
    if not all(map(math.isfinite, pair)) or min(pair) <= 0:
        return []
    text = (
        f"An update moves the naive policy {_times(*pair)} the masked one by the published estimate"
    )
    exact = (naive.kl_masked, masked.kl_masked)
    if all(map(math.isfinite, exact)) and min(exact) > 0:
        text += f", and {_times(*exact)} that one by the exact divergence of what acts"
    return [f"{text}."]


def _times(ours: float, theirs: float) -> str:
    """How far beside another: "3.2 times as far as", or "about as far as" where that is all."""
    ratio = ours / theirs
    return "about as far as" if 0.9 <= ratio <= 1.1 else f"{ratio:.2g} times as far as"


def published_findings(published: Sequence[BesidePublished]) -> list[str]:
    """Whether training lies where the published runs were, seeds with seeds.

    Args:
        published: The variants that somebody published results of.
    """
    if not published:
        return []
    near = NEAR * max(one.high for one in published)
    parts: dict[str, list[str]] = {"meet": [], "above": [], "below": []}
    for one in published:
        place, text = one.place_of(near), _quoted(one.name)
        if place != "meet":
            ours = range_text(min(one.ours), max(one.ours))
            text += f" ({ours}; published {range_text(one.low, one.high)})"
        parts[place].append(text)
    said = []
    if parts["meet"]:
        said.append(
            "the ranges of our seeds and of the published runs meet for "
            f"{wording.listing(parts['meet'])}"
        )
    said += [
        f"our seeds lie {place} the published runs for {wording.listing(parts[place])}"
        for place in ("above", "below")
        if parts[place]
    ]
    spans = sorted({(one.begin, one.end) for one in published})
    when = wording.listing([f"{wording.large(a)} to {wording.large(b)}" for a, b in spans])
    return [f"From {when} steps, {'; '.join(said)}."]


def range_text(low: float, high: float) -> str:
    """From the least to the greatest, or one number where they read the same."""
    ends = number_text(low), number_text(high)
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _name(one: VariantFigures) -> str:
    return _quoted(one.name)


def _quoted(name: str) -> str:
    return f"“{name.replace(' ', wording.SPACE)}”"


def _listed(figures: Sequence[VariantFigures], word: str = "and") -> str:
    text = wording.listing([_name(one) for one in figures])
    return text if word == "and" else f" {word} ".join(text.rsplit(" and ", 1))


def group_text(values: Sequence[float]) -> str:
    """Seeds that ended up near each other: 3 near 39.8, or one at 0.40."""
    middle = number_text(sum(values) / len(values))
    return f"{len(values)} near {middle}" if len(values) > 1 else f"one at {middle}"


def _seeds(one: VariantFigures) -> str:
    return wording.plural(len(one.seeds), "seed")


def short_text(value: float) -> str:
    """A number of at most four digits without zeros at its end.

    >>> short_text(37.7), short_text(4.0)
    ('37.7', '4')
    """
    return f"{value:.4g}".replace("-", wording.MINUS) if abs(value) < 1e4 else wording.count(value)


def number_text(value: float) -> str:
    """A return or score with as many decimals as it deserves; none of exactly 0.

    >>> number_text(0.0), number_text(0.4412), number_text(39.5)
    ('0', '0.441', '39.50')
    """
    size = abs(value)
    return "0" if not size else wording.number(value, 3 if size < 1 else 2 if size < 100 else 1)
