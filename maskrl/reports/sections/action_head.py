"""The head of one step as three bars: raw logits, mask, probabilities.

The step is chosen by a rule that the caption states: where the network alone
would have put the most probability on disallowed actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from maskrl.figures import action_head_figure
from maskrl.policies.episode import EpisodeRecord, EpisodeStep
from maskrl.reports import wording
from maskrl.reports.section import Section, figure_place, paragraph
from maskrl.reports.sections.episode import action_rows


def action_head_section(episodes: Sequence[EpisodeRecord]) -> Section | None:
    """The head of the step at which the mask mattered most.

    Args:
        episodes: recorded episodes.

    Returns:
        The section, or None where no step has an action mask.
    """
    decision = hardest_decision(episodes)
    if decision is None:
        return None
    step = decision.step
    names = [wording.readable(name) for name in episodes[decision.episode].action_names]
    rows = action_rows(step)
    figure = action_head_figure(
        [names[k] for k in rows],
        step.logits[rows],
        decision.action_mask[rows],
        step.probs[rows],
        unmasked_probs=softmax(step.logits)[rows],
        action=rows.index(step.action),
    )
    caption = _caption(decision, names, shown=len(rows), episodes=len(episodes))
    html = paragraph(
        "The network gives every action a logit. The mask takes out what is impossible now, and "
        "the probabilities are shared among what is left. Crosses and hatching mark what is "
        "disallowed.",
        kind="intro",
    ) + figure_place("action-head", figure, caption=escape(caption))
    return Section("head", "One decision under the mask", html, {"action-head": figure})


@dataclass(frozen=True)
class Decision:
    """A step and where it stands.

    Attributes:
        episode: number of the episode, from 0.
        index: number of the step in it, from 0.
        step: the step.
        action_mask: bool [A], its mask.
        mass: probability that the network alone would put on disallowed actions.
    """

    episode: int
    index: int
    step: EpisodeStep
    action_mask: np.ndarray
    mass: float


def hardest_decision(episodes: Sequence[EpisodeRecord]) -> Decision | None:
    """The step at which the network alone would have put the most on disallowed actions.

    Empty rows:
        Steps that allow nothing are passed over; None where no step is left.
    """
    found: Decision | None = None
    for number, episode in enumerate(episodes):
        for index, step in enumerate(episode.steps):
            if step.action_mask is None or not step.action_mask.any():
                continue
            mass = disallowed_mass(step.logits, step.action_mask)
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


def _caption(decision: Decision, names: Sequence[str], *, shown: int, episodes: int) -> str:
    """Which step it is, why it was chosen, and what the mask changed."""
    which = f"episode {decision.episode + 1}" if episodes > 1 else "the episode"
    allowed, n = int(decision.action_mask.sum()), len(names)
    parts = [
        f"Step {decision.index} of {which} above: {allowed} of {n} actions are allowed, and the "
        f"agent takes \N{LEFT DOUBLE QUOTATION MARK}{names[decision.step.action]}"
        "\N{RIGHT DOUBLE QUOTATION MARK}."
    ]
    if decision.mass > 0:
        parts.append(
            "Of all the steps recorded this is the one where the network alone would have erred "
            f"most: without the mask (diamonds) {wording.percent(decision.mass)} of the "
            "probability would lie on disallowed actions; with it, exactly none does."
        )
    else:
        parts.append("Nothing was disallowed in any of the steps recorded.")
    if shown < n:
        parts.append(f"The {shown} likeliest of {n} actions are shown.")
    return " ".join(parts)
