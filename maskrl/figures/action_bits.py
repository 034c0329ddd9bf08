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

from maskrl.figures.choice_rows import (
    add_probabilities,
    add_raw_bars,
    colours_of,
    lay_out_three,
    panels,
)
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
    words = [WORDS[(bool(off), bool(on))] for off, on in pairs]
    free = np.array([word == "free" for word in words])
    on = np.zeros(n, np.bool_) if action is None else np.asarray(action).reshape(-1) == 1
    plain = [escape(str(name)) for name in names]
    labels = [f"<b>{name}</b>" if lit else name for name, lit in zip(plain, on, strict=True)]
    figure = panels(("raw log-odds", "mask", "probability of on"), (0.28, 0.26, 0.46))
    add_raw_bars(
        figure,
        [float(v) if np.isfinite(v) else None for v in log_odds],
        free,
        [
            f"<b>{name}</b><br>raw log-odds {value:.3f}<br>{word}"
            for name, value, word in zip(plain, log_odds, words, strict=True)
        ],
    )
    figure.add_trace(
        go.Scatter(
            x=[0] * n,
            y=list(range(n)),
            mode="text",
            text=words,
            textfont={"size": 12, "color": colours_of(free)},
            cliponaxis=False,  # on a narrow page the words are wider than their column
            hoverinfo="skip",
        ),
        row=1,
        col=2,
    )
    without = None
    if show_unmasked:
        without = (0.5 * (1.0 + np.tanh(0.5 * np.nan_to_num(log_odds, nan=0.0)))).tolist()
    add_probabilities(
        figure,
        probs.tolist(),
        names=plain,
        hover=[
            f"<b>{name}</b><br>on with probability {p:.4f}<br>{word}"
            for name, p, word in zip(plain, probs, words, strict=True)
        ],
        numbers=[
            f"{p:.2f}" if f else "" if word == "idle" else f"{p:.0f}"
            for p, f, word in zip(probs, free, words, strict=True)
        ],
        without=without,
    )
    lay_out_three(figure, labels, row_height)
    return figure
