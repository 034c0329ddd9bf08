"""The walk over all segments of a call: which become lanes of a tile, which have one alone.

Segments are the heads of rows, or the sets of a single ragged row. Short ones go 32 at a
time, the same head of 32 rows or 32 heads of one row; long ones, and a few that are not
worth a tile, go one by one. Each operation brings a function for either.
"""

from __future__ import annotations

from numba import njit

from maskrl.kernels.fused.memory import as_int64, fetch, shift, stack_like
from maskrl.kernels.fused.tiles import (
    BITS,
    FIRST,
    HEADS,
    INLINE,
    LANES,
    LAST,
    NO_MASK,
    OFFSETS,
    OUTER,
    ROWS,
    SHORT,
    Lanes,
)

# Costs, measured, in units of a quarter nanosecond: of a tile, and of each segment and step in
# it and of moving one logit across; of a segment alone, and of each step in it.
TILE, LANE, STEP, MOVE = 160, 32, 120, 2
ALONE, ALONE_STEP = 560, 48

MOST_FETCHED = 512  # entries of a row; more would push out what is in use


@njit(**INLINE)
def _is_lane(n, together):  # type: ignore[no-untyped-def]
    """Whether a segment of `n` logits is better a lane, if so many go together."""
    if n > SHORT:
        return False
    alone = ALONE + ALONE_STEP * ((n + LANES - 1) // LANES)
    return TILE + LANE * together + n * (STEP + MOVE * together) <= together * alone


@njit(**INLINE)
def _fetch_rows(source, first, last):  # type: ignore[no-untyped-def]
    """Ask for rows ahead of their use: read head by head they come too late on their own."""
    entries = source.offsets[source.heads]
    width = (entries + 7) >> 3 if source.kind == BITS else entries
    for row in range(first, last):
        for j in range(0, entries + 15, 16):
            fetch(shift(source.logits, row * source.row_stride + j))
        if source.kind != NO_MASK and source.mask_stride != 0:
            for j in range(0, width, 64):
                fetch(shift(source.mask, row * source.mask_stride + j))


@njit(**OUTER)
def walk(tile, line, source, plan, work):  # type: ignore[no-untyped-def]
    """Call `tile(source, lanes, count, steps, work)` or `line(source, row, head, work)` for all.

    A plan says the first and last of what is to be done: rows, or heads of a single row.
    Returns the flags that any of the calls gave.
    """
    numbers = as_int64(plan)
    lanes = Lanes(stack_like(numbers, LANES), stack_like(numbers, LANES))
    status = 0
    first, last = numbers[FIRST], numbers[LAST]
    rows, heads = source.rows, source.heads
    across = heads > rows and rows < LANES // 2
    outer_first, outer_last, inner_first, inner_last = first, last, 0, heads
    if rows == 1:
        outer_first, outer_last, inner_first, inner_last = 0, 1, first, last
    fetching = not across and heads > 1 and source.offsets[heads] <= MOST_FETCHED
    i = outer_first
    while i < outer_last:
        # Segments are grouped by where they stand in the whole call and not in a part of it,
        # so that results do not depend on the number of threads.
        of_rows = 1 if across else min(LANES, rows - i + i % LANES)
        next_i = i + 1 if across else min(i - i % LANES + LANES, outer_last)
        if fetching:
            _fetch_rows(source, min(next_i, outer_last), min(next_i + LANES, outer_last))
        k = inner_first
        while k < inner_last:
            begin = k - k % LANES
            next_k = min(begin + LANES, inner_last) if across else k + 1
            count = 0
            steps = 0
            if across:
                group = min(LANES, heads - begin)
                for lane in range(LANES):
                    lanes.row[lane] = i
                for head in range(begin, begin + group):
                    n = source.offsets[head + 1] - source.offsets[head]
                    is_lane = _is_lane(n, group)
                    steps = max(steps, n) if is_lane else steps
                    if head < k or head >= next_k:
                        continue
                    if is_lane:
                        lanes.head[count] = head
                        count += 1
                    else:
                        status |= line(source, i, head, work)
            elif _is_lane(source.offsets[k + 1] - source.offsets[k], of_rows):
                count = next_i - i
                steps = source.offsets[k + 1] - source.offsets[k]
                for lane in range(LANES):
                    lanes.row[lane] = i + lane
                    lanes.head[lane] = k
            else:
                for row in range(i, next_i):
                    status |= line(source, row, k, work)
            if count > 0:
                status |= tile(source, lanes, count, steps, work)
            k = next_k
        i = next_i
    return status


@njit(**INLINE)
def has_short_rows(plan):  # type: ignore[no-untyped-def]
    """Whether rows with all their heads fit into the lanes of a tile."""
    numbers = as_int64(plan)
    heads, rows = numbers[HEADS], numbers[ROWS]
    offsets = as_int64(numbers[OFFSETS])
    return heads > 1 and offsets[heads] <= SHORT and (rows > 1 or heads <= LANES)


@njit(**OUTER)
def walk_rows(serve, source, plan, work):  # type: ignore[no-untyped-def]
    """Call `serve(source, lanes, count, work)` for up to 32 rows at a time.

    `lanes` holds the rows, and room for a head of each.
    """
    numbers = as_int64(plan)
    lanes = Lanes(stack_like(numbers, LANES), stack_like(numbers, LANES))
    first, last = numbers[FIRST], numbers[LAST]
    if source.rows == 1:
        first, last = 0, 1
    status = 0
    for row in range(first, last, LANES):
        count = min(LANES, last - row)
        for lane in range(LANES):
            lanes.row[lane] = row + lane
        status |= serve(source, lanes, count, work)
    return status
