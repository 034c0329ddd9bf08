"""The action map: agents where they stand, hovering that tells everything, clear refusals."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures import action_map

NAMES = ["stay", "up", "down", "left", "right"]
PROBS = np.array([[0.1, 0.9, 0.0, 0.0, 0.0], [0.2, 0.2, 0.2, 0.2, 0.2]])
KEEP = np.array([[True, True, False, True, True], [True] * 5])


def agents(figure: go.Figure) -> go.Scatter:
    return figure.data[-1]


def test_agents_stand_in_their_cells_and_tell_what_they_may_do():
    figure = action_map(PROBS, [0, 7], NAMES, grid_shape=(3, 4), action_mask=KEEP, actions=[1, 0])
    trace = agents(figure)
    np.testing.assert_allclose(trace.x, [0.125, 0.875])
    np.testing.assert_allclose(trace.y, [0.125, 0.375])
    first, second = trace.hovertext
    assert first.startswith("<b>agent 1</b><br>▸ up 90.0%<br>stay 10.0%<br>left 0.0%")
    assert "masked, exactly 0: down" in first
    # entropy of (0.1, 0.9) by log 4
    entropy = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9)) / np.log(4)
    assert f"undecided: {entropy:.0%}" in first
    assert "masked" not in second and "undecided: 100%" in second
    assert list(figure.layout.yaxis.range) == [0.75, 0]


def test_every_action_that_can_be_seen_is_one_shape_and_every_closed_way_one_bar():
    figure = action_map(PROBS, [0, 7], NAMES, grid_shape=(3, 4), action_mask=KEEP, actions=[1, 0])
    drawn = [t.meta["shapes"] for t in figure.data if t.meta and "shapes" in t.meta]
    assert sum(drawn) == 2 + 5 + 1
    bare = action_map(PROBS, [0, 7], NAMES, grid_shape=(3, 4), show_masks=False)
    assert sum(t.meta["shapes"] for t in bare.data if "shapes" in t.meta) == 2 + 5


@pytest.mark.parametrize("count", [0, 1, 64])
def test_any_number_of_agents(count):
    rng = np.random.default_rng(count)
    probs = rng.dirichlet(np.ones(5), count)
    cells = rng.permutation(16 * 16)[:count]
    figure = action_map(probs, cells, NAMES, grid_shape=(16, 16), waiting=[3, 5])
    assert len(agents(figure).x) == count
    assert len(figure.data) < 20  # traces go with colours, not with agents
    waiting = next(t for t in figure.data if t.meta and "waiting" in t.meta)
    assert waiting.meta["waiting"] == 2


def test_nobody_anywhere():
    figure = action_map(np.zeros((0, 5)), [], NAMES, grid_shape=(2, 2))
    assert list(agents(figure).x) == []
    figure = action_map(np.zeros((0, 5)), np.zeros((0, 2)), NAMES)
    assert figure.layout.yaxis.range[0] > 0


def test_over_a_picture_places_are_in_its_widths():
    picture = np.zeros((30, 40, 3), np.uint8)
    places = [[0.25, 0.5], [0.75, 0.1]]
    figure = action_map(PROBS, places, NAMES, picture=picture, colour="action")
    assert list(figure.layout.yaxis.range) == [0.75, 0]
    assert len(figure.layout.images) == 1
    named = [t.name for t in figure.data if t.meta and "legend" in t.meta]
    assert named == NAMES
    np.testing.assert_allclose(agents(figure).x, [0.25, 0.75])


def test_heads_of_units():
    heads = {"type": ["wait", "go"], "way": ["up", "down"]}
    probs = np.array([[0.3, 0.7, 1.0, 0.0], [0.8, 0.2, 0.5, 0.5]])
    keep = np.array([[True, True, True, False], [True] * 4])
    counts = np.array([[True, True], [True, False]])
    figure = action_map(
        probs,
        [0, 1],
        heads,
        grid_shape=(1, 2),
        action_mask=keep,
        actions=[[1, 0], [0, 0]],
        relevant=counts,
        agent_names=["<worker>", "base"],
    )
    first, second = agents(figure).hovertext
    assert first.startswith("<b>&lt;worker&gt;</b><br><i>type</i><br>▸ go 70.0%<br>wait 30.0%")
    assert "<i>way</i><br>▸ up 100.0%<br>masked, exactly 0: down" in first
    assert "way" not in second


def test_names_of_many_choices_are_counted():
    probs = np.full((1, 20), 0.05)
    keep = np.ones((1, 20), bool)
    figure = action_map(probs, [0], [f"a{k}" for k in range(20)], grid_shape=(1, 1))
    assert "12 more" in agents(figure).hovertext[0]
    keep[0, 1:] = False
    probs = keep.astype(float)
    figure = action_map(
        probs, [0], [f"a{k}" for k in range(20)], grid_shape=(1, 1), action_mask=keep
    )
    assert "masked, exactly 0: 19 of 20" in agents(figure).hovertext[0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"probs have shape \[2, 5\], expected \[agents, 2\]"):
        action_map(PROBS, [0, 1], ["a", "b"], grid_shape=(2, 2))
    with pytest.raises(ValueError, match=r"places are \[0, 9\], expected 2 cells from 0 to 3"):
        action_map(PROBS, [0, 9], NAMES, grid_shape=(2, 2))
    with pytest.raises(ValueError, match="places are cells, and no grid_shape"):
        action_map(PROBS, [0, 1], NAMES)
    with pytest.raises(ValueError, match=r"places have shape \[2, 3\]"):
        action_map(PROBS, np.zeros((2, 3)), NAMES)
    with pytest.raises(MaskDtypeError, match="action_mask"):
        action_map(PROBS, [0, 1], NAMES, grid_shape=(2, 2), action_mask=KEEP.astype(int))
    with pytest.raises(MaskShapeError, match="action_mask"):
        action_map(PROBS, [0, 1], NAMES, grid_shape=(2, 2), action_mask=KEEP[:1])
    with pytest.raises(ValueError, match="actions have shape"):
        action_map(PROBS, [0, 1], NAMES, grid_shape=(2, 2), actions=[[0, 1], [0, 1]])
    with pytest.raises(ValueError, match="1 agent names for 2 agents"):
        action_map(PROBS, [0, 1], NAMES, grid_shape=(2, 2), agent_names=["a"])
    with pytest.raises(ValueError, match="picture is float64"):
        action_map(PROBS, [0, 1], NAMES, grid_shape=(2, 2), picture=np.zeros((2, 2, 3)))
