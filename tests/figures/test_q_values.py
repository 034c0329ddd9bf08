"""Q-values as bars: hatched where disallowed, with a line at the best allowed one."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures.q_values import q_values_figure

NAMES = ("left", "right", "throw <it>")
VALUES = np.array([-2.0, -5.0, 9.0])
ALLOWED = np.array([True, True, False])


def test_bars_marks_and_line():
    figure = q_values_figure(NAMES, VALUES, ALLOWED, action=0)
    marks, bars, numbers = figure.data
    assert list(marks.marker.symbol) == ["circle", "circle", "x"]
    assert list(bars.x) == [-2.0, -5.0, 9.0]
    assert list(bars.marker.pattern.shape) == ["", "", "/"]
    assert list(numbers.text) == ["-2.00", "-5.00", "9.00"]
    # The largest of all is 9, and disallowed: the line is at the best allowed value.
    (line,) = figure.layout.shapes
    assert (line.x0, line.x1) == (-2.0, -2.0)
    assert figure.layout.yaxis.ticktext == ("<b>left</b>", "right", "throw &lt;it&gt;")
    assert "disallowed" in bars.hovertext[2] and "Q-value 9.000" in bars.hovertext[2]


def test_numbers_lie_beyond_every_bar_and_zero_is_in_view():
    for values in (VALUES, -np.abs(VALUES), np.abs(VALUES), np.zeros(3)):
        figure = q_values_figure(NAMES, values, ALLOWED)
        low, high = figure.layout.xaxis2.range
        assert low < min(0, values.min()) and high > max(0, values.max())
        assert figure.data[2].x[0] > max(0, values.max())


def test_what_is_not_finite_has_no_bar_and_without_a_choice_there_is_no_line():
    figure = q_values_figure(NAMES, np.array([np.nan, 1.0, 2.0]), ALLOWED)
    assert figure.data[1].x[0] is None and figure.data[2].text[0] == ""
    assert figure.layout.shapes[0].x0 == 1.0
    assert not q_values_figure(NAMES, VALUES, np.zeros(3, bool)).layout.shapes


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="q_values has 2 entries, expected 3"):
        q_values_figure(NAMES, VALUES[:2], ALLOWED)
    with pytest.raises(MaskShapeError):
        q_values_figure(NAMES, VALUES, ALLOWED[:2])
    with pytest.raises(MaskDtypeError):
        q_values_figure(NAMES, VALUES, ALLOWED.astype(float))
