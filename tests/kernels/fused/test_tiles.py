"""Tiles: bits read as bytes, lanes loaded and stored, sums by lane."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused import tiles
from maskrl.kernels.fused.memory import as_float32, as_float64, as_uint8
from maskrl.kernels.fused.plan import BITS, BYTES, NO_MASK, Plan

LANES, ROOM = tiles.LANES, tiles.ROOM


@njit(error_model="numpy")
def load(logits, mask, plan, room, row, at, n, z):
    source = tiles.source_of(as_float32(logits), mask, plan, as_uint8(room))
    return tiles.load_line(source, row, at, n, as_float32(z))


@njit(error_model="numpy")
def allowed(logits, mask, plan, room, row, entry):
    source = tiles.source_of(as_float32(logits), mask, plan, as_uint8(room))
    return tiles.is_allowed(source, row, entry)


@njit(error_model="numpy")
def weigh(z, steps, base, total, slope):
    tiles.weigh(as_float32(z), steps, as_float32(base), as_float64(total), as_float64(slope))
    return tiles.largest_of_line(as_float32(z), steps)


@pytest.mark.parametrize("kind", [NO_MASK, BYTES, BITS])
@pytest.mark.parametrize(("at", "n"), [(0, 1), (0, 77), (3, 29), (8, 8), (5, 72), (76, 1)])
def test_a_line_is_loaded_under_its_mask(kind, at, n):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 77)).astype(np.float32)
    mask = rng.random((3, 77)) < 0.5
    logits[~mask] = np.nan if kind != NO_MASK else 1.0
    read = np.packbits(mask, axis=-1, bitorder="little") if kind == BITS else mask
    plan = Plan(3, [0, 77], 77, kind, read.shape[1])
    room = np.zeros(tiles.BYTES_ROOM, np.uint8)
    z = np.full(ROOM, 7, np.float32)
    place = [x.ctypes.data for x in (logits, read)]
    for row in range(3):
        steps = load(*place, plan.address, room.ctypes.data, row, at, n, z.ctypes.data)
        assert steps == -(-n // LANES)
        want = np.where(mask[row] | (kind == NO_MASK), logits[row], -np.inf)[at : at + n]
        assert (z[:n] == want).all()
        assert (z[n : steps * LANES] == -np.inf).all()
        assert (z[steps * LANES :] == 7).all()
        for entry in range(at, at + n):
            is_open = allowed(*place, plan.address, room.ctypes.data, row, entry)
            assert is_open == (kind == NO_MASK or mask[row, entry])


@pytest.mark.parametrize("steps", [1, 3, 4, 9, 128])
def test_sums_by_lane(steps):
    rng = np.random.default_rng(1)
    z = np.full(2 * ROOM, -np.inf, np.float32)
    tile = rng.normal(size=(steps, LANES)).astype(np.float32) * 20
    tile[rng.random(tile.shape) < 0.3] = -np.inf
    tile[:, 5] = -np.inf
    tile[0, 6] = np.nan
    z[: tile.size] = tile.ravel()
    top = np.fmax.reduce(tile, axis=0)
    top = np.where(np.isfinite(top), top, np.float32(0))
    total, slope = np.zeros(LANES), np.zeros(LANES)
    best = weigh(z.ctypes.data, steps, top.ctypes.data, total.ctypes.data, slope.ctypes.data)
    assert best == np.fmax.reduce(tile.ravel())
    distance = tile.astype(np.float64) - top
    weights = np.exp(distance)
    with np.errstate(invalid="ignore"):
        leaning = np.where(weights > 0, weights * distance, 0)
    np.testing.assert_allclose(total[7:], weights.sum(0)[7:], rtol=5e-7)
    np.testing.assert_allclose(slope[7:], leaning.sum(0)[7:], rtol=2e-6, atol=1e-6)
    assert total[5] == 0
    assert np.isnan(total[6])
