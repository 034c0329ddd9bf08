"""Learning curves: gaps left out, lines drawn, text escaped."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures import ReferenceLine, learning_curve

STEP = np.array([100.0, 200.0, 300.0])


def test_rows_without_a_value_are_left_out():
    figure = learning_curve(STEP, np.array([0.1, np.nan, 0.3]), label="score")
    assert list(figure.data[0].x) == [100, 300]
    assert list(figure.data[0].y) == [0.1, 0.3]


def test_ceiling_and_floor_lie_inside_the_axis():
    lines = (ReferenceLine(1.0, "planner"), ReferenceLine(0.0, "random", "floor"))
    figure = learning_curve(STEP, np.array([0.2, 0.3, 0.4]), label="score", lines=lines)
    low, high = figure.layout.yaxis.range
    assert low < 0 and high > 1
    assert sorted(shape.y0 for shape in figure.layout.shapes) == [0, 1]
    assert {note.text for note in figure.layout.annotations} == {"planner", "random"}


def test_a_single_point_and_no_point_are_drawn_too():
    assert learning_curve(STEP[:1], STEP[:1], label="a").data[0].mode == "lines+markers"
    empty = learning_curve(STEP, np.full(3, np.nan), label="a", lines=(ReferenceLine(np.nan, "x"),))
    assert empty.layout.annotations[0].text == "not measured"
    assert not empty.layout.shapes


def test_labels_are_escaped_and_lengths_are_checked():
    figure = learning_curve(STEP, STEP, label="<b>")
    assert "&lt;b&gt;" in figure.data[0].hovertemplate
    with pytest.raises(ValueError, match="step has 3 entries, value 2"):
        learning_curve(STEP, STEP[:2], label="a")
