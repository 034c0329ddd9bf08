"""Curves of several variants: every seed thin, a band, colours by place, shares in percent."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures.compared_curves import COLOURS, Series, colour_of, compared_curves

STEP = np.array([10.0, 20.0, 30.0])


def series(place=0, **changes):
    nan = float("nan")
    given = {
        "name": f"variant <{place}>",
        "place": place,
        "step": STEP,
        "middle": np.array([nan, 2.0, 3.0]),
        "low": np.array([nan, 1.0, 2.5]),
        "high": np.array([nan, 2.5, 4.0]),
        "runs": np.array([[nan, 1.0, 2.5], [0.5, 3.0, 4.0]]),
    }
    return Series(**{**given, **changes})


def test_every_seed_the_band_and_the_middle_are_drawn():
    band, first, second, middle = compared_curves([series()]).data
    assert list(band.x) == [20.0, 30.0, 30.0, 20.0] and list(band.y) == [2.5, 4.0, 2.5, 1.0]
    assert list(first.y) == [1.0, 2.5] and list(second.y) == [0.5, 3.0, 4.0]
    assert list(middle.x) == [20.0, 30.0] and list(middle.y) == [2.0, 3.0]
    assert middle.name == "variant &lt;0&gt;" and middle.showlegend is not False
    assert all(trace.showlegend is False for trace in (band, first, second))
    assert {trace.legendgroup for trace in (band, first, second, middle)} == {"variant 0"}
    assert middle.line.width > first.line.width


def test_colours_go_by_place_and_published_curves_lie_behind():
    published = [Series("published", 1, STEP, np.array([9.0, 9.0, 9.0]))]
    figure = compared_curves([series(0), series(1)], published=published)
    behind, entry = figure.data[:2]
    assert behind.showlegend is False and behind.legendgroup == "variant 1"
    assert entry.name == "published" and entry.showlegend is not False
    assert behind.line.dash == "4px,4px" and behind.line.color == colour_of(1) == COLOURS[1]
    assert figure.data[-1].line.color == COLOURS[1] and figure.layout.yaxis.range[1] > 9
    assert colour_of(len(COLOURS)) == COLOURS[0]
    assert compared_curves([series(len(COLOURS))]).data[-1].line.dash == "dot"


def test_shares_are_in_percent():
    wide = compared_curves([series()], percent=True, digits=1)
    assert wide.layout.yaxis.tickformat == ".0%" and "%{y:.1%}" in wide.data[-1].hovertemplate
    narrow = series(middle=np.array([0.50, 0.51, 0.52]), low=np.zeros(0), high=np.zeros(0))
    narrow = Series(narrow.name, 0, STEP, narrow.middle)
    assert compared_curves([narrow], percent=True).layout.yaxis.tickformat == ".1%"


def test_nothing_to_draw_is_said():
    figure = compared_curves([Series("x", 0, STEP, np.full(3, np.nan))])
    assert figure.layout.annotations[0].text == "not measured"
    one = compared_curves([Series("x", 0, STEP[:1], np.array([1.0]))])
    assert one.data[0].mode == "markers"


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_can_be_seen_on_both_pages(colour):
    from maskrl.figures.theme import DARK, LIGHT

    def luminance(text):
        parts = [int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for surface in (LIGHT, DARK):
        pair = sorted((luminance(colour), luminance(surface.background)))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3.0


def test_small_figures_share_an_axis_and_have_no_legend():
    step = np.array([1.0, 2.0])
    ours = Series("a", 0, step, np.array([0.2, 0.4]))
    theirs = Series("published", 0, step, np.array([0.3, 0.3]), np.zeros(2), np.array([0.5, 0.6]))
    figure = compared_curves(
        [ours], published=[theirs], within=(0.0, 10.0), small=True, until=4.0, height=190
    )
    low, high = figure.layout.yaxis.range
    assert low < 0.0 and 10.0 < high < 12.0
    assert figure.layout.showlegend is False and figure.layout.height == 190
    assert 4.0 <= figure.layout.xaxis.range[1] < 4.1
    # Their range is a band, their mean a dashed line; there is no entry for a legend.
    assert [trace.name for trace in figure.data] == [None, "published", "a"]
    assert figure.data[0].y == (0.5, 0.6, 0.0, 0.0) and figure.data[1].line.dash == "4px,4px"


def test_an_axis_begins_at_zero_where_nothing_is_below():
    step = np.array([1.0, 2.0])

    def begin(*values):
        series = [Series("a", 0, step, np.array(values))]
        return compared_curves(series, from_zero=True).layout.yaxis.range[0]

    assert begin(0.5, 0.6) == 0.0 and begin(-0.1, 0.6) < -0.1
