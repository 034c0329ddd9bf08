"""Tiles: 32 lanes of logits side by side, so that every step is a vector instruction.

A tile holds `[steps, LANES]` logits, -inf where nothing is allowed. Its lanes are either 32
short segments, transposed while they are loaded, or one long segment dealt out to all lanes.
What follows the loading is the same for both: largest logit, exponentials and their sums, lane
by lane, with no reduction across lanes and no branch on a mask. A value is replaced under the
mask before anything is computed from it.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.exponential import exp_below, lowest
from maskrl.kernels.fused.memory import (
    as_float64,
    as_int64,
    as_uint8,
    element,
    fetch,
    shift,
    stack_like,
    words_of,
)
from maskrl.kernels.fused.transposing import (
    EIGHT,
    load_by_bits,
    load_by_bytes,
    load_unmasked,
    store_eight,
)

LANES = 32
ROOM = 4096  # logits of a tile
LINE = 2048  # logits that one long segment takes of it at a time
TWO_TILES, FOUR_TILES = 2 * ROOM, 4 * ROOM
BYTES_ROOM = ROOM + 64  # permissions of a tile, which may begin within a byte of bits
SHORT = ROOM // LANES  # the longest segment that can be a lane

# What the numbers of a plan are, see `maskrl.kernels.fused.plan`.
ROWS, HEADS, FIRST, LAST, ROW_STRIDE, MASK_STRIDE, MASK_KIND, OFFSETS = range(8)
NO_MASK, BYTES, BITS = range(3)

# Functions are kept apart and small: inlined into one, they take the compiler minutes. Each
# works on arrays of its own, of which the optimiser knows that nothing else points to them.
INNER = {"fastmath": {"contract"}, "error_model": "numpy"}
# What Python calls: releases the interpreter, compiled once and kept on disk.
COMPILED = {**INNER, "nogil": True, "cache": True}
INLINE = {"fastmath": {"contract"}, "forceinline": True, "error_model": "numpy"}
# Functions that only call others have no compiled form of their own, of which each would be
# optimised again with all that it calls.
OUTER = {**INNER, "inline": "always"}
# Sums in any order; NaN and infinity keep their meaning.
ANY_ORDER = {**INNER, "fastmath": {"contract", "reassoc", "nsz"}}

_EVERY_BYTE = np.uint64(0x0101010101010101)
_ONE_BIT_A_BYTE = np.uint64(0x8040201008040201)

Source = namedtuple("Source", "logits mask rows heads row_stride mask_stride kind offsets bytes")
"""Logits and mask as one kernel call reads them; `bytes` is room for unpacked bits."""

Lanes = namedtuple("Lanes", "row head")
"""Which segments the lanes of a tile hold."""


@njit(**INLINE)
def source_of(logits, mask_address, plan, room, size=ROOM):  # type: ignore[no-untyped-def]
    """Read a plan; without a mask, `size` bytes of `room` become permissions for any segment."""
    numbers = as_int64(plan)
    offsets = as_int64(numbers[OFFSETS])
    if numbers[MASK_KIND] == NO_MASK:
        for i in range(min(size, offsets[numbers[HEADS]])):
            room[i] = np.uint8(1)
    return Source(
        logits,
        as_uint8(mask_address),
        numbers[ROWS],
        numbers[HEADS],
        numbers[ROW_STRIDE],
        numbers[MASK_STRIDE],
        numbers[MASK_KIND],
        offsets,
        room,
    )


@njit(**INNER)
def spread_bits(packed, count, room):  # type: ignore[no-untyped-def]
    """Give each bit of `count` bytes a byte in `room`, not 0 where the bit is set."""
    words = words_of(room)
    for i in range(count):
        words[i] = (np.uint64(packed[i]) * _EVERY_BYTE) & _ONE_BIT_A_BYTE


@njit(**INLINE)
def permissions(source, row, at, n):  # type: ignore[no-untyped-def]
    """Return a pointer to `n` bytes, not 0 where allowed, of a row from entry `at`.

    Bits are spread over the room of the source, at most a tile of them, and hold until
    the next call.
    """
    if source.kind == BYTES:
        return shift(source.mask, row * source.mask_stride + at)
    if source.kind == BITS:
        skipped = at & 7
        packed = shift(source.mask, row * source.mask_stride + (at >> 3))
        spread_bits(packed, (skipped + n + 7) >> 3, source.bytes)
        return shift(source.bytes, skipped)
    return source.bytes


@njit(**INNER)
def is_allowed(source, row, entry):  # type: ignore[no-untyped-def]
    """Whether one entry of a row is allowed."""
    if source.kind == BYTES:
        return source.mask[row * source.mask_stride + entry] != 0
    if source.kind == BITS:
        byte = source.mask[row * source.mask_stride + (entry >> 3)]
        return (byte >> (entry & 7)) & 1 != 0
    return True


@njit(**INNER)
def any_allowed(source, row, at, n):  # type: ignore[no-untyped-def]
    """Whether a segment allows anything."""
    found = False
    for j in range(n):
        found |= is_allowed(source, row, at + j)
    return found


@njit(**INNER)
def load_line(source, row, at, n, z):  # type: ignore[no-untyped-def]
    """Deal `n` entries of a row from entry `at` out to all lanes; return the steps."""
    blocked = element(z, -np.inf)
    logits = shift(source.logits, row * source.row_stride + at)
    allowed = permissions(source, row, at, n)
    for j in range(n):
        x = logits[j]
        z[j] = x if allowed[j] != 0 else blocked
    steps = (n + LANES - 1) // LANES
    for j in range(n, steps * LANES):
        z[j] = blocked
    return steps


@njit(**INNER)
def _load_one(source, row, at, n, lane, z):  # type: ignore[no-untyped-def]
    """Give a lane `n` entries of a row from entry `at`, one by one."""
    blocked = element(z, -np.inf)
    logits = shift(source.logits, row * source.row_stride + at)
    allowed = permissions(source, row, at, n)
    for j in range(n):
        x = logits[j]
        z[j * LANES + lane] = x if allowed[j] != 0 else blocked


@njit(**INLINE)
def _fetch_ahead(logits, stride, j):  # type: ignore[no-untyped-def]
    """Ask for what eight rows of the next tile need, while this one is being loaded."""
    if j & 8 == 0:
        for k in range(EIGHT):
            fetch(shift(logits, (LANES + k) * stride + j))


@njit(**INNER)
def load_columns(source, row, count, at, n, z):  # type: ignore[no-untyped-def]
    """Give each of `count` rows from `row` a lane with `n` entries from entry `at`.

    Free lanes hold -inf. Eight entries are loaded together; the last eight may have some in
    common with those before.
    """
    blocked = element(z, -np.inf)
    blocks = (n + EIGHT - 1) >> 3 if n >= EIGHT else 0
    for lane in range(0, LANES, EIGHT):
        last = min(EIGHT, count - lane) - 1
        if last < 0:
            for j in range(n):
                for k in range(EIGHT):
                    z[j * LANES + lane + k] = blocked
            continue
        first = row + lane
        logits = shift(source.logits, first * source.row_stride + at)
        stride, mask_stride = source.row_stride, source.mask_stride
        to = shift(z, lane)
        if source.kind == BYTES:
            mask = shift(source.mask, first * mask_stride + at)
            if mask_stride != 0:
                for k in range(EIGHT):
                    for j in range(0, n, 64):
                        fetch(shift(mask, (LANES + k) * mask_stride + j))
            for block in range(blocks):
                j = min(block * EIGHT, n - EIGHT)
                _fetch_ahead(logits, stride, block * EIGHT)
                load_by_bytes(
                    shift(to, j * LANES),
                    LANES,
                    shift(logits, j),
                    stride,
                    last,
                    shift(mask, j),
                    mask_stride,
                )
        elif source.kind == BITS:
            mask = shift(source.mask, first * mask_stride)
            for block in range(blocks):
                j = min(block * EIGHT, n - EIGHT)
                _fetch_ahead(logits, stride, block * EIGHT)
                load_by_bits(
                    shift(to, j * LANES),
                    LANES,
                    shift(logits, j),
                    stride,
                    last,
                    shift(mask, (at + j) >> 3),
                    mask_stride,
                    (at + j) & 7,
                )
        else:
            for block in range(blocks):
                j = min(block * EIGHT, n - EIGHT)
                _fetch_ahead(logits, stride, block * EIGHT)
                load_unmasked(
                    shift(to, j * LANES), LANES, shift(logits, j), stride, last, source.mask, 0
                )
        if blocks == 0:
            for k in range(last + 1):
                _load_one(source, first + k, at, n, lane + k, z)
        for k in range(last + 1, EIGHT):
            for j in range(n):
                z[j * LANES + lane + k] = blocked


@njit(**INNER)
def store_columns(source, row, count, at, n, values, out):  # type: ignore[no-untyped-def]
    """Write lanes to `n` entries from entry `at` of `count` rows of `out` `[rows, entries]`."""
    entries = source.offsets[source.heads]
    blocks = (n + EIGHT - 1) >> 3 if n >= EIGHT else 0
    for lane in range(0, count, EIGHT):
        last = min(EIGHT, count - lane) - 1
        to = shift(out, (row + lane) * entries + at)
        for block in range(blocks):
            j = min(block * EIGHT, n - EIGHT)
            store_eight(shift(values, j * LANES + lane), LANES, shift(to, j), entries, last)
        if blocks == 0:
            for k in range(last + 1):
                for j in range(n):
                    to[k * entries + j] = values[j * LANES + lane + k]


@njit(**INNER)
def _in_columns(lanes, count):  # type: ignore[no-untyped-def]
    """Whether the lanes hold the same head of successive rows."""
    return lanes.row[1] != lanes.row[0]


@njit(**INNER)
def load_lanes(source, lanes, count, steps, z):  # type: ignore[no-untyped-def]
    """Give each of `count` segments a lane; shorter ones and free lanes end in -inf."""
    if _in_columns(lanes, count):
        load_columns(source, lanes.row[0], count, source.offsets[lanes.head[0]], steps, z)
        return
    blocked = element(z, -np.inf)
    for i in range(steps * LANES):
        z[i] = blocked
    for lane in range(count):
        head = lanes.head[lane]
        at = source.offsets[head]
        _load_one(source, lanes.row[lane], at, source.offsets[head + 1] - at, lane, z)


@njit(**INNER)
def store_lanes(source, lanes, count, values, out):  # type: ignore[no-untyped-def]
    """Write the lanes of a tile to the entries of their segments in `out` `[rows, entries]`."""
    entries = source.offsets[source.heads]
    if _in_columns(lanes, count):
        at = source.offsets[lanes.head[0]]
        n = source.offsets[lanes.head[0] + 1] - at
        store_columns(source, lanes.row[0], count, at, n, values, out)
        return
    for lane in range(count):
        at = source.offsets[lanes.head[lane]]
        n = source.offsets[lanes.head[lane] + 1] - at
        segment = shift(out, lanes.row[lane] * entries + at)
        for j in range(n):
            segment[j] = values[j * LANES + lane]


@njit(**INNER)
def largest_of_lanes(z, steps, top):  # type: ignore[no-untyped-def]
    """Write the largest logit of each lane, -inf where there is none; beside NaN, any."""
    best = stack_like(z, LANES)
    for lane in range(LANES):
        best[lane] = element(z, -np.inf)
    fours = steps >> 2
    for four in range(fours):
        i = four * (4 * LANES)
        for lane in range(LANES):
            x0, x1 = z[i + lane], z[i + LANES + lane]
            x2, x3 = z[i + 2 * LANES + lane], z[i + 3 * LANES + lane]
            x0 = x0 if x0 > x1 else x1
            x2 = x2 if x2 > x3 else x3
            x0 = x0 if x0 > x2 else x2
            y = best[lane]
            best[lane] = x0 if x0 > y else y
    for j in range(4 * fours, steps):
        for lane in range(LANES):
            x = z[j * LANES + lane]
            y = best[lane]
            best[lane] = x if x > y else y
    for lane in range(LANES):
        top[lane] = best[lane]


@njit(**INNER)
def largest_of_line(z, steps):  # type: ignore[no-untyped-def]
    """Return the largest logit of all lanes, -inf if there is none; beside NaN, any."""
    best = stack_like(z, LANES)
    largest_of_lanes(z, steps, best)
    half = LANES // 2
    while half > 0:
        for lane in range(half):
            x = best[lane]
            y = best[lane + half]
            best[lane] = x if x > y else y
        half //= 2
    return best[0]


@njit(**INLINE)
def base_of(z, top):  # type: ignore[no-untyped-def]
    """What distances are measured from: the largest logit, or 0 where all are -inf."""
    return top if top > element(z, -np.inf) else element(z, 0.0)


@njit(**INLINE)
def weight(z, distance):  # type: ignore[no-untyped-def]
    """Return exp(distance) and the distance, cut off where exp is 0 in the type of `z`."""
    low = lowest(distance)
    far = distance < low  # not of NaN, which therefore reaches the exponential
    near = low if far else distance
    w = exp_below(near)
    return (element(z, 0.0) if far else w), near


@njit(**INLINE)
def distance(x, base, log_of_total):  # type: ignore[no-untyped-def]
    """Return the log-probability of a logit, subtracting in this order wherever it stands."""
    return (x - base) - log_of_total


@njit(**INLINE)
def base_of_normalizer(z, top):  # type: ignore[no-untyped-def]
    """Like `base_of`, from the first number of a normaliser: that of unsound segments is NaN."""
    return element(z, 0.0) if top == -np.inf else element(z, top)


@njit(**INNER)
def _weigh_last(z, steps, base, part, lean):  # type: ignore[no-untyped-def]
    """Do the same for one to three steps, summed as the four are whose rest is 0."""
    e = shift(z, ROOM)
    parts, leans = stack_like(z, LANES), stack_like(z, LANES)
    for lane in range(LANES):
        w, d = weight(z, z[lane] - base[lane])
        e[lane] = w
        parts[lane] = w
        leans[lane] = w * d
    if steps > 1:
        for lane in range(LANES):
            w, d = weight(z, z[LANES + lane] - base[lane])
            e[LANES + lane] = w
            parts[lane] += w
            leans[lane] += w * d
    if steps > 2:
        for lane in range(LANES):
            w, d = weight(z, z[2 * LANES + lane] - base[lane])
            e[2 * LANES + lane] = w
            parts[lane] += w
            leans[lane] += w * d
    for lane in range(LANES):
        part[lane] = parts[lane]
        lean[lane] = leans[lane]


@njit(**INNER)
def weigh(z, steps, base, total, slope):  # type: ignore[no-untyped-def]
    """Write exp(z - base) of a tile at `z + ROOM`.

    By lane, `total` becomes the float64 sum of it, `slope` that of exp(z - base) * (z - base).
    Up to four steps are summed in the type of the logits before they join a total.
    """
    e = shift(z, ROOM)
    b = stack_like(z, LANES)
    part = stack_like(z, LANES)
    lean = stack_like(z, LANES)
    whole = stack_like(total, LANES)
    leaning = stack_like(total, LANES)
    for lane in range(LANES):
        b[lane] = base[lane]
        whole[lane] = 0.0
        leaning[lane] = 0.0
    fours = steps >> 2
    for four in range(fours):
        i = four * (4 * LANES)
        for lane in range(LANES):
            e0, d0 = weight(z, z[i + lane] - b[lane])
            e1, d1 = weight(z, z[i + LANES + lane] - b[lane])
            e2, d2 = weight(z, z[i + 2 * LANES + lane] - b[lane])
            e3, d3 = weight(z, z[i + 3 * LANES + lane] - b[lane])
            e[i + lane] = e0
            e[i + LANES + lane] = e1
            e[i + 2 * LANES + lane] = e2
            e[i + 3 * LANES + lane] = e3
            part[lane] = (e0 + e1) + (e2 + e3)
            lean[lane] = (e0 * d0 + e1 * d1) + (e2 * d2 + e3 * d3)
        for lane in range(LANES):
            whole[lane] += np.float64(part[lane])
            leaning[lane] += np.float64(lean[lane])
    if steps & 3 != 0:
        _weigh_last(shift(z, fours * (4 * LANES)), steps & 3, b, part, lean)
        for lane in range(LANES):
            whole[lane] += np.float64(part[lane])
            leaning[lane] += np.float64(lean[lane])
    for lane in range(LANES):
        total[lane] = whole[lane]
        slope[lane] = leaning[lane]


@njit(**ANY_ORDER)
def _sum(values):  # type: ignore[no-untyped-def]
    """Return the sum of all lanes."""
    total = 0.0
    for lane in range(LANES):
        total += values[lane]
    return total


@njit(**INNER)
def weigh_line(z, steps, top):  # type: ignore[no-untyped-def]
    """Write exp(z - top) of a line at `z + ROOM`; return its sum, and that with distances."""
    base = stack_like(z, LANES)
    total = stack_like(as_float64(0), LANES)
    slope = stack_like(as_float64(0), LANES)
    for lane in range(LANES):
        base[lane] = base_of(z, top)
    weigh(z, steps, base, total, slope)
    return _sum(total), _sum(slope)
