"""Q-values as bars: hatched where disallowed, with a line at the best allowed one."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures.q_values import q_values_figure

NAMES = ("left", "right", "throw <it>")
VALUES = np.array([-2.0, -5.0, 9.0])
ALLOWED = np.array([True, True, False])


def test_bars_begin_at_the_best_allowed_value():
    figure = q_values_figure(NAMES, VALUES, ALLOWED, action=0)
    marks, bars, points, numbers = figure.data
    assert list(marks.marker.symbol) == list(points.marker.symbol) == ["circle", "circle", "x"]
    assert list(points.x) == [-2.0, -5.0, 9.0]
    # The largest of all is 9, and disallowed: line and bars are at the best allowed value, -2.
    assert list(bars.base) == [-2.0] * 3 and list(bars.x) == [0.0, -3.0, 11.0]
    assert list(bars.marker.pattern.shape) == ["", "", "/"]
    assert list(numbers.text) == ["−2.00", "−5.00", "9.00"]
    (line,) = figure.layout.shapes
    assert (line.x0, line.x1) == (-2.0, -2.0)
    assert figure.layout.yaxis.ticktext == ("<b>left</b>", "right", "throw &lt;it&gt;")
    assert "disallowed" in points.hovertext[2] and "Q-value 9.000" in points.hovertext[2]


def test_numbers_lie_beyond_every_point():
    for values in (VALUES, -np.abs(VALUES), np.abs(VALUES), np.zeros(3)):
        figure = q_values_figure(NAMES, values, ALLOWED)
        low, high = figure.layout.xaxis2.range
        assert low < values.min() and high > figure.data[3].x[0] > values.max()


def test_what_is_not_finite_is_not_drawn_and_without_a_choice_there_is_no_line():
    figure = q_values_figure(NAMES, np.array([np.nan, 1.0, 2.0]), ALLOWED)
    assert figure.data[1].x[0] is figure.data[2].x[0] is None and figure.data[3].text[0] == ""
    assert figure.layout.shapes[0].x0 == 1.0
    nothing = q_values_figure(NAMES, VALUES, np.zeros(3, bool))
    assert not nothing.layout.shapes and nothing.data[1].base[0] == -5.0
    q_values_figure(NAMES, np.full(3, np.nan), ALLOWED)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="q_values has 2 entries, expected 3"):
        q_values_figure(NAMES, VALUES[:2], ALLOWED)
    with pytest.raises(MaskShapeError):
        q_values_figure(NAMES, VALUES, ALLOWED[:2])
    with pytest.raises(MaskDtypeError):
        q_values_figure(NAMES, VALUES, ALLOWED.astype(float))
