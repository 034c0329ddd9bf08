"""How many times as long others take: one dot per contender and shape, maskrl at 1.

Ratios are drawn on a logarithmic axis, because twice as fast and half as fast are equally
far from even. Every contender has its colour and its symbol, so that none needs the
other to be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from maskrl.figures.theme import PALETTE, figure_layout

_SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "x",
    "star",
    "cross",
    "hexagon",
    "triangle-down",
    "bowtie",
)
_ROW = 34


def bench_ratio_figure(
    rows: Sequence[str],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    reference: str = "maskrl",
) -> go.Figure:
    """Draw ratios to a reference, one panel per kind of work.

    Args:
        rows: R names of what was done, from top to bottom.
        panels: title -> contender -> R ratios; NaN where a contender did not take part.
        reference: whose time is 1.

    Returns:
        A figure with a logarithmic axis per panel and one legend for all.

    Raises:
        ValueError: A contender has another number of ratios than there are rows, or there is
            no panel.
    """
    if not panels:
        raise ValueError("bench_ratio_figure: panels is empty; pass at least one kind of work")
    figure = make_subplots(
        rows=1,
        cols=len(panels),
        shared_yaxes=True,
        subplot_titles=[escape(title) for title in panels],
        horizontal_spacing=0.04,
    )
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    colours = PALETTE.colours()[1:]
    every = [1.0]
    for column, (title, panel) in enumerate(panels.items(), 1):
        for name, given in panel.items():
            ratios = np.asarray(given, dtype=np.float64).reshape(-1)
            if ratios.size != len(rows):
                raise ValueError(
                    f"bench_ratio_figure: {name!r} has {ratios.size} ratios in {title!r}, "
                    f"there are {len(rows)} rows"
                )
            place = names.index(name)
            keep = np.isfinite(ratios) & (ratios > 0)
            every += ratios[keep].tolist()
            figure.add_trace(
                go.Scatter(
                    x=ratios[keep].tolist(),
                    y=[row for row, kept in zip(rows, keep, strict=True) if kept],
                    mode="markers",
                    name=escape(name),
                    legendgroup=name,
                    showlegend=column == _first_panel(panels, name),
                    marker={
                        "size": 10,
                        "color": colours[place % len(colours)],
                        "symbol": _SYMBOLS[place % len(_SYMBOLS)],
                    },
                    hovertemplate=f"{escape(name)} <b>%{{x:.3g}} times</b><extra></extra>",
                ),
                row=1,
                col=column,
            )
        figure.add_vline(x=1.0, line={"color": PALETTE.allowed, "width": 2.5}, row=1, col=column)
    low, high = min(every), max(every)
    figure.update_xaxes(
        type="log",
        range=[np.log10(low) - 0.1, np.log10(high) + 0.15],
        tickvals=[
            t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low / 2 < t < 2 * high
        ],
        title={"text": f"times as long as {escape(reference)}"},
        fixedrange=True,
    )
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(rows)[::-1], fixedrange=True, type="category"
    )
    figure.update_layout(
        **figure_layout(
            height=130 + _ROW * len(rows),
            showlegend=True,
            legend={"orientation": "h", "y": -70 / (_ROW * len(rows)), "yanchor": "top", "x": 0},
            margin={"l": 8, "r": 12, "t": 40, "b": 8},
        )
    )
    return figure


def _first_panel(panels: Mapping[str, Mapping[str, Sequence[float]]], name: str) -> int:
    """Which panel, counted from 1, shows a contender first: its name is listed there."""
    return next(number for number, panel in enumerate(panels.values(), 1) if name in panel)
