"""Shares as bars, and what is not known as words."""

from __future__ import annotations

import pytest

from maskrl.figures.share_bars import share_bars


def test_bars_are_shares_with_their_numbers():
    figure = share_bars(["masked", "none"], [0.0, 0.625], label="of all steps")
    (bars,) = figure.data
    assert list(bars.x) == [0.0, 0.625] and list(bars.text) == ["0.0%", "62.5%"]
    assert figure.layout.xaxis.range[1] > 0.625 and figure.layout.yaxis.range[0] > 0
    (bars,) = share_bars(["x"], [float("nan")], label="").data
    assert list(bars.x) == [0.0] and list(bars.text) == ["not known"]


def test_one_share_for_each_name():
    with pytest.raises(ValueError, match="2 names and 1 shares"):
        share_bars(["a", "b"], [0.5], label="")
