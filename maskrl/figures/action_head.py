"""The head of one step: what the network said, what the mask allows, what comes out.

Three bars for every action: the raw logit, the mask, and the probability that
the agent acts on. A diamond shows the probability that the same logits
would give without the mask, so that the mass the mask takes away is visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from maskrl.figures.theme import PALETTE, figure_layout
from maskrl.masks.arrays import check_mask_array


def action_head_figure(
    action_names: Sequence[str],
    logits: np.ndarray,
    action_mask: np.ndarray,
    probs: np.ndarray,
    *,
    unmasked_probs: np.ndarray | None = None,
    action: int | None = None,
    row_height: int = 34,
) -> go.Figure:
    """Three bars per action: logit, mask, probability.

    Args:
        action_names: A names, drawn from top to bottom.
        logits: [A] raw logits, before the mask.
        action_mask: [A] bool, True = allowed.
        probs: [A] probabilities under the mask.
        unmasked_probs: [A] softmax of the logits without the mask, drawn as
            diamonds; None leaves them out.
        action: the action that was taken; its name is bold.
        row_height: pixels per action.

    Returns:
        A plotly figure with three panels that share their rows.

    Raises:
        MaskDtypeError: if the mask is not boolean.
        MaskShapeError: if the mask has another length than the names.
        ValueError: if the logits or probabilities have.
    """
    logits = np.asarray(logits, dtype=np.float64).reshape(-1)
    probs = np.asarray(probs, dtype=np.float64).reshape(-1)
    n = len(action_names)
    allowed = check_mask_array(
        action_mask, (n,), name="action_mask", operation="action_head_figure"
    )
    for name, array in (("logits", logits), ("probs", probs)):
        if array.size != n:
            raise ValueError(
                f"action_head_figure: {name} has {array.size} entries, expected {n}, "
                "one per action name"
            )
    rows = list(range(n))
    names = [escape(str(name)) for name in action_names]
    labels = [f"<b>{name}</b>" if k == action else name for k, name in enumerate(names)]
    bar = {
        "color": [PALETTE.allowed if a else PALETTE.disallowed for a in allowed],
        "pattern": {
            "shape": ["" if a else "/" for a in allowed],
            "fillmode": "replace",
            "size": 6,
            "solidity": 0.35,
        },
        "line": {
            "color": [PALETTE.allowed if a else PALETTE.disallowed for a in allowed],
            "width": 1,
        },
    }
    state = ["allowed" if a else "disallowed" for a in allowed]
    finite_logits = [float(v) if np.isfinite(v) else None for v in logits]
    figure = make_subplots(
        rows=1,
        cols=3,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        column_widths=[0.36, 0.12, 0.52],
        subplot_titles=("raw logits", "mask", "probabilities"),
    )
    figure.add_trace(
        go.Bar(
            x=finite_logits,
            y=rows,
            orientation="h",
            marker=bar,
            hovertext=[
                f"<b>{name}</b><br>raw logit {value:.3f}<br>{s}"
                for name, value, s in zip(names, logits, state, strict=True)
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
            mode="markers",
            marker={
                "symbol": ["circle" if a else "x" for a in allowed],
                "size": 13,
                "color": [PALETTE.allowed if a else PALETTE.disallowed for a in allowed],
            },
            hovertext=[f"<b>{name}</b><br>{s}" for name, s in zip(names, state, strict=True)],
            hoverinfo="text",
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
                f"<b>{name}</b><br>probability {p:.4f}" + ("" if a else "<br>disallowed")
                for name, p, a in zip(names, probs, allowed, strict=True)
            ],
            hoverinfo="text",
        ),
        row=1,
        col=3,
    )
    if unmasked_probs is not None:
        without = np.asarray(unmasked_probs, dtype=np.float64).reshape(-1)
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
                    for name, p in zip(names, without, strict=True)
                ],
                hoverinfo="text",
            ),
            row=1,
            col=3,
        )
    # The numbers stand in a column of their own, where no bar or diamond can reach them.
    figure.add_trace(
        go.Scatter(
            x=[1.06] * n,
            y=rows,
            mode="text",
            text=[f"{p:.2f}" if a else "0" for p, a in zip(probs, allowed, strict=True)],
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
