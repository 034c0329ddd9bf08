"""What figures of one decision are made of: a row for each choice, panels side by side.

Allowed choices are full, disallowed ones crossed and hatched, in every panel and figure.
Numbers stand in a column of their own, where no bar can reach them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from maskrl.figures.theme import PALETTE, figure_layout

NUMBERS_AT = 1.06
"""Where the numbers beside probabilities stand."""


def panels(titles: Sequence[str], widths: Sequence[float]) -> go.Figure:
    """An empty figure with panels that share their rows.

    Args:
        titles: Of the panels, from left to right.
        widths: Their shares of the width.
    """
    return make_subplots(
        rows=1,
        cols=len(titles),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        column_widths=list(widths),
        subplot_titles=tuple(titles),
    )


def colours_of(allowed: npt.NDArray[np.bool_]) -> list[str]:
    """A colour for each choice, by whether it is allowed."""
    return [PALETTE.allowed if a else PALETTE.disallowed for a in allowed]


def hatched(allowed: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """How bars are filled: those of disallowed choices are hatched."""
    colours = colours_of(allowed)
    return {
        "color": colours,
        "pattern": {
            "shape": ["" if a else "/" for a in allowed],
            "fillmode": "replace",
            "size": 6,
            "solidity": 0.35,
        },
        "line": {"color": colours, "width": 1},
    }


def add_raw_bars(
    figure: go.Figure,
    values: Sequence[float | None],
    allowed: npt.NDArray[np.bool_],
    hover: Sequence[str],
) -> None:
    """What the network said, in the first panel; None is not drawn."""
    figure.add_trace(
        go.Bar(
            x=list(values),
            y=list(range(len(values))),
            orientation="h",
            marker=hatched(allowed),
            hovertext=list(hover),
            hoverinfo="text",
        ),
        row=1,
        col=1,
    )


def add_marks(
    figure: go.Figure, allowed: npt.NDArray[np.bool_], names: Sequence[str], col: int
) -> None:
    """The mask as a panel: a circle for what is allowed, a cross for what is not."""
    state = ["allowed" if a else "disallowed" for a in allowed]
    figure.add_trace(
        go.Scatter(
            x=[0] * len(names),
            y=list(range(len(names))),
            mode="markers",
            marker={
                "symbol": ["circle" if a else "x" for a in allowed],
                "size": 13,
                "color": colours_of(allowed),
            },
            hovertext=[f"<b>{name}</b><br>{s}" for name, s in zip(names, state, strict=True)],
            hoverinfo="text",
        ),
        row=1,
        col=col,
    )


def add_probabilities(
    figure: go.Figure,
    probs: Sequence[float],
    *,
    names: Sequence[str],
    hover: Sequence[str],
    numbers: Sequence[str],
    without: Sequence[float] | None,
) -> None:
    """Probabilities as bars in the third panel, with numbers beside them.

    Args:
        figure: Of three panels.
        probs: Under the mask.
        names: Of the choices.
        hover: What is shown on a bar.
        numbers: What stands beside it.
        without: What the probabilities would be without the mask, as diamonds; None leaves
            them out.
    """
    rows = list(range(len(names)))
    figure.add_trace(
        go.Bar(
            x=list(probs),
            y=rows,
            orientation="h",
            marker={"color": PALETTE.allowed, "line": {"width": 0}},
            hovertext=list(hover),
            hoverinfo="text",
        ),
        row=1,
        col=3,
    )
    if without is not None:
        figure.add_trace(
            go.Scatter(
                x=list(without),
                y=rows,
                mode="markers",
                marker={
                    "symbol": "diamond",
                    "size": 9,
                    "color": "#ffffff",
                    "line": {"width": 2, "color": PALETTE.neutral},
                },
                cliponaxis=False,
                hovertext=[
                    f"<b>{name}</b><br>without the mask {p:.4f}"
                    for name, p in zip(names, without, strict=True)
                ],
                hoverinfo="text",
            ),
            row=1,
            col=3,
        )
    add_numbers(figure, numbers, at=NUMBERS_AT, col=3)


def add_numbers(figure: go.Figure, numbers: Sequence[str], *, at: float, col: int) -> None:
    """A column of numbers in a panel."""
    figure.add_trace(
        go.Scatter(
            x=[at] * len(numbers),
            y=list(range(len(numbers))),
            mode="text",
            text=list(numbers),
            textposition="middle right",
            textfont={"size": 12},
            hoverinfo="skip",
        ),
        row=1,
        col=col,
    )


def lay_out(figure: go.Figure, labels: Sequence[str], row_height: int, *, nticks: int) -> None:
    """Heights, margins and axes that all of these figures have.

    Args:
        figure: With all its traces.
        labels: Of the rows, from top to bottom.
        row_height: Pixels for each.
        nticks: Ticks below a panel, at most.
    """
    n = len(labels)
    figure.update_layout(
        **figure_layout(height=row_height * n + 72, bargap=0.42, margin={"t": 34, "r": 14})
    )
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(fixedrange=True, nticks=nticks, zeroline=False)
    figure.update_yaxes(
        fixedrange=True,
        showgrid=False,
        range=[n - 0.5, -0.5],
        tickvals=list(range(n)),
        ticktext=list(labels),
    )


def lay_out_three(figure: go.Figure, labels: Sequence[str], row_height: int) -> None:
    """As `lay_out`, for what the network said, the mask, and what comes out."""
    lay_out(figure, labels, row_height, nticks=4)
    figure.update_xaxes(
        zeroline=True, zerolinecolor=PALETTE.neutral, zerolinewidth=1, tickformat="~g", row=1, col=1
    )
    figure.update_xaxes(range=[-1, 1], showticklabels=False, showgrid=False, row=1, col=2)
    figure.update_xaxes(range=[0, 1.42], tickvals=[0, 0.5, 1], row=1, col=3)
