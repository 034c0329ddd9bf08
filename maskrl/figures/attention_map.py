"""Who attends to whom: attention weights as a heat map, one per layer and head.

Each row is an entity that looks, each column one that is looked at. Cells that
a mask forbids carry a cross and the words "exactly 0" on hovering; they are
drawn from the permission, not from a small number, so that "little" and
"nothing" never look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.theme import figure_layout
from maskrl.masks.arrays import check_mask_array


def attention_map_figure(
    weights: np.ndarray,
    names: Sequence[str],
    *,
    permitted: np.ndarray | None = None,
    query_names: Sequence[str] | None = None,
    height: int = 380,
) -> go.Figure:
    """A heat map of attention with one trace per choice of layer and head.

    Args:
        weights: [L, K, Q, E] attention weights of L layers and K heads; each
            row sums to 1, or to 0 where nothing is permitted.
        names: E names of the entities looked at.
        permitted: bool [Q, E], or [L, Q, E] where layers differ; True = may attend. None
            permits everything.
        query_names: Q names of the entities that look; `names` if None.
        height: pixels.

    Returns:
        A figure whose traces are, layer by layer, the mean over heads and then
        each head. Each carries `meta = {"layer": l, "head": k}` (head -1 for
        the mean). The mean over heads of the first layer is visible.

    Raises:
        MaskDtypeError: if `permitted` is not boolean.
        MaskShapeError: if `permitted` does not fit the names.
        ValueError: if the weights do not.
    """
    weights = np.asarray(weights, dtype=np.float64)
    looking = list(query_names if query_names is not None else names)
    if weights.ndim != 4 or weights.shape[2:] != (len(looking), len(names)):
        raise ValueError(
            f"attention_map_figure: weights have shape {weights.shape}, expected "
            f"[layers, heads, {len(looking)}, {len(names)}] for the names given"
        )
    layers, heads = weights.shape[:2]
    shape = (layers, len(looking), len(names))
    if permitted is None:
        permitted = np.ones(shape, np.bool_)
    elif permitted.ndim == 2:
        permitted = np.broadcast_to(permitted, (layers, *permitted.shape))
    allowed = check_mask_array(permitted, shape, name="permitted", operation="attention_map_figure")
    columns = [escape(str(name)) for name in names]
    rows = [escape(str(name)) for name in looking]
    figure = go.Figure()
    for layer in range(layers):
        for head in range(-1, heads):
            z = weights[layer].mean(axis=0) if head < 0 else weights[layer, head]
            which = f"layer {layer + 1}, " + ("mean of heads" if head < 0 else f"head {head + 1}")
            figure.add_trace(
                go.Heatmap(
                    z=np.round(z, 4).tolist(),
                    x=list(range(len(columns))),
                    y=list(range(len(rows))),
                    coloraxis="coloraxis",
                    xgap=2,
                    ygap=2,
                    visible=layer == 0 and head == -1,
                    name=which,
                    meta={"layer": layer, "head": head},
                    text=_cell_texts(z, allowed[layer]),
                    texttemplate="%{text}",
                    textfont={"size": 12},
                    hovertext=_hover_texts(z, allowed[layer], rows, columns, which),
                    hoverinfo="text",
                )
            )
    axis = {"fixedrange": True, "showgrid": False, "ticks": ""}
    figure.update_layout(
        **figure_layout(
            height=height,
            coloraxis={"cmin": 0, "cmax": 1},
            xaxis={
                **axis,
                "tickvals": list(range(len(columns))),
                "ticktext": columns,
                "side": "top",
                "tickangle": -45,
                "ticklabeloverflow": "allow",
            },
            yaxis={
                **axis,
                "tickvals": list(range(len(rows))),
                "ticktext": rows,
                "autorange": "reversed",
            },
            margin={"l": 8, "r": 28, "t": 8, "b": 8},
        )
    )
    return figure


def _cell_texts(z: np.ndarray, allowed: np.ndarray) -> list[list[str]]:
    """What is written in the cells: a cross where forbidden, two digits elsewhere."""
    return [
        [_cell_text(weight, ok) for weight, ok in zip(row, permitted, strict=True)]
        for row, permitted in zip(z, allowed, strict=True)
    ]


def _cell_text(weight: float, permitted: bool) -> str:
    """A cross where forbidden, else two digits without the leading zero, or 1."""
    if not permitted:
        return "<b>×</b>"
    return "1" if weight >= 0.995 else f"{weight:.2f}"[1:]


def _hover_texts(
    z: np.ndarray, allowed: np.ndarray, rows: Sequence[str], columns: Sequence[str], which: str
) -> list[list[str]]:
    """Who attends to whom and how much, in short lines that fit beside a cell."""

    def words(i: int, j: int) -> str:
        share = f"{z[i, j]:.1%} of its attention" if allowed[i, j] else "masked: exactly 0"
        return f"<b>{rows[i]} → {columns[j]}</b><br>{share}<br>{which}"

    return [[words(i, j) for j in range(len(columns))] for i in range(len(rows))]
