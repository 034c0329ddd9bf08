"""The heads of one step as bars: raw logits, mask, probabilities.

The step is chosen by a rule that the caption states: where the network alone would have
put the most probability on disallowed choices. An action of several heads gets a figure
per head, of which those that do not count say so; bits share one figure; of a set of
candidates those that can be chosen are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures import action_bits_figure, action_head_figure
from maskrl.policies.episode import EpisodeRecord, EpisodeStep
from maskrl.policies.head_view import HeadView, action_text
from maskrl.reports import wording
from maskrl.reports.section import Section, figure_place, paragraph
from maskrl.reports.shown_choices import action_rows, bit_rows, choice_names

MAX_HEADS = 12
"""Heads of one decision that are drawn."""

_TITLE = "One decision under the mask"
_INTROS = {
    "discrete": (
        "The network gives every action a logit. The mask takes out what is impossible now, and "
        "the probabilities are shared among what is left. Crosses and hatching mark what is "
        "disallowed."
    ),
    "candidates": (
        "The network gives every candidate a score, by the same rule for all. The mask says which "
        "of them are there and can be chosen, and the probabilities are shared among those."
    ),
    "multi_binary": (
        "The network gives every bit log-odds of being on. The mask says which bits are free, and "
        "which must be on or off whatever the network says; those are hatched."
    ),
    "heads": (
        "An action has several heads. In each of them the network gives every choice a logit, "
        "the mask takes out what is impossible now, and the probabilities are shared among what "
        "is left. Crosses and hatching mark what is disallowed."
    ),
}


def action_head_section(episodes: Sequence[EpisodeRecord]) -> Section | None:
    """The heads of the step at which the mask mattered most.

    Args:
        episodes: recorded episodes.

    Returns:
        The section, or None where no step has an action mask, and where values decide: what
        they would be as probabilities is nobody's choice.
    """
    if any(episode.by_value for episode in episodes):
        return None
    decision = hardest_decision(episodes)
    if decision is None:
        return None
    record = episodes[decision.episode]
    views = record.head_views(decision.step)
    kind = record.action_kind
    if kind in ("discrete", "candidates"):
        html, figures, shown = _one_head(views[0], hide_masked=kind == "candidates")
    elif kind == "multi_binary":
        html, figures, shown = _bits(views, decision.step)
    else:
        html, figures, shown = _several_heads(views)
    caption = escape(_caption(decision, record, shown=shown, episodes=len(episodes)))
    intro = paragraph(_INTROS.get(kind, _INTROS["heads"]), kind="intro")
    if len(figures) == 1 and kind not in ("multi_discrete", "tree"):
        (name, figure) = next(iter(figures.items()))
        html = figure_place(name, figure, caption=caption)
    else:
        html += f'<p class="caption apart">{caption}</p>'
    return Section("head", _TITLE, intro + html, figures)


def _one_head(view: HeadView, *, hide_masked: bool) -> tuple[str, dict[str, go.Figure], int]:
    rows = action_rows(view, hide_masked=hide_masked)
    return "", {"action-head": _figure(view, rows, diamonds=not hide_masked)}, len(rows)


def _figure(view: HeadView, rows: list[int], *, diamonds: bool = True) -> go.Figure:
    """The bars of some choices of one head."""
    names = choice_names(view)
    return action_head_figure(
        [names[k] for k in rows],
        view.logits[rows],
        view.allowed[rows],
        view.probs[rows],
        unmasked_probs=softmax(view.logits)[rows] if diamonds else None,
        action=rows.index(view.action),
    )


def _bits(views: Sequence[HeadView], step: EpisodeStep) -> tuple[str, dict[str, go.Figure], int]:
    rows = bit_rows(views)
    figure = action_bits_figure(
        [wording.readable(views[k].name) for k in rows],
        np.array([views[k].logits[1] for k in rows]),
        np.array([views[k].allowed for k in rows]),
        np.array([views[k].probs[1] for k in rows]),
        action=np.asarray(step.action)[rows],
    )
    return "", {"action-head": figure}, len(rows)


def _several_heads(views: Sequence[HeadView]) -> tuple[str, dict[str, go.Figure], int]:
    """A figure for every head that counts, a muted remark for every other."""
    figures: dict[str, go.Figure] = {}
    parts = []
    counting = [(k, view) for k, view in enumerate(views) if view.relevant]
    for k, view in counting[:MAX_HEADS]:
        rows = action_rows(view)
        figure = _figure(view, rows)
        figures[f"action-head-{k}"] = figure
        more = len(view.probs) - len(rows)
        caption = f"The {len(rows)} likeliest, and {wording.count(more)} more." if more else ""
        title = wording.readable(view.name)
        parts.append(figure_place(f"action-head-{k}", figure, title=title, caption=caption))
    remarks = [
        f"<li>{escape(wording.readable(view.name))}: not relevant</li>"
        for view in views
        if not view.relevant
    ]
    if len(counting) > MAX_HEADS:
        remarks.append(f"<li>{wording.plural(len(counting) - MAX_HEADS, 'head')} more</li>")
    below = f'<ul class="muted-heads">{"".join(remarks)}</ul>' if remarks else ""
    return f'<div class="grid two">{"".join(parts)}</div>{below}', figures, len(views)


@dataclass(frozen=True)
class Decision:
    """A step and where it stands.

    Attributes:
        episode: number of the episode, from 0.
        index: number of the step in it, from 0.
        step: the step.
        action_mask: bool [A], its mask.
        mass: probability that the network alone would put on disallowed choices, the mean
            over the heads that count; of candidates the number that can be chosen.
    """

    episode: int
    index: int
    step: EpisodeStep
    action_mask: np.ndarray
    mass: float


def hardest_decision(episodes: Sequence[EpisodeRecord]) -> Decision | None:
    """The step at which the network alone would have put the most on disallowed choices.

    What a network says of padding means nothing, so of candidates it is the step at which
    the most can be chosen.

    Empty rows:
        Heads that may choose nothing are passed over; None where no step is left.
    """
    found: Decision | None = None
    for number, episode in enumerate(episodes):
        for index, step in enumerate(episode.steps):
            if step.action_mask is None:
                continue
            views = [v for v in episode.head_views(step) if v.relevant and v.allowed.any()]
            if not views:
                continue
            if episode.action_kind == "candidates":
                mass = float(step.action_mask.sum())
            else:
                mass = float(np.mean([disallowed_mass(v.logits, v.allowed) for v in views]))
            if found is None or mass > found.mass:
                found = Decision(number, index, step, step.action_mask, mass)
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of all actions as if none were masked: [A] float64.

    Args:
        logits: [A]; those that are not finite get 0.

    Empty rows:
        All 0 where no logit is finite.
    """
    logits = np.asarray(logits, dtype=np.float64)
    finite = np.isfinite(logits)
    if not finite.any():
        return np.zeros(logits.shape)
    weights = np.where(finite, np.exp(np.where(finite, logits, 0.0) - logits[finite].max()), 0.0)
    return weights / weights.sum()


