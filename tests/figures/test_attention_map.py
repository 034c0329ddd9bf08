"""Attention maps: a trace per layer and head, crosses from the permission."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures import attention_map_figure
from maskrl.figures.visibility_map import CROSS

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
    assert text[0] == ["1", CROSS, "0"]
    w[..., 2] = 1e-6
    trace = attention_map_figure(w, NAMES, permitted=SEES).data[0]
    assert trace.text[0] == ["1", CROSS, "&lt;.01"]
    # what is forbidden has no colour at all, what is little has one
    assert trace.z[0] == [1.0, None, 0.0]
    assert "less than 0.1%" in trace.hovertext[0][2] and "exactly 0" in trace.hovertext[0][1]


def test_layers_may_differ_in_heads_and_leave_rows_out():
    first, second = weights(1, 3)[0], weights(1, 1)[0].copy()
    second[:, 1:] = np.nan
    figure = attention_map_figure([first, second], NAMES, permitted=SEES)
    assert [trace.meta["head"] for trace in figure.data] == [-1, 0, 1, 2, -1, 0]
    last = figure.data[-1]
    assert list(last.z[1]) == [None] * 3 and list(last.text[1]) == [""] * 3
    assert "not computed in this layer" in last.hovertext[1][0]


def test_many_entities_have_cells_without_numbers():
    names = [f"entity {k}" for k in range(12)]
    text = attention_map_figure(np.full((1, 1, 12, 12), 1 / 12), names).data[0].text
    assert {cell for row in text for cell in row} == {""}


def test_maps_of_very_many_entities_stay_small_and_plain():
    names = [f"entity {k}" for k in range(30)]
    nobody = np.eye(30, dtype=np.bool_)
    few = attention_map_figure(np.full((1, 1, 12, 12), 1 / 12), names[:12])
    figure = attention_map_figure(nobody[None, None] * 1.0, names, permitted=nobody)
    # empty cells are exactly 0; a cross in each would not fit
    assert {cell for row in figure.data[0].text for cell in row} == {""}
    assert [z for row in figure.data[0].z for z in row].count(None) == 30 * 29
    assert figure.layout.height < 1.3 * few.layout.height


def test_visibility_stands_beside_the_attention():
    figure = attention_map_figure(weights(), NAMES, permitted=SEES, visibility=SEES, menu=True)
    beside = figure.data[-1]
    assert (beside.xaxis, beside.yaxis) == ("x2", "y2") and beside.z[0][1] is None
    assert figure.layout.xaxis2.domain[1] < figure.layout.xaxis.domain[0]
    assert [a.text for a in figure.layout.annotations] == [
        "<b>who sees whom</b>",
        "<b>who attends to whom</b>",
    ]
    # whatever is chosen, one map and the visibility are shown
    buttons = figure.layout.updatemenus[0].buttons
    assert [b.args[0]["visible"][-1] for b in buttons] == [True] * 6
    assert [sum(b.args[0]["visible"]) for b in buttons] == [2] * 6


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
