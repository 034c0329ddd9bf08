"""Draws from single tiles: where the target lies at, between and beyond the sums."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused.drawing import draw_in_line, draw_lanes
from maskrl.kernels.fused.memory import as_float32, as_float64, as_int64
from maskrl.kernels.fused.tiles import LANES, ROOM


@njit(error_model="numpy")
def in_line(z, steps, top, floor, target):
    return draw_in_line(as_float32(z), steps, np.float32(top), np.float32(floor), target)


@njit(error_model="numpy")
def in_lanes(z, steps, uniforms, total, place):
    draw_lanes(as_float32(z), steps, as_float64(uniforms), as_float64(total), as_int64(place))


def weighed(weights):
    """A tile of these exponentials, with logits that are their logarithms."""
    tile = np.zeros((2, ROOM), np.float32)
    weights = np.asarray(weights, np.float32).ravel()
    tile[1, : weights.size] = weights
    with np.errstate(divide="ignore"):
        tile[0] = np.log(tile[1])
    return tile


# Sums grow to 1 at entry 3, to 3 at 40, to 3.5 at 70.
LINE = {0.0: 3, 0.5: 3, 0.999: 3, 1.0: 40, 2.9: 40, 3.0: 70, 3.4: 70, 3.5: 70, 9.0: 70}


@pytest.mark.parametrize(("target", "entry"), LINE.items())
def test_a_line(target, entry):
    weights = np.zeros(3 * LANES)
    weights[[3, 40, 70]] = [1, 2, 0.5]
    tile = weighed(weights)
    assert in_line(tile.ctypes.data, 3, np.log(2), 1e-30, target) == entry


def test_a_line_of_which_all_is_below_the_floor_gives_its_largest():
    weights = np.zeros(2 * LANES)
    weights[[7, 50]] = [1e-35, 2e-35]
    tile = weighed(weights)
    assert in_line(tile.ctypes.data, 2, tile[0, 50], 1e-30, 0.0) == 50


def test_lanes():
    weights = np.zeros((5, LANES))
    weights[[1, 3]] = 1
    weights[4] = 1e-38  # not a normal probability: passed over even by a uniform of 0
    weights[0] = 1e-38
    tile = weighed(weights)
    uniforms = np.linspace(0, 1 - 2**-53, LANES)
    total = np.full(LANES, 2.0)
    total[1] = 4.0  # a target beyond the end takes the last that is possible
    uniforms[1] = 0.99
    place = np.full(LANES, -1)
    results = [x.ctypes.data for x in (uniforms, total, place)]
    in_lanes(tile.ctypes.data, 5, *results)
    want = np.where(uniforms < 0.5, 1, 3)
    want[1] = 3
    assert place.tolist() == want.tolist()
