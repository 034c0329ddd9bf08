"""What each action is worth, and which of them count: Q-values under the mask.

A point for every action, and a bar from the best allowed value to it: to the left what is
worse, to the right what a maximum without the mask would take. Disallowed actions are
crossed and hatched: their values were never learned from experience, are never chosen and
never bootstrapped from.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures.choice_rows import (
    add_marks,
    add_numbers,
    colours_of,
    hatched,
    lay_out,
    panels,
)
from maskrl.figures.theme import PALETTE
from maskrl.masks.arrays import check_mask_array


def q_values_figure(
    action_names: Sequence[str],
    q_values: np.ndarray,
    action_mask: np.ndarray,
    *,
    action: int | None = None,
    row_height: int = 34,
) -> go.Figure:
    """A point and a bar per action beside its mask, and a line at the best allowed value.

    Args:
        action_names: A names, drawn from top to bottom.
        q_values: [A]; what is not finite is not drawn.
        action_mask: [A] bool, True = allowed.
        action: the action that was taken; its name is bold.
        row_height: pixels per action.

    Returns:
        A plotly figure with two panels that share their rows.

    Raises:
        MaskDtypeError: if the mask is not boolean.
        MaskShapeError: if the mask has another length than the names.
        ValueError: if the values have.

    Empty rows: without an allowed action there is no line, and bars begin at the least value.
    """
    values = np.asarray(q_values, dtype=np.float64).reshape(-1)
    n = len(action_names)
    allowed = check_mask_array(action_mask, (n,), name="action_mask", operation="q_values_figure")
    if values.size != n:
        raise ValueError(
            f"q_values_figure: q_values has {values.size} entries, expected {n}, one per action "
            "name"
        )
    rows = list(range(n))
    names = [escape(str(name)) for name in action_names]
    labels = [f"<b>{name}</b>" if k == action else name for k, name in enumerate(names)]
    state = ["allowed" if a else "disallowed" for a in allowed]
    known = np.isfinite(values)
    choices = values[allowed & known]
    low, high = (float(f(values[known])) if known.any() else 0.0 for f in (np.min, np.max))
    best = float(choices.max()) if choices.size else low
    figure = panels(("mask", "Q-value"), (0.12, 0.88))
    add_marks(figure, allowed, names, col=1)
    figure.add_trace(
        go.Bar(
            x=[float(v) - best if k else None for v, k in zip(values, known, strict=True)],
            base=[best] * n,
            y=rows,
            orientation="h",
            marker=hatched(allowed),
            hoverinfo="skip",
        ),
        row=1,
        col=2,
    )
    figure.add_trace(
        go.Scatter(
            x=[float(v) if k else None for v, k in zip(values, known, strict=True)],
            y=rows,
            mode="markers",
            marker={
                "symbol": ["circle" if a else "x" for a in allowed],
                "size": 10,
                "color": colours_of(allowed),
            },
            cliponaxis=False,
            hovertext=[
                f"<b>{name}</b><br>Q-value {value:.3f}<br>{s}"
                for name, value, s in zip(names, values, state, strict=True)
            ],
            hoverinfo="text",
        ),
        row=1,
        col=2,
    )
    span = high - low or 1.0
    add_numbers(
        figure,
        [
            f"{v:.2f}".replace("-", "\N{MINUS SIGN}") if k else ""
            for v, k in zip(values, known, strict=True)
        ],
        at=high + 0.08 * span,
        col=2,
    )
    lay_out(figure, labels, row_height, nticks=5)
    figure.update_xaxes(range=[-1, 1], showticklabels=False, showgrid=False, row=1, col=1)
    figure.update_xaxes(
        tickformat="~g", range=[low - 0.06 * span, high + 0.34 * span], row=1, col=2
    )
    if choices.size:
        figure.add_vline(
            x=best,
            line={"color": PALETTE.neutral, "width": 1.5, "dash": "dash"},
            row=1,
            col=2,
        )
    return figure
