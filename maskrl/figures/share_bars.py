"""Shares of something per variant as bars: what was spent on actions that nobody can take.

Bars are hatched in the colour of what is disallowed, each with its number at its end; a
share that nobody measured says so instead of looking like nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from maskrl.figures.theme import PALETTE, figure_layout

_ROW = 40


def share_bars(names: Sequence[str], shares: Sequence[float], *, label: str) -> go.Figure:
    """A bar per variant from 0 to 1, the first at the top; orange, for it is what is disallowed.

    Args:
        names: Of the variants.
        shares: From 0 to 1; NaN draws no bar and says "not known".
        label: What they are shares of.

    Raises:
        ValueError: The numbers of names and shares differ.
    """
    if len(names) != len(shares):
        raise ValueError(
            f"share_bars: {len(names)} names and {len(shares)} shares; expected one each"
        )
    known = [share if share == share else 0.0 for share in shares]
    texts = [f"{share:.1%}" if share == share else "not known" for share in shares]
    rows = list(range(len(names)))
    figure = go.Figure(
        go.Bar(
            x=known,
            y=rows,
            orientation="h",
            marker={"color": PALETTE.disallowed, "pattern": {"shape": "/", "size": 6}},
            text=texts,
            textposition="outside",
            cliponaxis=False,
            customdata=[escape(name) for name in names],
            hovertemplate="%{customdata}: <b>%{text}</b><extra></extra>",
        )
    )
    top = max([*known, 0.01])
    figure.update_layout(
        **figure_layout(
            height=70 + _ROW * max(len(names), 1),
            xaxis={
                "range": [0.0, min(1.15 * top + 0.05, 1.12)],
                "tickformat": ".0%",
                "title": {"text": label},
                "fixedrange": True,
                "nticks": 6,
            },
            yaxis={
                "range": [len(names) - 0.4, -0.6],
                "tickvals": rows,
                "ticktext": [escape(name) for name in names],
                "fixedrange": True,
                "showgrid": False,
            },
            bargap=0.35,
        )
    )
    return figure
