"""Shapes of actions: they point where their names say, and their area is their probability."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures.action_glyphs import (
    arrange,
    bar,
    diamond,
    disc,
    outlines,
    part,
    target_of,
    triangle,
    way_of,
)


def area(outline: np.ndarray) -> float:
    x, y = outline.T
    return abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())) / 2


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_probability_has_the_same_area_in_every_shape(share):
    areas = [area(triangle((0, -1), share)), area(disc(share)), area(diamond((0.3, 0.3), share))]
    # a circle of 32 pieces has 0.6 % less
    np.testing.assert_allclose(areas, areas[0], rtol=0.01)
    assert areas[0] == pytest.approx(share * area(triangle((1, 0), 1.0)))


def test_parts_of_a_ring_share_it_by_probability():
    whole = sum(area(part(a, b)) for a, b in ((0, 0.25), (0.25, 0.3), (0.3, 1.0)))
    assert area(part(0, 0.25)) / whole == pytest.approx(0.25, abs=0.01)
    first = part(0, 0.25)  # clockwise from the top: the upper right, y downwards
    assert first[:, 0].min() > -1e-9 and first[:, 1].max() < 1e-9


@pytest.mark.parametrize("way", [(0.0, -1.0), (1.0, 0.0), (-(0.5**0.5), 0.5**0.5)])
def test_a_triangle_points_its_way_within_the_cell(way):
    outline = triangle(way, 1.0)
    along = outline @ np.asarray(way)
    assert along.argmax() == 1 and along.min() > 0 and along.max() < 0.5
    across = bar(way) @ np.asarray(way)
    assert (across > 0.4).all() and (across < 0.5).all()


def test_names_with_a_direction():
    assert way_of("up") == way_of("move_up") == way_of("north") == (0, -1)
    assert way_of("go down-left") == pytest.approx((-(0.5**0.5), 0.5**0.5))
    assert way_of("turn_left") is way_of("throw up") is way_of("") is way_of("up down") is None
    assert target_of("+2,-1") == (2, -1) and target_of("-0,+3") == (0, 3)
    assert target_of("2,1") is target_of("left") is target_of("+a,+b") is None


def test_moves_a_place_to_stay_and_corners():
    spots = arrange(["stay", "up", "down", "left", "right", "use_item"])
    assert [spot.kind for spot in spots] == ["stay", *["move"] * 4, "corner"]
    assert (spots[3].x, spots[3].y) == (-1, 0)


@pytest.mark.parametrize(
    "names",
    [
        ["forward", "backward", "turn_left"],
        ["up", "go_up", "down"],  # two with one direction
        ["up", "down", "a", "b", "c", "d", "e"],  # too many others
        ["up", "jump"],
    ],
)
def test_others_are_parts_of_a_ring(names):
    assert {spot.kind for spot in arrange(names)} == {"part"}


def test_what_cannot_be_seen_is_not_drawn():
    spots = arrange(["stay", "up", "down"])
    assert [k for k, _ in outlines(spots, [0.004, 0.0, 0.996])] == [2]
    ring = arrange(["a", "b", "c"])
    drawn = dict(outlines(ring, [0.003, 0.5, 0.497]))
    assert sorted(drawn) == [1, 2]
    # what is not drawn keeps its place all the same
    np.testing.assert_allclose(drawn[1][0], part(0.003, 0.503)[0])
    assert outlines(spots, [0.0, 0.0, 0.0]) == []
