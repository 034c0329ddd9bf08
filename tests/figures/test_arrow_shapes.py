"""Outlines of arrows and rings: wider with the weight, the way there beside the way back."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures.arrow_shapes import arrow_outline, ring_outline, spread, unit_length

A, B = np.array([0.0, 0.0]), np.array([1.0, 0.0])


def area(outline: np.ndarray) -> float:
    """Of a polygon, by the shoelace formula."""
    x, y = outline.T
    return abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())) / 2


@pytest.mark.parametrize("shape", ["arrow", "ring"])
def test_more_weight_is_more_ink(shape):
    def ink(weight):
        outline = arrow_outline(A, B, weight, 0.2) if shape == "arrow" else None
        return area(ring_outline(A, weight, 0.2) if outline is None else outline)

    sizes = [ink(w) for w in (0.0, 0.01, 0.1, 0.5, 1.0)]
    assert sizes[0] > 0 and all(a < b for a, b in zip(sizes, sizes[1:], strict=False))


def test_an_arrow_points_from_one_to_the_other_and_touches_neither_middle():
    outline = arrow_outline(A, B, 0.3, 0.2)
    assert np.array_equal(outline[0], outline[-1])
    tip = outline[np.linalg.norm(outline - B, axis=1).argmin()]
    # 0.36 of the unit 0.2 away from the middle that it points to
    assert np.linalg.norm(tip - B) == pytest.approx(0.072)
    assert np.linalg.norm(outline - A, axis=1).min() > 0.04


def test_the_way_there_and_the_way_back_do_not_meet():
    there, back = arrow_outline(A, B, 0.2, 0.2), arrow_outline(B, A, 0.2, 0.2)
    middle = [o[(o[:, 0] > 0.3) & (o[:, 0] < 0.7)][:, 1] for o in (there, back)]
    # y runs downwards: bent to its left, an arrow to the right lies above the straight line
    assert middle[0].max() < 0 < middle[1].min()


@pytest.mark.parametrize("distance", [0.01, 0.1, 3.0])
def test_outlines_are_finite_at_any_distance(distance):
    outline = arrow_outline(A, A + [0.6 * distance, 0.8 * distance], 1.0, 0.2)
    assert np.isfinite(outline).all()


def test_the_unit_is_the_smallest_distance_within_limits():
    places = np.array([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0]])
    assert unit_length(places, 1.0) == pytest.approx(0.1)
    assert unit_length(places * 100, 100.0) == pytest.approx(10)
    assert unit_length(places[[0, 2]], 1.0) == pytest.approx(0.15)
    assert unit_length(places * [0.01, 1], 1.0) == pytest.approx(0.045)
    assert unit_length(places[[0, 0]], 1.0) == pytest.approx(0.15)


def test_entities_that_share_a_place_are_put_apart():
    places = np.array([[0.5, 0.5], [0.2, 0.2], [0.5, 0.5]])
    moved = spread(places, 0.1)
    assert np.array_equal(moved[1], places[1])
    assert np.linalg.norm(moved[0] - moved[2]) == pytest.approx(0.044)
    assert np.allclose(moved[[0, 2]].mean(axis=0), [0.5, 0.5])
    assert np.array_equal(places[0], places[2])  # what was given is left alone
