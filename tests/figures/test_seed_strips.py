"""Every seed is a point; a mean is drawn only where it stands for them."""

from __future__ import annotations

from maskrl.figures.seed_strips import Strip, seed_strips


def test_seeds_are_points_and_the_mean_a_mark_in_its_interval():
    strips = [
        Strip("masked", 0, (0, 1), (8.0, 9.0), 8.5, (8.0, 9.0)),
        Strip("naive <x>", 1, (0, 1), (0.0, 9.0)),
    ]
    figure = seed_strips(strips, label="return", lines=[(-1.0, "chance")])
    interval, points, middle, split = figure.data
    assert list(interval.x) == [8.0, 9.0] and list(middle.x) == [8.5]
    assert list(points.x) == [8.0, 9.0] and list(points.customdata) == [0, 1]
    assert list(split.x) == [0.0, 9.0] and "naive &lt;x&gt;" in split.hovertemplate
    assert figure.layout.yaxis.ticktext == ("masked", "naive &lt;x&gt;")
    low, high = figure.layout.yaxis.range
    assert low > high  # the first is at the top
    assert figure.layout.xaxis.range[0] < -1.0 and figure.layout.annotations[0].text == "chance"
    # Points of one variant lie in its row, a little apart.
    assert all(abs(y - 1) < 0.4 for y in split.y) and len(set(split.y)) == 2


def test_equal_seeds_do_not_hide_behind_each_other():
    figure = seed_strips([Strip("a", 0, (0, 1, 2, 3), (40.0,) * 4)], label="return")
    (points,) = [trace for trace in figure.data if trace.mode == "markers"]
    assert len(set(points.y)) == 4 and all(-0.4 < y < 0.4 for y in points.y)
