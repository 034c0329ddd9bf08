"""The walk: every segment is served once, as a lane or alone, whatever the mixture."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_int64, as_uint8
from maskrl.kernels.fused.plan import NO_MASK, Plan
from maskrl.kernels.fused.tiles import BYTES_ROOM, SHORT, source_of
from maskrl.kernels.fused.walk import walk


@njit
def count_lanes(source, lanes, count, steps, counts):
    longest = 0
    for lane in range(count):
        head = lanes.head[lane]
        counts[lanes.row[lane] * source.heads + head] += 1
        longest = max(longest, source.offsets[head + 1] - source.offsets[head])
    if longest > steps:
        return 4
    return 1 if longest == steps else 8


@njit
def count_alone(source, row, head, counts):
    counts[row * source.heads + head] += 100
    return 2


@njit
def count_all(plan, room, counts):
    source = source_of(as_float32(0), 0, plan, as_uint8(room))
    return walk(count_lanes, count_alone, source, plan, as_int64(counts))


def counts_of(rows, sizes, parts=1):
    plan = Plan(rows, np.cumsum([0, *sizes]), sum(sizes), NO_MASK, 0)
    room = np.zeros(BYTES_ROOM, np.uint8)
    counts = np.zeros((rows, len(sizes)), np.int64)
    status = 0
    for part in plan.parts(parts):
        status |= count_all(part.address, room.ctypes.data, counts.ctypes.data)
    return counts, status


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("rows", [1, 2, 15, 16, 33, 100])
@pytest.mark.parametrize("sizes", [[1], [6, 4, 49], [300], [0, 5, 129, 0], [7] * 40, [3, 500] * 30])
def test_every_segment_once(rows, sizes, parts):
    counts, status = counts_of(rows, sizes, parts)
    assert set(counts.ravel().tolist()) <= {1, 100}
    assert not status & 4
    # A tile of a part is as long as that of the whole call would be.
    assert parts > 1 or not status & 8
    assert (counts[:, [n > SHORT for n in sizes]] == 100).all()


def test_many_short_segments_go_together():
    assert counts_of(64, [6, 4, 49])[1] == 1
    assert counts_of(1, [6] * 64)[1] == 1
