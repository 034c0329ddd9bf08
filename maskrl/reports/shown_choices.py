"""Which choices of a decision a page shows, and what they are called.

A decision may have thousands of actions. A page shows a few in the order of the environment:
the one taken always, then those that tell most about the mask and the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskrl.policies.episode import EpisodeStep
from maskrl.policies.head_view import HeadView
from maskrl.reports import wording

MAX_ACTIONS = 16
"""Rows of actions beside a step, of each head; with more actions the likeliest are shown."""
MAX_BITS = 16
"""Rows of bits beside a step; with more bits those that are on and the likeliest are shown."""


def value_rows(view: HeadView, limit: int = MAX_ACTIONS) -> list[int]:
    """Which actions to show by their Q-values, in the order of the environment.

    Args:
        view: a decision with Q-values.
        limit: at most so many. With more actions: the one taken, the best disallowed one, then
            the best allowed ones, then other disallowed ones.
    """
    values = np.nan_to_num(np.asarray(view.q_values, np.float64), nan=-np.inf)
    if len(values) <= limit:
        return list(range(len(values)))
    first = [view.action]
    if not view.allowed.all():
        first.append(int(np.where(view.allowed, -np.inf, values).argmax()))
    order = np.lexsort((-values, ~view.allowed)).tolist()
    return sorted(list(dict.fromkeys([*first, *order]))[:limit])


def action_rows(
    step: EpisodeStep | HeadView, limit: int = MAX_ACTIONS, *, hide_masked: bool = False
) -> list[int]:
    """Which actions to show beside a step, in the order of the environment.

    Args:
        step: the decision, of one head.
        limit: at most so many. With more actions: the one taken, then the
            likeliest, then those that the network alone would prefer.
        hide_masked: whether to leave out what the mask disallows, but for the one taken.
    """
    n = len(step.probs)
    taken = int(step.action)
    shown = np.ones(n, np.bool_)
    if hide_masked and step.action_mask is not None:
        shown = step.action_mask | (np.arange(n) == taken)
    if shown.sum() <= limit:
        return [int(k) for k in np.flatnonzero(shown)]
    logits = np.where(np.isfinite(step.logits), step.logits, -np.inf)
    order = np.lexsort((-logits, -step.probs.astype(np.float64)))
    chosen = [taken, *(int(k) for k in order if int(k) != taken and shown[k])]
    return sorted(chosen[:limit])


def bit_rows(views: Sequence[HeadView], limit: int = MAX_BITS) -> list[int]:
    """Which bits to show: all, or with very many those that are on, then the likeliest."""
    order = sorted(range(len(views)), key=lambda k: (-views[k].action, -views[k].probs[1], k))
    return sorted(order[:limit])


def choice_names(view: HeadView) -> list[str]:
    """The choices of a head in words; a number of an action without names is "action 3"."""
    if view.name:
        return [name.replace("_", " ") for name in view.choices]
    return [wording.readable(name) for name in view.choices]
