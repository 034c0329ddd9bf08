"""One quantity over training: a curve with its ceiling and floor lines.

A page of training is several of these small figures side by side, each with
its own scale, which reads better than several axes in one figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.theme import PALETTE, figure_layout, padded_range, step_axis


@dataclass(frozen=True)
class ReferenceLine:
    """A horizontal line that a curve is read against.

    Attributes:
        value: where it lies.
        label: a few words, written on the line ("planner").
        kind: "ceiling" (dashed, label above) or "floor" (dotted, label below).
    """

    value: float
    label: str
    kind: str = "ceiling"


def learning_curve(
    step: np.ndarray,
    value: np.ndarray,
    *,
    label: str,
    lines: Sequence[ReferenceLine] = (),
    markers: bool = False,
    colour: str = PALETTE.allowed,
    digits: int = 3,
    height: int = 240,
) -> go.Figure:
    """A curve of `value` over `step`; rows without a finite value are left out.

    Args:
        step: [T] environment steps.
        value: [T] the quantity; NaN where it was not measured.
        label: what it is, for the hover text.
        lines: ceiling and floor to draw.
        markers: draw the points, for few measurements (evaluations).
        colour: of the curve.
        digits: decimals in the hover text.
        height: pixels.

    Returns:
        A plotly figure without a title: the page gives it one.

    Empty rows: with no finite value the axes are drawn with a note in the middle.
    """
    step = np.asarray(step, dtype=np.float64).reshape(-1)
    value = np.asarray(value, dtype=np.float64).reshape(-1)
    if step.shape != value.shape:
        raise ValueError(
            f"learning_curve: step has {step.size} entries, value {value.size}; "
            "pass two columns of one table"
        )
    keep = np.isfinite(value) & np.isfinite(step)
    step, value = step[keep], value[keep]
    figure = go.Figure(
        go.Scatter(
            x=step.tolist(),
            y=value.tolist(),
            mode="lines+markers" if markers or value.size == 1 else "lines",
            line={"color": colour, "width": 2},
            marker={"size": 7, "color": colour},
            name=escape(label),
            hovertemplate=f"{escape(label)} <b>%{{y:.{digits}f}}</b><extra></extra>",
        )
    )
    shown = [line for line in lines if np.isfinite(line.value)]
    for line in shown:
        above = line.kind == "ceiling"
        figure.add_hline(
            y=line.value,
            line={
                "color": PALETTE.neutral,
                "width": 1.5,
                "dash": "dash" if above else "dot",
            },
            annotation={
                "text": escape(line.label),
                "font": {"size": 12},
                "xanchor": "right",
                "yanchor": "bottom" if above else "top",
                "showarrow": False,
            },
            annotation_position="top right" if above else "bottom right",
        )
    low, high = padded_range(
        [*value.tolist(), *(line.value for line in shown)], share=0.14 if shown else 0.08
    )
    figure.update_layout(
        **figure_layout(
            height=height,
            hovermode="x" if value.size else False,
            xaxis={**step_axis(), "rangemode": "tozero"},
            yaxis={"range": [low, high], "nticks": 6, "fixedrange": True, "tickformat": "~g"},
        )
    )
    if not value.size:
        figure.add_annotation(
            text="not measured", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False
        )
    return figure
