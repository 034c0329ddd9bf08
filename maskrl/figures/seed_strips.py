"""Every seed as a point: one row per variant, with the robust mean and its interval.

Where seeds fall into two groups no mean is drawn, because none of them is near it; the
points say what there is to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from maskrl.figures.compared_curves import colour_of
from maskrl.figures.theme import PALETTE, figure_layout, padded_range

_ROW = 48
_SPREAD = 0.7
"""Share of a row over which its points are spread."""


@dataclass(frozen=True)
class Strip:
    """The seeds of one variant.

    Attributes:
        name: Of the variant.
        place: Of it in the comparison: its colour.
        seeds: `[N]`.
        values: `[N]`.
        middle: The robust mean, or None where the seeds fall apart.
        interval: Of it, or None.
    """

    name: str
    place: int
    seeds: Sequence[int]
    values: Sequence[float]
    middle: float | None = None
    interval: tuple[float, float] | None = None


def seed_strips(
    strips: Sequence[Strip], *, label: str, lines: Sequence[tuple[float, str]] = ()
) -> go.Figure:
    """A row of points per variant, the first at the top.

    Args:
        strips: One per variant.
        label: What the values are.
        lines: Values to read the points against, each with a word or two.
    """
    figure = go.Figure()
    values = [float(value) for strip in strips for value in strip.values]
    for row, strip in enumerate(strips):
        colour = colour_of(strip.place)
        if strip.middle is not None and strip.interval is not None:
            low, high = strip.interval
            figure.add_scatter(
                x=[low, high],
                y=[row, row],
                mode="lines",
                line={"color": colour, "width": 9},
                opacity=0.25,
                hoverinfo="skip",
            )
        count = len(strip.values)
        # Beside each other, for equal seeds would hide behind one point.
        nudge = [_SPREAD * ((k + 0.5) / count - 0.5) for k in range(count)]
        figure.add_scatter(
            x=list(strip.values),
            y=[row + shift for shift in nudge],
            mode="markers",
            marker={"size": 10, "color": colour, "line": {"width": 1, "color": "#ffffff"}},
            customdata=list(strip.seeds),
            hovertemplate=(
                f"{escape(strip.name)}, seed %{{customdata}}: <b>%{{x:,.3f}}</b><extra></extra>"
            ),
        )
        if strip.middle is not None and strip.interval is not None:
            low, high = strip.interval
            figure.add_scatter(
                x=[strip.middle],
                y=[row],
                mode="markers",
                marker={"symbol": "line-ns-open", "size": 22, "color": colour, "line_width": 3},
                hovertemplate=(
                    f"{escape(strip.name)}: <b>%{{x:,.3f}}</b>, 95% interval {low:,.3f} to "
                    f"{high:,.3f}<extra></extra>"
                ),
            )
    for value, word in lines:
        values.append(value)
        figure.add_vline(
            x=value,
            line={"color": PALETTE.neutral, "width": 1.5, "dash": "dot"},
            annotation={"text": escape(word), "font": {"size": 12}, "showarrow": False},
            annotation_position="top",
        )
    low, high = padded_range(values)
    figure.update_layout(
        **figure_layout(
            height=80 + _ROW * max(len(strips), 1),
            xaxis={
                "range": [low, high],
                "title": {"text": label},
                "fixedrange": True,
                "tickformat": "~g",
                "nticks": 7,
            },
            yaxis={
                "range": [len(strips) - 0.4, -0.6],
                "tickvals": list(range(len(strips))),
                "ticktext": [escape(strip.name) for strip in strips],
                "fixedrange": True,
                "showgrid": False,
            },
        )
    )
    figure.update_layout(margin={"t": 28})
    return figure
