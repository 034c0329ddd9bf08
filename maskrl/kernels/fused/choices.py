"""Choices apart from one draw: the most probable entry, and many draws from each segment.

The most probable entry is found by comparing logits, which are not rounded. Many draws share
one cumulative sum in float64, in which each uniform is searched by halving.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.exponential import tiny
from maskrl.kernels.fused.memory import (
    as_float32,
    as_float64,
    as_int64,
    as_uint8,
    element,
    shift,
    stack_like,
)
from maskrl.kernels.fused.tiles import (
    BYTES_ROOM,
    COMPILED,
    INNER,
    LANES,
    LINE,
    OUTER,
    ROOM,
    TWO_TILES,
    largest_of_line,
    load_lanes,
    load_line,
    source_of,
    weigh_line,
)
from maskrl.kernels.fused.walk import walk

# What a call for modes reports: some segment has NaN, or nothing allowed above -inf.
DOUBTFUL = 1

Work = namedtuple("Work", "z normalizer uniforms draws draw_stride row_stride head_stride actions")
"""Room for a tile and its exponentials, addresses, and where the draws of a segment lie."""


@njit(**INNER)
def _mode_tile(source, lanes, count, steps, work):  # type: ignore[no-untyped-def]
    """Find the first largest logit of each lane."""
    z = work.z
    best, odd = stack_like(z, LANES), stack_like(z, LANES)
    place = stack_like(as_int64(0), LANES)
    load_lanes(source, lanes, count, steps, z)
    for lane in range(LANES):
        best[lane] = element(z, -np.inf)
        odd[lane] = element(z, 0.0)
        place[lane] = 0
    for j in range(steps):
        for lane in range(LANES):
            x = z[j * LANES + lane]
            y = best[lane]
            place[lane] = j if x > y else place[lane]
            best[lane] = x if x > y else y
            odd[lane] = element(z, 1.0) if x != x else odd[lane]
    status = 0
    for lane in range(count):
        segment = lanes.row[lane] * source.heads + lanes.head[lane]
        as_int64(work.actions)[segment] = place[lane]
        if odd[lane] != element(z, 0.0) or best[lane] == element(z, -np.inf):
            status = DOUBTFUL
    return status


@njit(**INNER)
def _count_odd(z, steps):  # type: ignore[no-untyped-def]
    """How many logits of a line are NaN."""
    odd = 0
    for i in range(steps * LANES):
        odd += 1 if z[i] != z[i] else 0
    return odd


@njit(**INNER)
def _mode_line(source, row, head, work):  # type: ignore[no-untyped-def]
    """Find the first largest logit of one segment."""
    z = work.z
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    best = element(z, -np.inf)
    place = 0
    odd = 0
    for begin in range(0, n, LINE):
        steps = load_line(source, row, at + begin, min(LINE, n - begin), z)
        odd += _count_odd(z, steps)
        top = largest_of_line(z, steps)
        if top > best:
            best = top
            i = 0
            while z[i] != top:
                i += 1
            place = begin + i
    as_int64(work.actions)[row * source.heads + head] = place
    return DOUBTFUL if odd > 0 or best == element(z, -np.inf) else 0


@njit(**INNER)
def _first_above(sums, target):  # type: ignore[no-untyped-def]
    """The first index whose sum exceeds `target`, the length if none does."""
    low, high = 0, sums.size
    while low < high:
        middle = (low + high) >> 1
        if sums[middle] > target:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**INNER)
def _draws_line(source, row, head, work):  # type: ignore[no-untyped-def]
    """Draw from one segment of any length, many times."""
    z = work.z
    e = shift(z, ROOM)
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    segment = row * source.heads + head
    top = as_float64(work.normalizer)[2 * segment]
    usable = top > -np.inf  # neither empty nor NaN
    sums = np.empty(n if usable else 0, np.float64)
    running = 0.0
    if usable:
        total = np.exp(as_float64(work.normalizer)[2 * segment + 1])
        base = element(z, top)
        floor = element(z, total) * tiny(base)
        for begin in range(0, n, LINE):
            size = min(LINE, n - begin)
            steps = load_line(source, row, at + begin, size, z)
            weigh_line(z, steps, base)
            for i in range(size):
                running += np.float64(e[i] if e[i] >= floor else element(z, 0.0))
                sums[begin + i] = running
    first = row * work.row_stride + head * work.head_stride
    for draw in range(work.draws):
        i = first + draw * work.draw_stride
        action = 0
        if usable:
            action = _first_above(sums, as_float64(work.uniforms)[i] * running)
            if action >= n:
                # Where the sum grew last: just above all sums that are smaller than its end.
                action = _first_above(sums, np.nextafter(running, 0.0))
        as_int64(work.actions)[i] = action
    return 0


@njit(**INNER)
def _draws_tile(source, lanes, count, steps, work):  # type: ignore[no-untyped-def]
    """Serve the segments of lanes one by one."""
    for lane in range(count):
        _draws_line(source, lanes.row[lane], lanes.head[lane], work)
    return 0


@njit(**OUTER)
def _modes(plan, logits, mask_address, actions):  # type: ignore[no-untyped-def]
    """Serve a call in the type of `logits`."""
    work = Work(stack_like(logits, ROOM), 0, 0, 0, 0, 0, 0, actions)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), BYTES_ROOM))
    return walk(_mode_tile, _mode_line, source, plan, work)


@njit(**OUTER)
def _draws(plan, logits, mask_address, normalizer, uniforms, draws, strides, actions):  # type: ignore[no-untyped-def]
    """Serve a call in the type of `logits`."""
    z = stack_like(logits, TWO_TILES)
    work = Work(z, normalizer, uniforms, draws, strides[0], strides[1], strides[2], actions)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), BYTES_ROOM))
    return walk(_draws_tile, _draws_line, source, plan, work)


@njit(**COMPILED)
def modes32(plan, logits, mask_address, actions):  # type: ignore[no-untyped-def]
    """Serve float32 logits; see the package."""
    return _modes(plan, as_float32(logits), mask_address, actions)


@njit(**COMPILED)
def modes64(plan, logits, mask_address, actions):  # type: ignore[no-untyped-def]
    """Serve float64 logits; see the package."""
    return _modes(plan, as_float64(logits), mask_address, actions)


@njit(**COMPILED)
def draws32(  # type: ignore[no-untyped-def]
    plan,
    logits,
    mask_address,
    normalizer,
    uniforms,
    draws,
    draw_stride,
    row_stride,
    head_stride,
    actions,
):
    """Serve float32 logits; see the package."""
    strides = draw_stride, row_stride, head_stride
    floats = as_float32(logits)
    return _draws(plan, floats, mask_address, normalizer, uniforms, draws, strides, actions)


@njit(**COMPILED)
def draws64(  # type: ignore[no-untyped-def]
    plan,
    logits,
    mask_address,
    normalizer,
    uniforms,
    draws,
    draw_stride,
    row_stride,
    head_stride,
    actions,
):
    """Serve float64 logits; see the package."""
    strides = draw_stride, row_stride, head_stride
    doubles = as_float64(logits)
    return _draws(plan, doubles, mask_address, normalizer, uniforms, draws, strides, actions)
