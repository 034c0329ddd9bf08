"""Mask statistics: shares told apart without colour, mass on a percent axis."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures import disallowed_mass_figure, share_figure

STEP = np.array([100.0, 200.0, 300.0])


def test_shares_differ_in_dash_as_well_as_colour():
    figure = share_figure(STEP, {"allowed": STEP / 300, "forced": STEP * 0, "idle": STEP * np.nan})
    assert len({trace.line.dash for trace in figure.data}) == 3
    assert len({trace.line.color for trace in figure.data}) == 3
    assert [len(trace.x) for trace in figure.data] == [3, 3, 0]
    with pytest.raises(ValueError, match="'allowed' has 2 entries, step 3"):
        share_figure(STEP, {"allowed": STEP[:2]})


def test_mass_axis_begins_at_zero_and_ends_above_the_curve():
    figure = disallowed_mass_figure(STEP, np.array([0.5, np.nan, 0.6]))
    low, high = figure.layout.yaxis.range
    assert low == 0 and 0.6 < high <= 1.02
    assert list(figure.data[0].y) == [0.5, 0.6]
    assert disallowed_mass_figure(STEP, STEP * np.nan).layout.yaxis.range == (0, 0.5)
    with pytest.raises(ValueError, match="mass 2"):
        disallowed_mass_figure(STEP, STEP[:2])
