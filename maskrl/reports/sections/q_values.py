"""One decision by value: the Q-values of all actions, and what the mask leaves of them.

The step is chosen by a rule that the caption states: where a disallowed action has the
largest lead over the best allowed one, so that a maximum without the mask would have gone
wrong most; if that happens nowhere, where the best disallowed one comes nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from maskrl.figures.q_values import q_values_figure
from maskrl.policies.episode import EpisodeRecord
from maskrl.policies.head_view import HeadView
from maskrl.reports import wording
from maskrl.reports.section import Section, figure_place, paragraph
from maskrl.reports.shown_choices import choice_names, value_rows

_INTRO = (
    "The network gives every action a value, the disallowed ones among them. What it says of those "
    "was never tried and means nothing: {fate}. Crosses and hatching mark them. Bars begin at the "
    "dashed line, the best value that the mask allows: what reaches to the right of it is what a "
    "maximum without the mask would take."
)


@dataclass(frozen=True)
class Temptation:
    """A step, and by how much a disallowed action is worth more than the best allowed one.

    Attributes:
        episode: number of the episode, from 0.
        index: number of the step in it, from 0.
        view: the decision.
        lead: largest disallowed value minus largest allowed one.
    """

    episode: int
    index: int
    view: HeadView
    lead: float


_FATE = {
    True: "they are neither chosen nor bootstrapped from",
    False: "they are never chosen, and in this run, of the naive regime, bootstrapped from all the "
    "same",
}
"""What becomes of such values, by whether targets obey the mask."""


def q_values_section(
    episodes: Sequence[EpisodeRecord], *, masked_targets: bool = True
) -> Section | None:
    """The values of the step at which a maximum without mask would have gone wrong most.

    Args:
        episodes: recorded episodes.
        masked_targets: whether the values were learned from targets that obey the mask.

    Returns:
        The section, or None where no step has both Q-values and a disallowed action.
    """
    found = temptations(episodes)
    if not found:
        return None
    worst = max(found, key=lambda t: t.lead)
    view = worst.view
    rows = value_rows(view)
    names = choice_names(view)
    values = np.asarray(view.q_values)
    figure = q_values_figure(
        [names[k] for k in rows],
        values[rows],
        view.allowed[rows],
        action=rows.index(view.action),
    )
    caption = escape(_caption(worst, found, names, len(rows), episodes, masked_targets))
    intro = _INTRO.format(fate=_FATE[masked_targets])
    html = paragraph(intro, kind="intro") + figure_place("q-values", figure, caption=caption)
    return Section("values", "One decision by value", html, {"q-values": figure})


def temptations(episodes: Sequence[EpisodeRecord]) -> list[Temptation]:
    """Every step that has Q-values of allowed and of disallowed actions.

    Empty rows:
        Steps that allow nothing are left out.
    """
    found = []
    for number, episode in enumerate(episodes):
        for index, step in enumerate(episode.steps):
            if step.q_values is None or step.action_mask is None:
                continue
            (view, *others) = episode.head_views(step)
            values, allowed = np.asarray(step.q_values, np.float64), view.allowed
            if others or not np.isfinite(values).all() or allowed.all() or not allowed.any():
                continue
            lead = float(values[~allowed].max() - values[allowed].max())
            found.append(Temptation(number, index, view, lead))
    return found


def _caption(
    worst: Temptation,
    found: Sequence[Temptation],
    names: Sequence[str],
    shown: int,
    episodes: Sequence[EpisodeRecord],
    masked_targets: bool,
) -> str:
    """Which step it is, why it was chosen, and what the mask prevented in all steps."""
    view = worst.view
    values = np.asarray(view.q_values, np.float64)
    best = int(np.where(view.allowed, values, -np.inf).argmax())
    other = int(np.where(view.allowed, -np.inf, values).argmax())
    which = f"episode {worst.episode + 1}" if len(episodes) > 1 else "the episode"
    n = len(values)
    parts = [
        f"Step {worst.index} of {which} above: {int(view.allowed.sum())} of {n} actions are "
        f"allowed. The best of them is {_quoted(names[best])} at {wording.number(values[best])}, "
        f"the best disallowed one {_quoted(names[other])} at {wording.number(values[other])}."
    ]
    wrong = sum(t.lead > 0 for t in found)
    steps = sum(len(episode.steps) for episode in episodes)
    if wrong:
        parts.append(
            f"In {count_of(wrong, steps)} recorded a disallowed action has the largest value of "
            "all, here by the largest margin. A maximum without the mask would choose it there, "
            + (
                "and a target without the mask would learn from it."
                if masked_targets
                else "and the targets of this run learned from it."
            )
        )
    else:
        parts.append(
            f"In none of the {wording.plural(steps, 'step')} recorded has a disallowed action the "
            "largest value; here it comes nearest."
        )
    if view.action != best and episodes[worst.episode].by_value:
        parts.append(f"The agent takes {_quoted(names[view.action])}.")
    if shown < n:
        parts.append(f"{shown} of {n} actions are shown: the best allowed and disallowed ones.")
    return " ".join(parts)


def count_of(part: int, whole: int) -> str:
    """A share of steps in words: "37 of 220 steps (17 %)"."""
    share = wording.percent(part / whole)
    return f"{wording.count(part)} of {wording.plural(whole, 'step')} ({share})"


def _quoted(name: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK}"
