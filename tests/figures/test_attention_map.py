"""Attention maps: a trace per layer and head, crosses from the permission."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures import attention_map_figure

NAMES = ["panda", "scorpion", "<b>"]
SEES = np.array([[True, False, True], [True, True, True], [True, False, True]])


def weights(layers: int = 2, heads: int = 2) -> np.ndarray:
    w = np.where(SEES, 1.0, 0.0)
    return np.broadcast_to(w / w.sum(-1, keepdims=True), (layers, heads, 3, 3))


def test_one_trace_per_layer_and_head_with_the_mean_first():
    figure = attention_map_figure(weights(), NAMES, permitted=SEES)
    assert [trace.meta for trace in figure.data] == [
        {"layer": layer, "head": head} for layer in (0, 1) for head in (-1, 0, 1)
    ]
    assert [trace.visible for trace in figure.data] == [True] + [False] * 5


def test_hover_says_who_attends_to_whom_and_how_much():
    trace = attention_map_figure(weights(), NAMES, permitted=SEES).data[1]
    assert trace.hovertext[0][0] == (
        "<b>panda → panda</b><br>50.0% of its attention<br>layer 1, head 1"
    )
    assert trace.hovertext[0][1] == (
        "<b>panda → scorpion</b><br>masked: exactly 0<br>layer 1, head 1"
    )
    assert "&lt;b&gt;" in trace.hovertext[0][2]


def test_nothing_and_little_never_look_alike():
    w = np.zeros((1, 1, 3, 3))
    w[..., 0] = 1.0
    text = attention_map_figure(w, NAMES, permitted=SEES).data[0].text
    assert text[0] == ["1", "<b>×</b>", ".00"]


def test_only_some_may_look():
    figure = attention_map_figure(weights()[:, :, :1], NAMES, query_names=["panda"])
    assert len(figure.data[0].z) == 1


def test_shapes_and_kinds_are_checked():
    with pytest.raises(ValueError, match="attention_map_figure: weights have shape"):
        attention_map_figure(weights()[0], NAMES)
    with pytest.raises(MaskShapeError, match="permitted"):
        attention_map_figure(weights(), NAMES, permitted=SEES[:2])
    with pytest.raises(MaskDtypeError, match="permitted"):
        attention_map_figure(weights(), NAMES, permitted=SEES.astype(float))
