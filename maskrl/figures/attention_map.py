"""Who attends to whom: attention weights as a heat map, one per layer and head.

Each row is an entity that looks, each column one that is looked at. Cells that
a mask forbids stay empty but for a cross, and say "exactly 0" on hovering; they
are drawn from the permission, not from a small number, so that "little" and
"nothing" never look alike. Who sees whom can stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.layer_choice import choice_menu, layer_choices
from maskrl.figures.theme import figure_layout
from maskrl.figures.visibility_map import (
    CROSSED,
    cell_gap,
    cross,
    matrix_axes,
    row_height,
    visibility_trace,
)
from maskrl.masks.arrays import check_mask_array

WRITTEN = 8
"""Entities up to which the weights are written into the cells; beyond they would not fit."""
MENU_HEIGHT, TITLE_HEIGHT = 48, 24
"""Pixels below the cells."""


def attention_map_figure(
    weights: np.ndarray | Sequence[np.ndarray],
    names: Sequence[str],
    *,
    permitted: np.ndarray | None = None,
    query_names: Sequence[str] | None = None,
    visibility: np.ndarray | None = None,
    layer_names: Sequence[str] | None = None,
    menu: bool = False,
    height: int | None = None,
) -> go.Figure:
    """A heat map of attention with one trace per choice of layer and head.

    Args:
        weights: [L, K, Q, E] attention weights of L layers and K heads, or L arrays [K, Q, E]
            where layers differ in their heads; each row sums to 1, or to 0 where nothing is
            permitted, or is NaN where a layer does not compute it.
        names: E names of the entities looked at.
        permitted: bool [Q, E], or [L, Q, E] where layers differ; True = may attend. None
            permits everything.
        query_names: Q names of the entities that look; `names` if None.
        visibility: bool [Q, E], who sees whom, to be drawn beside the attention.
        layer_names: L names; "layer 1", "layer 2", ... if None.
        menu: whether a menu below the figure chooses the layer and head.
        height: pixels; by the number of rows if None.

    Returns:
        A figure whose traces are, layer by layer, the mean over heads and then
        each head. Each carries `meta = {"layer": l, "head": k}` (head -1 for
        the mean). The mean over heads of the first layer is visible. The last trace is
        the visibility, where there is one.

    Raises:
        MaskDtypeError: if `permitted` or `visibility` is not boolean.
        MaskShapeError: if one of them does not fit the names.
        ValueError: if the weights do not.
    """
    looking = list(query_names if query_names is not None else names)
    layers = _layers(weights, len(looking), len(names))
    shape = (len(layers), len(looking), len(names))
    if permitted is None:
        permitted = np.ones(shape, np.bool_)
    elif permitted.ndim == 2:
        permitted = np.broadcast_to(permitted, (len(layers), *permitted.shape))
    allowed = check_mask_array(permitted, shape, name="permitted", operation="attention_map_figure")
    columns = [escape(str(name)) for name in names]
    rows = [escape(str(name)) for name in looking]
    written = max(len(rows), len(columns)) <= (WRITTEN if visibility is None else WRITTEN - 2)
    choices = layer_choices([len(layer) for layer in layers], layer_names)
    figure = go.Figure()
    for choice in choices:
        z, open_cells = choice.of(layers[choice.layer]), allowed[choice.layer]
        figure.add_trace(
            go.Heatmap(
                z=_heights(z, open_cells),
                x=list(range(len(columns))),
                y=list(range(len(rows))),
                coloraxis="coloraxis",
                xgap=cell_gap(len(columns)),
                ygap=cell_gap(len(rows)),
                visible=choice is choices[0],
                name=choice.label,
                meta={"layer": choice.layer, "head": choice.head},
                text=_cell_texts(z, open_cells, written=written),
                texttemplate="%{text}",
                textfont={"size": 12},
                hovertext=_hover_texts(z, open_cells, rows, columns, choice.label),
                hoverinfo="text",
            )
        )
    below = 8 + (MENU_HEIGHT if menu else 0) + (TITLE_HEIGHT if visibility is not None else 0)
    figure.update_layout(
        **figure_layout(
            height=height or 84 + row_height(len(rows)) * len(rows) + below,
            coloraxis={"cmin": 0, "cmax": 1},
            **matrix_axes(rows, columns),
            margin={"l": 8, "r": 28, "t": 8, "b": below},
        )
    )
    if visibility is not None:
        figure.add_trace(visibility_trace(visibility, names, query_names=looking))
        _put_beside(figure, rows, columns)
    if menu:
        always = [True] * (visibility is not None)
        shown = [[other is choice for other in choices] + always for choice in choices]
        gap = 8 + (TITLE_HEIGHT if visibility is not None else 0)
        figure.update_layout(updatemenus=[choice_menu(choices, shown, gap=gap)])
    return figure


def _put_beside(figure: go.Figure, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Give the last trace, of visibility, axes of its own on the left, and both a title."""
    beside = matrix_axes(rows, columns)
    figure.data[-1].update(xaxis="x2", yaxis="y2")
    figure.update_layout(
        xaxis={"domain": [0.57, 1.0]},
        xaxis2={**beside["xaxis"], "domain": [0.0, 0.43], "anchor": "y2"},
        yaxis2={**beside["yaxis"], "anchor": "x2"},
        yaxis={"anchor": "x"},
    )
    for x, title in ((0.215, "who sees whom"), (0.785, "who attends to whom")):
        figure.add_annotation(
            text=f"<b>{title}</b>",
            x=x,
            y=0,
            xref="paper",
            yref="paper",
            xanchor="center",
            yanchor="top",
            showarrow=False,
        )


