"""Colours and templates that every figure shares.

Series colours are of middle lightness, so that one figure reads on a light and
on a dark page (contrast at least 3 to 1 on both, which a test measures); text,
grid and heat-map colours come from the template and change with the page.
Allowed and disallowed are blue and orange, which colour-blind readers can tell
apart, and differ by shape or hatch as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

FONT_FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Palette:
    """Series colours by role; the same on light and dark pages."""

    allowed: str = "#2a78d0"
    disallowed: str = "#d4602a"
    accent: str = "#1d9a72"
    second: str = "#a968c4"
    neutral: str = "#7a8491"

    def colours(self) -> tuple[str, ...]:
        """All of them, in the order in which unnamed series take them."""
        return (self.allowed, self.disallowed, self.accent, self.second, self.neutral)


@dataclass(frozen=True)
class Surface:
    """What a page's background asks of a figure: text, lines, heat-map colours.

    Attributes:
        background: the colour of the card that a figure lies on.
        text: labels and titles.
        muted: tick labels.
        grid: grid lines and axes.
        heat: colours of a heat map from 0 to 1, lowest first, so that more attention is
            more ink; the lowest still differs from the background, which is exactly 0.
    """

    background: str
    text: str
    muted: str
    grid: str
    heat: tuple[str, ...]


PALETTE = Palette()
CATEGORIES = ("#2a78d0", "#1d9a72", "#a968c4", "#a8842a", "#d0508a", "#2795ab", "#8a7048")
"""Colours of kinds of action, in their order; orange is left to what is disallowed."""
LIGHT = Surface(
    background="#ffffff",
    text="#1c2430",
    muted="#5a6574",
    grid="#e3e7ec",
    heat=("#e1ebf7", "#bcd4ef", "#86b3e4", "#3f85d0", "#1d5aa3", "#123a6e"),
)
DARK = Surface(
    background="#171b21",
    text="#e6eaf0",
    muted="#a3adba",
    grid="#2d343d",
    heat=("#1d2c40", "#1f4068", "#27609e", "#3d8add", "#7db4ee", "#cfe4fb"),
)


def figure_template(surface: Surface = LIGHT) -> go.layout.Template:
    """A plotly template for a page of this surface.

    Args:
        surface: `LIGHT` or `DARK`, or one of your own.

    Returns:
        A template to pass as `layout.template`; backgrounds are transparent.
    """
    axis = {
        "gridcolor": surface.grid,
        "linecolor": surface.grid,
        "zeroline": False,
        "tickfont": {"color": surface.muted, "size": 12},
        "title": {"font": {"color": surface.muted, "size": 12}, "standoff": 8},
        "automargin": True,
    }
    steps = max(1, len(surface.heat) - 1)
    heat = [[i / steps, colour] for i, colour in enumerate(surface.heat)]
    return go.layout.Template(
        layout={
            "font": {"family": FONT_FAMILY, "size": 13, "color": surface.text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(PALETTE.colours()),
            "colorscale": {"sequential": heat},
            "coloraxis": {"colorscale": heat, "showscale": False},
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": surface.background,
                "bordercolor": surface.muted,
                "font": {"color": surface.text, "size": 13, "family": FONT_FAMILY},
                "align": "left",
            },
            "legend": {"font": {"color": surface.text, "size": 12}},
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        }
    )


def figure_layout(*, height: int, **layout: Any) -> dict[str, Any]:
    """Layout settings that every figure has: size, template, no drag.

    Args:
        height: pixels; the width follows the page.
        **layout: further settings of `plotly.graph_objects.Layout`.

    Returns:
        A mapping for `Figure.update_layout`.
    """
    return {
        "template": figure_template(),
        "height": height,
        "autosize": True,
        "dragmode": False,
        "hovermode": "closest",
        "showlegend": False,
        **layout,
    }


def step_axis(title: str = "environment steps") -> Mapping[str, Any]:
    """An x axis of environment steps: 200k, 1M; never zoomed by accident."""
    return {
        "title": {"text": title},
        "tickformat": "~s",
        "hoverformat": ",d",
        "nticks": 6,
        "fixedrange": True,
        "showgrid": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
    }


def padded_range(values: Sequence[float], *, share: float = 0.08) -> tuple[float, float]:
    """The range of an axis: all finite values and a little room.

    Args:
        values: any numbers; NaN and infinities are passed over.
        share: room on either side, as a share of the span.

    Returns:
        (low, high) with low < high; (0, 1) where there is no finite value.
    """
    finite = [float(v) for v in values if v == v and abs(v) != float("inf")]
    if not finite:
        return (0.0, 1.0)
    low, high = min(finite), max(finite)
    room = share * (high - low) if high > low else max(abs(high) * 0.1, 0.5)
    return (low - room, high + room)
