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

from maskrl.figures.choice_rows import (
    add_marks,
    add_probabilities,
    add_raw_bars,
    lay_out_three,
    panels,
)
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
    names = [escape(str(name)) for name in action_names]
    labels = [f"<b>{name}</b>" if k == action else name for k, name in enumerate(names)]
    state = ["allowed" if a else "disallowed" for a in allowed]
    figure = panels(("raw logits", "mask", "probabilities"), (0.36, 0.12, 0.52))
    add_raw_bars(
        figure,
        [float(v) if np.isfinite(v) else None for v in logits],
        allowed,
        [
            f"<b>{name}</b><br>raw logit {value:.3f}<br>{s}"
            for name, value, s in zip(names, logits, state, strict=True)
        ],
    )
    add_marks(figure, allowed, names, col=2)
    without = None
    if unmasked_probs is not None:
        without = np.asarray(unmasked_probs, dtype=np.float64).reshape(-1).tolist()
    add_probabilities(
        figure,
        probs.tolist(),
        names=names,
        hover=[
            f"<b>{name}</b><br>probability {p:.4f}" + ("" if a else "<br>disallowed")
            for name, p, a in zip(names, probs, allowed, strict=True)
        ],
        numbers=[f"{p:.2f}" if a else "0" for p, a in zip(probs, allowed, strict=True)],
        without=without,
    )
    lay_out_three(figure, labels, row_height)
    return figure