def _layers(
    weights: np.ndarray | Sequence[np.ndarray], rows: int, columns: int
) -> list[np.ndarray]:
    """The weights as float64 [K, Q, E], layer by layer.

    Raises:
        ValueError: There is no layer, or one has another shape.
    """
    layers = [np.asarray(layer, dtype=np.float64) for layer in weights]
    if layers and all(w.ndim == 3 and len(w) and w.shape[1:] == (rows, columns) for w in layers):
        return layers
    shapes = ", ".join(str(list(layer.shape)) for layer in layers) or "no layer"
    raise ValueError(
        f"attention_map_figure: weights have shape {shapes} by layer, expected "
        f"[heads, {rows}, {columns}] for the names given"
    )


def _heights(z: np.ndarray, allowed: np.ndarray) -> list[list[float | None]]:
    """The weights, none where nothing is to be coloured."""
    shown = allowed & ~np.isnan(z)
    return [
        [round(float(weight), 4) if ok else None for weight, ok in zip(row, some, strict=True)]
        for row, some in zip(z, shown, strict=True)
    ]


def _cell_texts(z: np.ndarray, allowed: np.ndarray, *, written: bool) -> list[list[str]]:
    """What is written in the cells: a cross where forbidden, two digits elsewhere."""
    return [
        [
            cell_text(weight, bool(ok), written=written, entities=len(row))
            for weight, ok in zip(row, some, strict=True)
        ]
        for row, some in zip(z, allowed, strict=True)
    ]


def cell_text(
    weight: float, permitted: bool, *, written: bool = True, entities: int = CROSSED
) -> str:
    """A cross where forbidden, else two digits without the leading zero.

    Args:
        weight: From 0 to 1, or NaN where it is not computed.
        permitted: Whether one may attend to the other.
        written: Whether weights are written.
        entities: In a row; of very many, crosses are left out.
    """
    if np.isnan(weight):
        return ""
    if not permitted:
        return cross(entities)
    if not written:
        return ""
    if 0 < weight < 0.005:
        return "&lt;.01"
    return "1" if weight >= 0.995 else "0" if weight == 0 else f"{weight:.2f}"[1:]


def _hover_texts(
    z: np.ndarray, allowed: np.ndarray, rows: Sequence[str], columns: Sequence[str], which: str
) -> list[list[str]]:
    """Who attends to whom and how much, in short lines that fit beside a cell."""

    def words(i: int, j: int) -> str:
        share = f"{percent(float(z[i, j]))} of its attention"
        if np.isnan(z[i, j]):
            share = "not computed in this layer"
        elif not allowed[i, j]:
            share = "masked: exactly 0"
        return f"<b>{rows[i]} → {columns[j]}</b><br>{share}<br>{which}"

    return [[words(i, j) for j in range(len(columns))] for i in range(len(rows))]


def percent(weight: float) -> str:
    """A weight in words: what is little is not called nothing."""
    if weight == 0:
        return "exactly 0"
    return "less than 0.1%" if weight < 0.001 else f"{weight:.1%}"
