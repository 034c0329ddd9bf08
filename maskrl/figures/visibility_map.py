"""Who sees whom: a visibility as a matrix, to be read beside the attention under it.

Rows look, columns are looked at. What is seen is a filled cell, what is hidden an
empty one with a cross, so that the two differ by more than their colour. Every
entity sees itself, whatever the matrix says: that is how attention reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.theme import PALETTE, figure_layout
from maskrl.masks.arrays import check_mask_array

CROSS = f'<b style="color:{PALETTE.disallowed}">×</b>'
"""What stands in an empty cell; in a colour that shows on light and on dark pages."""
CROSSED = 12
"""Entities up to which empty cells have a cross; beyond it would not fit."""


def visibility_figure(
    visibility: np.ndarray,
    names: Sequence[str],
    *,
    query_names: Sequence[str] | None = None,
    height: int | None = None,
) -> go.Figure:
    """A matrix of who sees whom.

    Args:
        visibility: bool [Q, E], True = i sees j.
        names: E names of the entities looked at.
        query_names: Q names of the entities that look; `names` if None.
        height: pixels; by the number of rows if None.

    Returns:
        A figure of one heat map.

    Raises:
        MaskDtypeError: if `visibility` is not boolean.
        MaskShapeError: if it does not fit the names.

    Empty rows:
        Entities that see nobody see themselves where rows and columns are the same entities.
    """
    looking = list(query_names if query_names is not None else names)
    figure = go.Figure(visibility_trace(visibility, names, query_names=looking))
    axes = matrix_axes([escape(str(n)) for n in looking], [escape(str(n)) for n in names])
    figure.update_layout(
        **figure_layout(
            height=height or 92 + row_height(len(looking)) * len(looking),
            **axes,
            margin={"l": 8, "r": 28, "t": 8, "b": 8},
        )
    )
    return figure


def visibility_trace(
    visibility: np.ndarray, names: Sequence[str], *, query_names: Sequence[str]
) -> go.Heatmap:
    """The heat map of `visibility_figure`."""
    shape = (len(query_names), len(names))
    sees = check_mask_array(visibility, shape, name="visibility", operation="visibility_figure")
    if list(query_names) == list(names):
        sees = sees | np.eye(len(names), dtype=np.bool_)
    columns = [escape(str(name)) for name in names]
    rows = [escape(str(name)) for name in query_names]
    return go.Heatmap(
        z=[[1 if seen else None for seen in row] for row in sees],
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        colorscale=[[0, PALETTE.neutral], [1, PALETTE.neutral]],
        opacity=0.6,
        showscale=False,
        zmin=0,
        zmax=1,
        xgap=cell_gap(len(columns)),
        ygap=cell_gap(len(rows)),
        name="visibility",
        meta={"visibility": True},
        text=[["" if seen else cross(len(columns)) for seen in row] for row in sees],
        texttemplate="%{text}",
        textfont={"size": 12},
        hovertext=[
            [_words(rows[i], columns[j], bool(sees[i, j])) for j in range(len(columns))]
            for i in range(len(rows))
        ],
        hoverinfo="text",
    )


def cross(entities: int) -> str:
    """What stands in an empty cell of a matrix of so many entities."""
    return CROSS if entities <= CROSSED else ""


def row_height(entities: int) -> int:
    """Pixels of a row; with many entities fewer, so that cells stay about square."""
    return 36 if entities <= 8 else 26 if entities <= CROSSED else 14 if entities <= 32 else 9


def cell_gap(entities: int) -> int:
    """Pixels between cells."""
    return 2 if entities <= CROSSED else 1


def _words(looks: str, looked_at: str, sees: bool) -> str:
    """A cell in words."""
    if looks == looked_at:
        looked_at = "itself"
    return f"<b>{looks}</b><br>" + (f"sees {looked_at}" if sees else f"does not see {looked_at}")


def matrix_axes(rows: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Axes of a matrix with names: columns above, rows from top to bottom.

    Args:
        rows: Q names, escaped.
        columns: E names, escaped.

    Returns:
        "xaxis" and "yaxis" of a layout.
    """
    many = max(len(rows), len(columns)) > CROSSED
    axis: dict[str, Any] = {"fixedrange": True, "showgrid": False, "ticks": ""}
    if many:
        axis["tickfont"] = {"size": 9 if max(len(rows), len(columns)) <= 32 else 7}
    return {
        "xaxis": {
            **axis,
            "range": [-0.5, len(columns) - 0.5],
            "tickvals": list(range(len(columns))),
            "ticktext": list(columns),
            "side": "top",
            "tickangle": -90 if many else -45,
            "ticklabeloverflow": "allow",
        },
        "yaxis": {
            **axis,
            "range": [len(rows) - 0.5, -0.5],
            "tickvals": list(range(len(rows))),
            "ticktext": list(rows),
        },
    }
