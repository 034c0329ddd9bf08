"""Questions about learning, and what several seeds answer: tables, verdicts and a picture.

Used by `team_learning.py`. An arm's results are plain data: for every measure the value of each
seed, their mean and its interval. Two intervals that have no point in common separate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import numpy as np

MEASURES = {
    "score": "score",
    "sampled_score": "score, sampled actions",
    "return": "return",
    "sampled_return": "return, sampled actions",
    "entropy_acting": "entropy of an acting agent",
    "entropy_trained": "entropy that is trained",
    "clipped_joint": "clipped, ratio of the team",
    "clipped_agent": "clipped, ratio of an agent",
    "clipped_head": "clipped, ratio of a head",
}
"""What may be measured, and what tables call it."""

AHEAD = 0.05
"""Share of a run by which the clock may anneal ahead of the steps and a table says nothing."""

Results = Mapping[str, Mapping[str, Any]]
"""Per arm what came out of its runs."""


@dataclass(frozen=True)
class Question:
    """What is compared, with what, and by which measures.

    Attributes:
        key: A letter.
        title: In a few words.
        arms: Names, in the order of the table.
        pairs: Of which it is said whether their intervals separate.
        measures: Columns of the table, of `MEASURES`; the first is shown seed by seed and drawn.
        judged: Those that verdicts are about.
    """

    key: str
    title: str
    arms: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    measures: tuple[str, ...]
    judged: tuple[str, ...]


def verdict(first: Mapping[str, Any], second: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Whether the intervals of two arms separate, in figures and in words.

    Args:
        first: `figures_of` an arm.
        second: Of another.
        of: A measure.
    """
    (a, b), (c, d) = first[of]["interval"], second[of]["interval"]
    difference = first[of]["mean"] - second[of]["mean"]
    several = min(len(first["seeds"]), len(second["seeds"])) > 1
    separate = several and (a > d or c > b)
    names = f"{first['arm']} and {second['arm']}"
    if separate:
        words = f"{first['arm']} is {'above' if difference > 0 else 'below'} {second['arm']}"
    elif several:
        words = f"{names} are not told apart"
    else:
        words = f"one seed cannot tell {names} apart"
    shown = f"{a:.3f} to {b:.3f} and {c:.3f} to {d:.3f}"
    return {
        "arms": [first["arm"], second["arm"]],
        "of": of,
        "difference": difference,
        "separate": separate,
        "words": f"{MEASURES[of]}: {words} ({shown}, difference {difference:+.3f})",
    }


def verdicts(question: Question, results: Results) -> list[dict[str, Any]]:
    """What may be said of a question's pairs."""
    pairs = [(results[one], results[other]) for one, other in question.pairs]
    return [
        verdict(one, other, of)
        for one, other in pairs
        for of in question.judged
        if of in one and of in other
    ]


def table(question: Question, results: Results) -> str:
    """A question's arms, seed by seed, and what may be said of them; Markdown."""
    arms = [results[name] for name in question.arms]
    measures = [name for name in question.measures if all(name in arm for arm in arms)]
    head = ["", f"{MEASURES[measures[0]]}, seed by seed"]
    head += [f"{MEASURES[name]}: mean (95 % interval)" for name in measures]
    head += ["random", "script", "illegal", "parameters", "steps", "minutes"]
    lines = [f"({question.key}) {question.title}: {arms[0]['episodes']} test episodes", ""]
    lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for arm in arms:
        cells = [arm["meaning"], " ".join(f"{x:.3f}" for x in arm[measures[0]]["seeds"])]
        for name in measures:
            low, high = arm[name]["interval"]
            cells.append(f"{arm[name]['mean']:.3f} ({low:.3f} to {high:.3f})")
        cells += ["-" if x is None else f"{x:.2f}" for x in (arm["random"], arm["script"])]
        cells += [f"{sum(arm['illegal_actions']):,}", f"{arm['parameters']:,}"]
        cells += [
            f"{min(arm['steps']):,}",
            f"{min(arm['minutes']):.1f} to {max(arm['minutes']):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for arm in arms:
        short = [
            s for s, n in zip(arm["seeds"], arm["steps"], strict=True) if n < arm["asked_steps"]
        ]
        if short:
            lines.append(
                f"- {arm['arm']}: out of time before {arm['asked_steps']:,} steps: seeds {short}"
            )
        if (ahead := max(arm["ahead"])) > AHEAD:
            lines.append(
                f"- {arm['arm']}: the clock annealed its learning rate, up to {ahead:.0%} of the "
                "run ahead of the steps; --patience gives more time"
            )
    lines += [f"- {said['words']}" for said in verdicts(question, results)]
    return "\n".join(lines)


def picture(asked: Sequence[Question], results: Results) -> str:
    """Every seed as a dot, mean and interval as a line; SVG, light and dark."""
    left, right, row = 350, 860, 26
    style = (
        "text{font:14px system-ui,sans-serif;fill:#1c2430}.m{fill:#5a6574;font-size:12px}"
        ".q{font-weight:600}.g{stroke:#d5dae1}.d{fill:#2a78d0;fill-opacity:.55}.i{stroke:#d4602a;stroke-width:3}"
        "@media(prefers-color-scheme:dark){text{fill:#e6eaf0}.m{fill:#a3adba}.g{stroke:#3a434e}}"
    )
    parts: list[str] = []
    y = 30
    for question in asked:
        arms = [results[name] for name in question.arms]
        of = next(name for name in question.measures if name in arms[0])
        marks = ticks([x for arm in arms for x in (*arm[of]["seeds"], *arm[of]["interval"])])
        scale = partial(np.interp, xp=(marks[0], marks[-1]), fp=(left, right))
        parts.append(f'<text class="q" x="8" y="{y}">({question.key}) {question.title}</text>')
        top = y + 8
        for arm in arms:
            y += row
            a, middle, b = (
                scale(x) for x in (arm[of]["interval"][0], arm[of]["mean"], arm[of]["interval"][1])
            )
            parts.append(f'<text x="24" y="{y}">{escape(arm["meaning"])}</text>')
            parts.append(f'<path class="i" d="M{a:.1f} {y - 5}H{b:.1f}M{middle:.1f} {y - 12}v14"/>')
            for value, seed in zip(arm[of]["seeds"], arm["seeds"], strict=True):
                dot = f'<circle class="d" cx="{scale(value):.1f}" cy="{y - 5}" r="4.5">'
                parts.append(f"{dot}<title>seed {seed}: {value:.3f}</title></circle>")
        grid = []
        for tick in marks:
            grid.append(f'<path class="g" d="M{scale(tick):.1f} {top}V{y + 6}"/>')
            grid.append(f'<text class="m" x="{scale(tick):.1f}" y="{y + 22}" text-anchor="middle">')
            grid.append(f"{tick:.10g}</text>")
        parts = [*grid, *parts]
        parts.append(f'<text class="m" x="24" y="{y + 22}">{MEASURES[of]}</text>')
        y += 64
    size = f'width="900" height="{y - 20}" viewBox="0 0 900 {y - 20}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="results by arm">'
        f"<style>{style}</style>\n{body}\n</svg>\n"
    )


def ticks(values: Sequence[float]) -> list[float]:
    """Round numbers from below to above all values, four to ten of them."""
    low, high = min(values), max(values)
    power = 10.0 ** np.floor(np.log10(max(high - low, 1e-6)))
    step = next(k * power for k in (0.1, 0.2, 0.5, 1.0) if (high - low) / (k * power) < 8)
    first, last = np.floor(low / step), np.ceil(high / step + 1e-9)
    return [round(float(number * step), 10) for number in np.arange(first, last + 1)]
