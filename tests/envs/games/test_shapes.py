"""Shapes measure distances, join and cut; the canvas covers exactly what they cover."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.shapes import (
    Canvas,
    circle,
    common,
    ellipse,
    melt,
    path,
    polygon,
    ring,
    smooth,
    star,
    stroke,
    union,
    without,
)


def at(*points):
    x, y = np.array(points, dtype=np.float32).T
    return x, y


def test_distances_of_points_that_one_can_check_by_eye():
    x, y = at((0, 0), (2, 0), (0, 1))
    np.testing.assert_allclose(circle(x, y, (0, 0), 1), [-1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(stroke(x, y, (0, 0), (1, 0), 0.25), [-0.25, 0.75, 0.75], atol=1e-6)
    np.testing.assert_allclose(ring(circle(x, y, (0, 0), 1), 0.5), [0.75, 0.75, -0.25], atol=1e-6)
    square = polygon(x, y, [(-1, -1), (1, -1), (1, 1), (-1, 1)])
    np.testing.assert_allclose(square, [-1, 1, 0], atol=1e-6)


def test_an_ellipse_is_exact_on_its_axes_and_turns_clockwise():
    x, y = at((2, 0), (0, 0.5), (3, 0))
    np.testing.assert_allclose(ellipse(x, y, (0, 0), (2, 0.5)), [0, 0, 1], atol=0.3)
    assert ellipse(*at((0, 1.9)), (0, 0), (2, 0.5), turn=90)[0] < 0
    assert ellipse(*at((1.2, 1.2)), (0, 0), (2, 0.5), turn=45)[0] < 0  # right and down


def test_paper_turns_clockwise():
    canvas = Canvas(9, supersample=1)
    x, y = canvas.turned(90)
    spot = circle(x, y, (0, -0.8), 0.2)  # at the top of the paper
    row, column = np.unravel_index(np.argmin(spot), spot.shape)
    assert (row, column) == (4, 8)  # now at the right


def test_joining_and_cutting():
    x, y = at((-0.5, 0), (0.5, 0), (0, 3))
    left, right = circle(x, y, (-0.5, 0), 0.4), circle(x, y, (0.5, 0), 0.4)
    assert (union(left, right) < 0).tolist() == [True, True, False]
    assert (common(left, right) < 0).tolist() == [False, False, False]
    assert (without(left, right) < 0).tolist() == [True, False, False]
    assert (melt(left, right, 0.5) <= union(left, right) + 1e-6).all()


def test_a_star_has_tips_and_gaps():
    x, y = at((0, -0.9), (0, 0.9))
    tip, gap = star(x, y, (0, 0), 1)
    assert tip < 0 < gap


def test_smoothing_keeps_the_ends_of_open_lines():
    line = smooth([(0, 0), (1, 0), (1, 1)])
    assert line[0] == (0, 0) and line[-1] == (1, 1)
    assert (1, 0) not in line
    closed = smooth([(0, 0), (4, 0), (4, 4), (0, 4)], closed=True)
    assert max(np.hypot(px - 2, py - 2) for px, py in closed) < 2.4  # corners lie at 2.83
    assert smooth([(0, 0), (1, 1)]) == [(0, 0), (1, 1)]


def test_a_path_thins_out():
    x, y = at((0.05, 0.15), (1.95, 0.15))
    assert (path(x, y, [(0, 0), (1, 0), (2, 0)], 0.3, 0.05) < 0).tolist() == [True, False]


@pytest.mark.parametrize("size", [12, 48])
def test_coverage_is_the_area(size):
    canvas = Canvas(size)
    canvas.fill(circle(canvas.x, canvas.y, (0, 0), 0.7), (255, 0, 0))
    picture = canvas.finish()
    assert picture.shape == (size, size, 4)
    share = picture[..., 3].mean()  # the canvas has area 4
    assert share == pytest.approx(np.pi * 0.49 / 4, abs=0.004)
    np.testing.assert_allclose(picture[..., 0], 255 * picture[..., 3], rtol=1e-5)


def test_what_is_painted_last_lies_on_top():
    canvas = Canvas(8)
    canvas.figure([(circle(canvas.x, canvas.y, (0, 0), 0.5), (10, 20, 30))], (1, 2, 3), 0.3)
    canvas.fill(circle(canvas.x, canvas.y, (0, 0), 0.4), (200, 100, 50), opacity=0.5)
    middle = canvas.finish()[3:5, 3:5].mean(axis=(0, 1))
    np.testing.assert_allclose(middle, [105, 60, 40, 1], atol=1)
    canvas.soften(circle(canvas.x, canvas.y, (0, 0), 0.4), (0, 0, 0), opacity=1, reach=0.1)
    assert canvas.finish()[3:5, 3:5, :3].max() < 110
