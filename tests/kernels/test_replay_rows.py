"""Transitions followed and copied by compiled loops, beside the same in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.kernels.replay_rows import (
    AFTER,
    BEFORE,
    BYTES,
    COLUMNS,
    FINALS,
    RING,
    copy_rows,
    follow,
)

ROWS, B = 7, 3


def followed(step, env, head, n, over, cut, place, rewards, gamma=0.5):
    size = len(step)
    before, after = np.empty((2, size), np.int64)
    total, discount = np.empty((2, size), np.float32)
    ends = np.empty((2, size), bool)
    powers = (gamma ** np.arange(n + 1)).astype(np.float32)
    follow(step, env, (ROWS, B, head), (over, cut, place), rewards, powers,
           before, after, total, discount, *ends)  # fmt: skip
    return before, after, total, discount, *ends


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("head", range(ROWS))
def test_it_is_what_plain_python_says(n, head):
    """Rows in any order around the ring, ends anywhere, up to more steps than there are rows."""
    rng = np.random.default_rng(10 * head + n)
    over, cut = rng.random((2, ROWS, B)) < 0.15
    place = rng.integers(-1, 9, (ROWS, B))
    rewards = rng.integers(-8, 8, (ROWS, B)).astype(np.float32)
    step = np.array([row for row in range(ROWS) if row != head for _ in range(B)])
    env = np.tile(np.arange(B), ROWS - 1)
    got = followed(step, env, head, n, over, cut, place, rewards)
    for i, (row, column) in enumerate(zip(step, env, strict=True)):
        total, k = 0.0, 0
        while True:
            here = (row + k) % ROWS
            total += 0.5**k * rewards[here, column]
            k += 1
            ended = over[here, column] or cut[here, column]
            if ended or k == n or (row + k) % ROWS == head:
                break
        after = -1 - max(place[here, column], 0) if ended else (row + k) % ROWS * B + column
        expected = row * B + column, after, total, 0.5**k, over[here, column], cut[here, column]
        assert tuple(array[i] for array in got) == expected


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float32, np.int64])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 4), (5, 3), (0,)])
def test_rows_come_from_the_ring_or_from_the_final_ones(dtype, shape):
    rng = np.random.default_rng(0)
    ring = (rng.random((ROWS * B, *shape)) * 99).astype(dtype)
    finals = (rng.random((4, *shape)) * 99).astype(dtype)
    before, after = np.array([0, 20, 5, 5]), np.array([3, -1, -4, 20])
    first, second = np.zeros((2, 4, *shape), dtype)
    table = np.zeros((2, COLUMNS), np.int64)
    size = int(np.prod(shape)) * ring.itemsize
    for row, array in zip(table, (ring, ring), strict=True):
        row[RING], row[FINALS] = array.ctypes.data, finals.ctypes.data
        row[BEFORE], row[AFTER], row[BYTES] = first.ctypes.data, second.ctypes.data, size
    third = np.zeros_like(first)
    table[1, BEFORE], table[1, AFTER] = third.ctypes.data, 0  # what is wanted only before
    copy_rows(table, before, after)
    np.testing.assert_array_equal(first, ring[before])
    np.testing.assert_array_equal(third, ring[before])
    np.testing.assert_array_equal(second, np.stack([ring[3], finals[0], finals[3], ring[20]]))
