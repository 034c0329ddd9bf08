"""Several ways of training over the same steps: bold robust means, bands, every seed thin.

What others published lies behind as dashes in the colour of the variant that it belongs
to. Colours are by place in the comparison, so that a variant has one colour on a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.theme import PALETTE, figure_layout, padded_range, step_axis

COLOURS = (
    PALETTE.allowed,
    PALETTE.accent,
    PALETTE.disallowed,
    PALETTE.second,
    "#a8842a",
    "#d0508a",
    "#2795ab",
    "#8a7048",
    PALETTE.neutral,
)
_DASHES = ("solid", "dot", "dashdot")


@dataclass(frozen=True)
class Series:
    """One variant over steps.

    Attributes:
        name: In legend and hover text.
        place: Of the variant in the comparison: its colour.
        step: `[K]`.
        middle: `[K]`, drawn bold; NaN where there is none.
        low, high: `[K]`, the band around it; empty for none.
        runs: `[N, K]`, every seed, drawn thin; empty for none.
    """

    name: str
    place: int
    step: np.ndarray
    middle: np.ndarray
    low: np.ndarray = field(default_factory=lambda: np.zeros(0))
    high: np.ndarray = field(default_factory=lambda: np.zeros(0))
    runs: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


def colour_of(place: int) -> str:
    """The colour of the variant at this place of a comparison."""
    return COLOURS[place % len(COLOURS)]


def compared_curves(
    series: Sequence[Series],
    *,
    published: Sequence[Series] = (),
    label: str = "",
    percent: bool = False,
    from_zero: bool = False,
    digits: int = 2,
    height: int = 420,
    within: tuple[float, float] | None = None,
    small: bool = False,
    until: float | None = None,
) -> go.Figure:
    """Curves of several variants, to be told apart by colour, dash and hover text.

    Args:
        series: At least one for a figure that says something.
        published: Drawn as thin dashes behind, in the colours of their places; with `low` and
            `high` over a grey band.
        label: What the y axis is.
        percent: Whether values are shares.
        from_zero: Whether the y axis begins at 0, where no value is below.
        digits: Decimals in the hover text.
        height: Pixels.
        within: The least and the greatest value that have to fit, where figures beside each other
            are to have one axis; those of the series if None.
        until: Where the steps end; at the last value if None.
        small: One of many beside each other: no legend, no title of the steps.

    Empty rows: with nothing finite to draw the axes have a note in the middle.
    """
    form = f".{digits}%" if percent else f",.{digits}f"
    figure = go.Figure()
    values: list[float] = []
    for one in published:
        if one.low.size:
            values += _draw_band(figure, one, PALETTE.neutral, 0.16, f"variant {one.place}")
        keep = np.isfinite(one.middle)
        values += one.middle[keep].tolist()
        figure.add_scatter(
            x=one.step[keep].tolist(),
            y=one.middle[keep].tolist(),
            mode="lines",
            line={"color": colour_of(one.place), "width": 1.5, "dash": "4px,4px"},
            opacity=0.75,
            name=escape(one.name),
            legendgroup=f"variant {one.place}",
            showlegend=False,
            hovertemplate=f"%{{y:{form}}}",
        )
    if published and not small:  # one entry says what all dashes are; each goes with its variant
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="lines",
            line={"color": PALETTE.neutral, "width": 1.5, "dash": "4px,4px"},
            name="published",
            hoverinfo="skip",
        )
    for one in series:
        values += _draw(figure, one, form)
    low, high = padded_range(values if within is None else within)
    if from_zero and values and min(values) >= 0.0:
        low = 0.0
    figure.update_layout(
        **figure_layout(
            height=height,
            hovermode="x unified" if values else False,
            showlegend=not small,
            legend={
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"size": 11},
            },
            xaxis={
                **step_axis("" if small else "environment steps"),
                "rangemode": "tozero",
                **({} if until is None else {"range": [0, 1.01 * until]}),
            },
            yaxis={
                "range": [low, high],
                "nticks": 5 if small else 7,
                "fixedrange": True,
                "tickformat": f".{1 if high - low < 0.06 else 0}%" if percent else "~g",
                "title": {"text": label},
            },
        )
    )
    if not values:
        figure.add_annotation(
            text="not measured", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False
        )
    return figure


def _draw(figure: go.Figure, one: Series, form: str) -> list[float]:
    """Band, seeds and middle of one variant; the values that have to fit."""
    colour, group = colour_of(one.place), f"variant {one.place}"
    dash = _DASHES[one.place // len(COLOURS) % len(_DASHES)]
    quiet = {"hoverinfo": "skip", "showlegend": False, "legendgroup": group, "mode": "lines"}
    values: list[float] = []
    step = np.asarray(one.step, np.float64)
    values += _draw_band(figure, one, colour, 0.12, group)
    for row in one.runs:
        keep = np.isfinite(row)
        values += row[keep].tolist()
        figure.add_scatter(
            x=step[keep].tolist(),
            y=row[keep].tolist(),
            line={"color": colour, "width": 1},
            opacity=0.4,
            **quiet,
        )
    keep = np.isfinite(one.middle)
    values += one.middle[keep].tolist()
    if keep.any():
        figure.add_scatter(
            x=step[keep].tolist(),
            y=one.middle[keep].tolist(),
            mode="lines" if keep.sum() > 1 else "markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            name=escape(one.name),
            legendgroup=group,
            hovertemplate=f"<b>%{{y:{form}}}</b>",
        )
    return values


def _draw_band(
    figure: go.Figure, one: Series, colour: str, opacity: float, group: str
) -> list[float]:
    """What lies between `low` and `high` of a series; the values that have to fit."""
    known = np.isfinite(one.low) & np.isfinite(one.high) if one.low.size else np.zeros(0, bool)
    if not known.any():
        return []
    step = np.asarray(one.step, np.float64)[known]
    around: list[float] = np.concatenate([one.high[known], one.low[known][::-1]]).tolist()
    figure.add_scatter(
        x=np.concatenate([step, step[::-1]]).tolist(),
        y=around,
        fill="toself",
        fillcolor=colour,
        opacity=opacity,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )
    return around
