"""Ratios on a logarithmic axis, everybody told apart without colour."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures import bench_ratio_figure

ROWS = ["1x6", "64x6"]


def test_dots_lie_where_they_belong():
    figure = bench_ratio_figure(
        ROWS, {"acting": {"a": [2.0, np.nan], "b": [4.0, 8.0]}, "learning": {"b": [0.5, 1.0]}}
    )
    dots = [(t.name, t.xaxis, list(t.y), list(t.x)) for t in figure.data]
    assert dots == [
        ("a", "x", ["1x6"], [2.0]),
        ("b", "x", ROWS, [4.0, 8.0]),
        ("b", "x2", ROWS, [0.5, 1.0]),
    ]
    assert [t.showlegend for t in figure.data] == [True, True, False]
    assert figure.layout.xaxis.type == figure.layout.xaxis2.type == "log"
    low, high = figure.layout.xaxis.range
    assert low < np.log10(0.5) and high > np.log10(8.0)
    assert list(figure.layout.yaxis.categoryarray) == ROWS[::-1]


def test_everybody_has_a_symbol_and_keeps_it():
    names = [f"contender {k}" for k in range(8)]
    figure = bench_ratio_figure(ROWS, {"acting": {name: [2.0, 3.0] for name in names}})
    assert len({t.marker.symbol for t in figure.data}) == 8


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="'a' has 1 ratios in 'acting', there are 2 rows"):
        bench_ratio_figure(ROWS, {"acting": {"a": [2.0]}})
    with pytest.raises(ValueError, match="panels is empty"):
        bench_ratio_figure(ROWS, {})
