"""The bits of one step: what the network said, what the mask allows, what comes out.

The counterpart of `action_head_figure` for actions of bits, each on or off by itself:
the raw log-odds, what the mask says of the bit in words, and the probability that it is
on. A diamond shows the probability that the same log-odds would give without the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from maskrl.figures.theme import PALETTE, figure_layout
from maskrl.masks.arrays import check_mask_array

WORDS = {
    (True, True): "free",
    (True, False): "must be off",
    (False, True): "must be on",
    (False, False): "idle",
}
"""What a mask says of a bit: by (may be 0, may be 1)."""


def action_bits_figure(
    names: Sequence[str],
    log_odds: np.ndarray,
    action_mask: np.ndarray,
    probs: np.ndarray,
    *,
    action: np.ndarray | None = None,
    show_unmasked: bool = True,
    row_height: int = 34,
) -> go.Figure:
    """One row per bit: log-odds, mask, probability of being on.

    Args:
        names: n names, drawn from top to bottom.
        log_odds: [n] of being on, before the mask.
        action_mask: [n, 2] bool: may be off, may be on.
        probs: [n] probability of being on under the mask.
        action: [n] what was done, 0 or 1; names of bits that are on are bold.
        show_unmasked: whether diamonds show the probability without the mask.
        row_height: pixels per bit.

    Returns:
        A plotly figure with three panels that share their rows.

    Raises:
        MaskDtypeError: if the mask is not boolean.
        MaskShapeError: if the mask does not fit the names.
        ValueError: if log-odds or probabilities do not.

    Empty rows:
        A bit that may be neither is called idle.
    """
    n = len(names)
    log_odds = np.asarray(log_odds, dtype=np.float64).reshape(-1)
    probs = np.asarray(probs, dtype=np.float64).reshape(-1)
    pairs = check_mask_array(
        action_mask, (n, 2), name="action_mask", operation="action_bits_figure"
    )
    for name, array in (("log_odds", log_odds), ("probs", probs)):
        if array.size != n:
            raise ValueError(
                f"action_bits_figure: {name} has {array.size} entries, expected {n}, one per bit"
            )
    rows = list(range(n))
    words = [WORDS[(bool(off), bool(on))] for off, on in pairs]
    free = np.array([word == "free" for word in words])
    on = np.zeros(n, np.bool_) if action is None else np.asarray(action).reshape(-1) == 1
    plain = [escape(str(name)) for name in names]
    labels = [f"<b>{name}</b>" if lit else name for name, lit in zip(plain, on, strict=True)]
    colours = [PALETTE.allowed if f else PALETTE.disallowed for f in free]
    figure = make_subplots(
        rows=1,
        cols=3,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        column_widths=[0.28, 0.26, 0.46],
        subplot_titles=("raw log-odds", "mask", "probability of on"),
    )
    figure.add_trace(
        go.Bar(
            x=[float(v) if np.isfinite(v) else None for v in log_odds],
            y=rows,
            orientation="h",
            marker={
                "color": colours,
                "pattern": {
                    "shape": ["" if f else "/" for f in free],
                    "fillmode": "replace",
                    "size": 6,
                    "solidity": 0.35,
                },
                "line": {"color": colours, "width": 1},
            },
            hovertext=[
                f"<b>{name}</b><br>raw log-odds {value:.3f}<br>{word}"
                for name, value, word in zip(plain, log_odds, words, strict=True)
            ],
            hoverinfo="text",
        ),
        row=1,
        col=1,
    )
    figure.add_trace(
        go.Scatter(
            x=[0] * n,
            y=rows,
            mode="text",
            text=words,
            textfont={"size": 12, "color": colours},
            cliponaxis=False,  # on a narrow page the words are wider than their column
            hoverinfo="skip",
        ),
        row=1,
        col=2,
    )
    figure.add_trace(
        go.Bar(
            x=probs.tolist(),
            y=rows,
            orientation="h",
            marker={"color": PALETTE.allowed, "line": {"width": 0}},
            hovertext=[
                f"<b>{name}</b><br>on with probability {p:.4f}<br>{word}"
                for name, p, word in zip(plain, probs, words, strict=True)
            ],
            hoverinfo="text",
        ),
        row=1,
        col=3,
    )
    if show_unmasked:
        without = 0.5 * (1.0 + np.tanh(0.5 * np.nan_to_num(log_odds, nan=0.0)))
        figure.add_trace(
            go.Scatter(
                x=without.tolist(),
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
                    for name, p in zip(plain, without, strict=True)
                ],
                hoverinfo="text",
            ),
            row=1,
            col=3,
        )
    figure.add_trace(
        go.Scatter(
            x=[1.06] * n,
            y=rows,
            mode="text",
            text=[
                f"{p:.2f}" if f else "" if word == "idle" else f"{p:.0f}"
                for p, f, word in zip(probs, free, words, strict=True)
            ],
            textposition="middle right",
            textfont={"size": 12},
            hoverinfo="skip",
        ),
        row=1,
        col=3,
    )
    figure.update_layout(
        **figure_layout(height=row_height * n + 72, bargap=0.42, margin={"t": 34, "r": 14})
    )
    figure.update_annotations(font={"size": 13})
    figure.update_xaxes(fixedrange=True, nticks=4, zeroline=False)
    figure.update_yaxes(
        fixedrange=True, showgrid=False, range=[n - 0.5, -0.5], tickvals=rows, ticktext=labels
    )
    figure.update_xaxes(
        zeroline=True, zerolinecolor=PALETTE.neutral, zerolinewidth=1, tickformat="~g", row=1, col=1
    )
    figure.update_xaxes(range=[-1, 1], showticklabels=False, showgrid=False, row=1, col=2)
    figure.update_xaxes(range=[0, 1.42], tickvals=[0, 0.5, 1], row=1, col=3)
    return figure
