"""What the masks did: how much they allowed, how often they decided alone, what they stopped.

The mass that the unmasked network would put on disallowed actions is the
section's point: a masked policy gets no gradient there, so the network need not
learn what the mask knows, and a small or a large mass is equally harmless.
"""

from __future__ import annotations

import math
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures import disallowed_mass_figure, share_figure
from maskrl.reports import wording
from maskrl.reports.run_data import RunData
from maskrl.reports.section import Section, figure_place, tiles

_SHARES = (
    ("allowed_share", "actions allowed"),
    ("forced_share", "forced moves"),
    ("idle_share", "idle rows"),
)


def mask_statistics_section(run: RunData) -> Section | None:
    """What the action mask did over training.

    Args:
        run: what the run left behind.

    Returns:
        The section, or None where none of its columns was written, and where no mask ever
        disallowed anything.
    """
    if _open(run):
        return None
    shares = {
        label: run.column(name) for name, label in _SHARES if np.isfinite(run.column(name)).any()
    }
    mass = run.column("disallowed_mass")
    if not shares and not np.isfinite(mass).any():
        return None
    figures: dict[str, go.Figure] = {}
    places: list[str] = []
    if shares:
        figure = share_figure(run.step, shares, height=280)
        figures["mask-shares"] = figure
        places.append(
            figure_place(
                "mask-shares",
                figure,
                title="What the mask allowed",
                caption=escape(_share_caption(run)),
            )
        )
    if np.isfinite(mass).any():
        figure = disallowed_mass_figure(run.step, mass, height=280)
        figures["mask-mass"] = figure
        places.append(
            figure_place(
                "mask-mass",
                figure,
                title="What the network alone would have got wrong",
                caption=escape(
                    _greedy_caption(mass, run.masked_targets)
                    if run.by_value
                    else _mass_caption(mass)
                ),
            )
        )
    html = tiles(_entries(run)) + f'<div class="grid two">{"".join(places)}</div>'
    return Section("masks", "What the masks did", html, figures)


def _open(run: RunData) -> bool:
    """Whether everything was allowed at every step, as where there is no action mask."""
    allowed, illegal = run.column("allowed_share"), run.illegal_actions
    measured = allowed[np.isfinite(allowed)]
    return bool(measured.size) and bool((measured == 1).all()) and not illegal > 0


def _entries(run: RunData) -> list[tuple[str, str, str]]:
    """Tiles: the means over training, and the illegal actions executed."""
    entries = []
    if math.isfinite(run.illegal_actions):
        illegal = run.illegal_actions
        none = "impossible while the mask is in force"
        remark = none if illegal == 0 else "refused by the mask or by the environment's rules"
        entries.append(("Illegal actions executed", wording.count(illegal), remark))
    per, unit = ("decision of an agent", "decisions") if run.is_team else ("step", "steps")
    for name, label, remark in (
        ("allowed_share", "Actions allowed", f"mean share per {per}"),
        ("forced_share", "Forced moves", f"{unit} with a single allowed action"),
        ("idle_share", "Idle rows", f"{unit} that allowed nothing"),
    ):
        mean = run.mean(name)
        if math.isfinite(mean):
            entries.append((label, wording.percent(mean, 1), remark))
    return entries


def _share_caption(run: RunData) -> str:
    """What the shares mean in this run."""
    allowed, forced, idle = (run.mean(name) for name, _ in _SHARES)
    step, whose = (
        ("decision of an agent", "to an agent that acts")
        if run.is_team
        else (
            "step",
            "at a step",
        )
    )
    parts = []
    if math.isfinite(allowed):
        parts.append(f"On average {wording.percent(allowed)} of the actions were allowed {whose}.")
    if math.isfinite(forced):
        of_all = "of the agents' decisions" if run.is_team else "of the steps"
        parts.append(
            f"No {step} left only one choice."
            if forced == 0
            else f"In {wording.percent(forced, 1)} {of_all} only one was, so that the mask "
            "decided alone."
        )
    if math.isfinite(idle):
        parts.append(
            f"No {step} allowed nothing."
            if idle == 0
            else f"In {wording.percent(idle, 1)} nothing was: no decision was taken there."
        )
    return " ".join(parts)


def _greedy_caption(share: np.ndarray, masked_targets: bool) -> str:
    """How often a disallowed action had the largest Q-value."""
    finite = share[np.isfinite(share)]
    first, last = float(finite[0]), float(finite[-1])
    return (
        "The share of states, out of the memory, in which a disallowed action has the largest "
        f"Q-value of all: {wording.percent(first, 1)} at the start, {wording.percent(last, 1)} at "
        "the end. "
        + (
            "A maximum without the mask would take it, and a target without the mask would "
            "bootstrap from it, though no experience ever corrects it. With the mask neither "
            "happens."
            if masked_targets
            else "The mask keeps it from being taken. The targets of this run were naive: they "
            "bootstrap from it, though no experience ever corrects it."
        )
    )


def _mass_caption(mass: np.ndarray) -> str:
    """What happened to the mass on disallowed actions."""
    finite = mass[np.isfinite(mass)]
    first, last = float(finite[0]), float(finite[-1])
    return (
        "The probability that the same network, with its mask removed, would put on disallowed "
        f"actions: {wording.percent(first, 1)} at the start, {wording.percent(last, 1)} at the "
        "end. Masked actions get no gradient, so the network is never taught to avoid them, and "
        "it need not be: with the mask this probability is exactly 0 at every step."
    )
