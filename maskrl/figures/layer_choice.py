"""Choices among layers and heads: what figures of attention have one trace for.

Every layer is shown as the mean over its heads and head by head. In a notebook a
menu inside the figure chooses; on a page of `maskrl.reports` buttons do, which
read the `meta` that the traces carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LayerChoice:
    """One layer, and one head of it or the mean over all.

    Attributes:
        layer: From 0.
        head: From 0, or -1 for the mean.
        label: In words.
    """

    layer: int
    head: int
    label: str

    def of(self, weights: np.ndarray) -> np.ndarray:
        """[Q, E] of a layer's weights [K, Q, E]."""
        chosen: np.ndarray = weights.mean(axis=0) if self.head < 0 else weights[self.head]
        return chosen


def layer_choices(
    heads: Sequence[int], layer_names: Sequence[str] | None = None
) -> list[LayerChoice]:
    """All choices, layer by layer, the mean over heads first.

    Args:
        heads: Number of heads of each layer.
        layer_names: One per layer; "layer 1", "layer 2", ... if None.

    Raises:
        ValueError: There is another number of names than of layers.
    """
    names = [f"layer {k + 1}" for k in range(len(heads))]
    if layer_names is not None:
        if len(layer_names) != len(heads):
            raise ValueError(
                f"layer_choices: {len(layer_names)} layer_names, expected {len(heads)}, one per "
                "layer"
            )
        names = [escape(str(name)) for name in layer_names]
    return [
        LayerChoice(
            layer, head, f"{name}, " + ("mean of heads" if head < 0 else f"head {head + 1}")
        )
        for layer, name in enumerate(names)
        for head in range(-1, heads[layer])
    ]


def choice_menu(
    choices: Sequence[LayerChoice], visible: Sequence[Sequence[bool]], *, gap: int = 8
) -> Any:
    """A menu below a figure on the left, that shows the traces of one choice.

    Args:
        choices: What there is to choose.
        visible: For each of them, which traces of the figure are shown.
        gap: Pixels between the figure and the menu.
    """
    return {
        "type": "dropdown",
        "direction": "up",
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": gap, "l": 0},
        "buttons": [
            {"label": choice.label, "method": "restyle", "args": [{"visible": list(shown)}]}
            for choice, shown in zip(choices, visible, strict=True)
        ],
    }
