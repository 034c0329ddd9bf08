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
    INLINE,
    LANES,
    LAST,
    NO_MASK,
    OUTER,
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
        for j in range(0, entries, 8):
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
    outer_step = 1 if across else LANES
    inner_step = LANES if across else 1
    fetching = not across and heads > 1 and source.offsets[heads] <= MOST_FETCHED
    for i in range(outer_first, outer_last, outer_step):
        if fetching:
            _fetch_rows(source, min(i + LANES, outer_last), min(i + 2 * LANES, outer_last))
        for k in range(inner_first, inner_last, inner_step):
            together = min(LANES, inner_last - k if across else outer_last - i)
            count = 0
            steps = 0
            if across:
                for head in range(k, k + together):
                    n = source.offsets[head + 1] - source.offsets[head]
                    if _is_lane(n, together):
                        lanes.row[count] = i
                        lanes.head[count] = head
                        count += 1
                        steps = max(steps, n)
                    else:
                        status |= line(source, i, head, work)
            elif _is_lane(source.offsets[k + 1] - source.offsets[k], together):
                count = together
                steps = source.offsets[k + 1] - source.offsets[k]
                for lane in range(LANES):
                    lanes.row[lane] = i + lane
                    lanes.head[lane] = k
            else:
                for row in range(i, i + together):
                    status |= line(source, row, k, work)
            if count > 0:
                status |= tile(source, lanes, count, steps, work)
    return status
