"""Curves of a team's training: who acts and who lives, and how far each ratio is clipped.

A joint ratio is the product over all agents, so that its trust region shrinks as they are
more; the clip fractions of the three levels lie side by side, whichever one was trained with.
"""

from __future__ import annotations

from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures import share_figure
from maskrl.reports import wording
from maskrl.reports.run_data import RunData
from maskrl.reports.section import figure_place

_PRESENCE = (("agents_alive", "alive"), ("agents_acting", "acting"))
_LEVELS = (
    ("clip_fraction_joint", "joint"),
    ("clip_fraction_agent", "per agent"),
    ("clip_fraction_head", "per head"),
)


def team_curves(run: RunData) -> tuple[list[str], dict[str, go.Figure]]:
    """The curves of a team, as places on the page and figures; none for a single agent.

    Args:
        run: what the run left behind.
    """
    places: list[str] = []
    figures: dict[str, go.Figure] = {}

    def add(name: str, title: str, figure: go.Figure, caption: str) -> None:
        figures[name] = figure
        places.append(figure_place(name, figure, title=title, caption=escape(caption)))

    present = _measured(run, _PRESENCE)
    if present:
        add("curve-team", "Agents", _counts(run.step, present), _presence_caption(run))
    levels = _measured(run, _LEVELS)
    if levels:
        figure = share_figure(run.step, levels, height=280)
        add("curve-clipping", "Ratios at the edge of the trust region", figure, _clipping(run))
    return places, figures


def _measured(run: RunData, names: tuple[tuple[str, str], ...]) -> dict[str, np.ndarray]:
    """The columns that were written, by their labels."""
    return {label: run.column(name) for name, label in names if np.isfinite(run.column(name)).any()}


def _counts(step: np.ndarray, counts: dict[str, np.ndarray]) -> go.Figure:
    """Mean numbers of agents: the shares' figure with an axis of numbers from 0."""
    figure = share_figure(step, counts, height=280)
    most = max(float(np.nanmax(values)) for values in counts.values())
    figure.update_yaxes(range=[0, 1.08 * max(most, 1.0)], tickformat="~g")
    for trace, label in zip(figure.data, counts, strict=True):
        trace.hovertemplate = f"{escape(label)} <b>%{{y:.2f}}</b><extra></extra>"
    return figure


def _presence_caption(run: RunData) -> str:
    acting = run.column("agents_acting")
    acting = acting[np.isfinite(acting)]
    caption = "Mean number of agents at a step of the training"
    if acting.size:
        caption += (
            f": {wording.number(acting[0], 1)} acted at the start, "
            f"{wording.number(acting[-1], 1)} at the end"
        )
    alive = run.last("agents_alive")
    if not np.isfinite(alive):
        return f"{caption}."
    alive_text = f"when {wording.number(alive, 1)} were alive"
    return f"{caption}, {alive_text}. Who is alive and does not act waits."


def _clipping(run: RunData) -> str:
    ppo = run.config.get("ppo") or {}
    means = [
        f"{label} {wording.percent(run.mean(name))}"
        for name, label in _LEVELS
        if np.isfinite(run.mean(name))
    ]
    used = {"joint": "joint", "agent": "per agent", "head": "per head"}.get(str(ppo.get("ratio")))
    caption = f"Share of ratios beyond the clip range, on average {wording.listing(means)}."
    if used is not None:
        caption += f" Trained with the ratio {used}."
    return caption