def disallowed_mass(logits: np.ndarray, action_mask: np.ndarray) -> float:
    """The probability that the logits alone would put on disallowed actions, in [0, 1]."""
    return float(softmax(logits)[~action_mask].sum())


def _caption(decision: Decision, record: EpisodeRecord, *, shown: int, episodes: int) -> str:
    """Which step it is, why it was chosen, and what the mask changed."""
    views = record.head_views(decision.step)
    which = f"episode {decision.episode + 1}" if episodes > 1 else "the episode"
    parts = [
        f"Step {decision.index} of {which} above: {_allowed(record.action_kind, views)}, and the "
        f"agent takes \N{LEFT DOUBLE QUOTATION MARK}{_taken(record, views)}"
        "\N{RIGHT DOUBLE QUOTATION MARK}."
    ]
    what = "actions" if len(views) == 1 else "choices"
    if record.action_kind == "candidates":
        parts.append("Of all the steps recorded this is the one with the most to choose from.")
    elif decision.mass > 0:
        of = "bits" if record.action_kind == "multi_binary" else "heads that count"
        mean = f" (the mean over the {of})" if sum(view.relevant for view in views) > 1 else ""
        parts.append(
            "Of all the steps recorded this is the one where the network alone would have erred "
            f"most: without the mask (diamonds) {wording.percent(decision.mass)} of the "
            f"probability would lie on disallowed {what}{mean}; with it, exactly none does."
        )
    else:
        parts.append("Nothing was disallowed in any of the steps recorded.")
    if record.action_kind == "multi_binary":
        if shown < len(views):
            parts.append(f"{shown} of {len(views)} bits are shown: those on, then the likeliest.")
    elif len(views) == 1:
        n = (
            int(views[0].allowed.sum())
            if record.action_kind == "candidates"
            else len(views[0].probs)
        )
        if shown < n:
            noun = "candidates" if record.action_kind == "candidates" else "actions"
            parts.append(f"The {shown} likeliest of {n} {noun} are shown.")
    return " ".join(parts)


def _allowed(kind: str, views: Sequence[HeadView]) -> str:
    """How much was allowed, in words."""
    if kind == "multi_binary":
        free = sum(bool(view.allowed.all()) for view in views)
        return f"{free} of {wording.plural(len(views), 'bit')} {'is' if free == 1 else 'are'} free"
    if len(views) == 1:
        allowed, n = int(views[0].allowed.sum()), len(views[0].probs)
        if kind == "candidates":
            return f"{wording.plural(allowed, 'candidate')} can be chosen"
        return f"{allowed} of {n} actions are allowed"
    counting = [view for view in views if view.relevant]
    allowed = sum(int(view.allowed.sum()) for view in counting)
    n = sum(len(view.probs) for view in counting)
    if len(counting) == 1:
        return f"1 of {len(views)} heads counts, {allowed} of its {n} choices are allowed"
    which = (
        f"all {len(views)}" if len(counting) == len(views) else f"{len(counting)} of {len(views)}"
    )
    return f"{which} heads count, {allowed} of their {n} choices are allowed"


def _taken(record: EpisodeRecord, views: Sequence[HeadView]) -> str:
    """What the agent does, in words."""
    if len(views) == 1 and record.action_kind != "multi_binary":
        return choice_names(views[0])[views[0].action]
    return action_text(views, binary=record.action_kind == "multi_binary")
