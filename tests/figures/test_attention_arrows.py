"""Arrows: the weights that were given, where entities stand, and none where it is forbidden."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures import attention_arrows_figure

NAMES = ["panda", "melon", "scorpion", "<b>"]
PLACES = np.array([[0.1, 0.1], [0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
SEES = np.ones((4, 4), np.bool_)
SEES[[0, 1, 3], 2] = False


def weights(layers: int = 2, heads: int = 3) -> np.ndarray:
    raw = np.random.default_rng(0).random((layers, heads, 4, 4)) + 0.05
    raw = np.where(SEES, raw, 0.0)
    return raw / raw.sum(-1, keepdims=True)


def arrows(figure, layer: int, head: int) -> dict[tuple[int, int], float]:
    """What can be hovered over for a choice: (from, to) -> weight."""
    (trace,) = (
        t for t in figure.data if t.meta == {"layer": layer, "head": head} and t.mode == "markers"
    )
    return {(int(i), int(j)): w for i, j, w in trace.customdata}


def outlines(figure, layer: int, head: int) -> int:
    """How many arrows and rings are drawn for a choice."""
    traces = [
        t for t in figure.data if t.meta == {"layer": layer, "head": head} and t.fill == "toself"
    ]
    return sum(1 + list(t.x).count(None) for t in traces if len(t.x))


@pytest.mark.parametrize("observer", [0, 2, None])
def test_arrows_are_the_weights_and_hidden_pairs_have_none(observer):
    w = weights()
    figure = attention_arrows_figure(
        w, NAMES, PLACES, permitted=SEES, observer=observer, at_least=0
    )
    for layer in range(2):
        for head in range(-1, 3):
            expected = w[layer].mean(0) if head < 0 else w[layer, head]
            looking = range(4) if observer is None else [observer]
            wanted = {(i, j): expected[i, j] for i in looking for j in range(4) if SEES[i, j]}
            assert arrows(figure, layer, head) == pytest.approx(wanted)
            assert outlines(figure, layer, head) == len(wanted)


def test_what_is_forbidden_or_exactly_0_is_not_drawn_whatever_the_numbers_say():
    everything = np.full((1, 1, 4, 4), 0.25)
    figure = attention_arrows_figure(everything, NAMES, PLACES, permitted=SEES)
    assert (0, 2) not in arrows(figure, 0, 0) and len(arrows(figure, 0, 0)) == 3
    nothing = np.zeros((1, 1, 4, 4))
    nothing[..., 1] = 1 - 1e-6
    nothing[..., 3] = 1e-6
    drawn = arrows(attention_arrows_figure(nothing, NAMES, PLACES), 0, 0)
    assert set(drawn) == {(0, 1), (0, 3)}  # very little is drawn, nothing is not


def test_permission_may_differ_by_layer():
    later = SEES & np.array([True, False, True, True])
    figure = attention_arrows_figure(
        np.full((2, 1, 4, 4), 0.25), NAMES, PLACES, permitted=np.stack([SEES, later])
    )
    assert set(arrows(figure, 0, 0)) == {(0, 0), (0, 1), (0, 3)}
    assert set(arrows(figure, 1, 0)) == {(0, 0), (0, 3)}


def test_of_everybody_faint_arrows_are_left_out_and_the_figure_says_so():
    w = np.full((1, 1, 4, 4), 0.05)
    w[..., 0] = 0.85
    figure = attention_arrows_figure(w, NAMES, PLACES, observer=None)
    assert {j for _, j in arrows(figure, 0, 0)} == {0}
    assert figure.layout.annotations[0].text == "arrows of 0.1 and more"
    assert not attention_arrows_figure(w, NAMES, PLACES).layout.annotations


def test_rows_that_are_not_computed_have_no_arrows():
    w = weights()
    w[1, :, 1:] = np.nan
    figure = attention_arrows_figure(w, NAMES, PLACES, observer=None, at_least=0)
    assert {i for i, _ in arrows(figure, 1, -1)} == {0}


def test_the_hidden_are_marked_and_names_stay_text():
    figure = attention_arrows_figure(weights(), NAMES, PLACES, permitted=SEES)
    entities = figure.data[-1]
    assert list(entities.marker.symbol) == ["circle", "circle", "x-thin-open", "circle"]
    assert entities.hovertext[2] == "<b>scorpion</b><br>hidden: gets exactly 0"
    assert entities.text[3] == "&lt;b&gt;"


def test_one_choice_is_visible_and_the_menu_shows_each():
    figure = attention_arrows_figure(weights(), NAMES, PLACES, menu=True)
    seen = {(t.meta["layer"], t.meta["head"]) for t in figure.data[:-1] if t.visible}
    assert seen == {(0, -1)}
    buttons = figure.layout.updatemenus[0].buttons
    assert len(buttons) == 8
    shown = buttons[6].args[0]["visible"]
    chosen = [trace.meta for trace, s in zip(figure.data, shown, strict=True) if s]
    assert {(m.get("layer"), m.get("head")) for m in chosen[:-1]} == {(1, 1)}
    assert chosen[-1] == {"entities": True}


def test_a_picture_lies_beneath_and_fills_the_drawing():
    picture = np.zeros((60, 50, 3), np.uint8)
    figure = attention_arrows_figure(weights(), NAMES, PLACES, picture=picture)
    (image,) = figure.layout.images
    assert image.source.startswith("data:image/png;base64,") and image.layer == "below"
    assert (image.sizex, image.sizey) == (1.0, 1.2)
    assert list(figure.layout.yaxis.range) == [1.2, 0.0]


def test_messages():
    with pytest.raises(ValueError, match=r"weights have shape \[4, 4\], \[4, 4\], \[4, 4\]"):
        attention_arrows_figure(weights()[0], NAMES, PLACES)
    with pytest.raises(ValueError, match="weights have shape no layer"):
        attention_arrows_figure([], NAMES, PLACES)
    with pytest.raises(ValueError, match=r"places have shape \[3, 2\], expected \[4, 2\]"):
        attention_arrows_figure(weights(), NAMES, PLACES[:3])
    with pytest.raises(ValueError, match=r"place of entity 1 is \[nan, 0.1\]"):
        attention_arrows_figure(weights(), NAMES, np.where(PLACES == 0.9, np.nan, PLACES))
    with pytest.raises(ValueError, match="observer is 4, expected 0 to 3"):
        attention_arrows_figure(weights(), NAMES, PLACES, observer=4)
    with pytest.raises(ValueError, match=r"picture is float64 \[6, 5, 3\]"):
        attention_arrows_figure(weights(), NAMES, PLACES, picture=np.zeros((6, 5, 3)))
    with pytest.raises(ValueError, match=r"entity 1 is at \[9.0, 1.0\], outside the picture"):
        attention_arrows_figure(
            weights(), NAMES, PLACES * 10, picture=np.zeros((6, 5, 3), np.uint8)
        )
    with pytest.raises(MaskShapeError, match="permitted"):
        attention_arrows_figure(weights(), NAMES, PLACES, permitted=SEES[:2])
    with pytest.raises(MaskDtypeError, match="permitted"):
        attention_arrows_figure(weights(), NAMES, PLACES, permitted=SEES.astype(float))
