"""Draws from a tile by inverse CDF: for every uniform in [0, 1) an entry that is possible.

The index is the first at which a float64 sum of exponentials exceeds `uniform * total`. Only
entries whose probability is a normal number of the logits' type add to the sum, so it can end
nowhere else; where rounding leaves the target beyond the end, the last of them is taken.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from maskrl.kernels.fused.exponential import tiny
from maskrl.kernels.fused.memory import element, shift, stack_like
from maskrl.kernels.fused.tiles import ANY_ORDER, INNER, LANES, LINE, ROOM, load_line, weigh_line


@njit(**INNER)
def draw_lanes(z, steps, uniforms, total, place):  # type: ignore[no-untyped-def]
    """Draw one entry from each lane of a weighed tile; any entry where the total is 0 or NaN."""
    e = shift(z, ROOM)
    floor = stack_like(z, LANES)
    running = stack_like(total, LANES)
    target = stack_like(total, LANES)
    passed = stack_like(place, LANES)
    for lane in range(LANES):
        floor[lane] = element(z, total[lane]) * tiny(z[0])
        running[lane] = 0.0
        target[lane] = uniforms[lane] * total[lane]
        passed[lane] = 0
    for j in range(steps):
        for lane in range(LANES):
            w = e[j * LANES + lane]
            c = running[lane] + np.float64(w if w >= floor[lane] else element(z, 0.0))
            running[lane] = c
            passed[lane] += 1 if c <= target[lane] else 0
    for lane in range(LANES):
        place[lane] = passed[lane]
        if passed[lane] >= steps:
            place[lane] = _last_possible(e, steps, lane, floor[lane])


@njit(**INNER)
def _last_possible(e, steps, lane, floor):  # type: ignore[no-untyped-def]
    """The last entry of a lane that can be drawn, 0 if there is none."""
    for j in range(steps - 1, -1, -1):
        w = e[j * LANES + lane]
        if w > element(e, 0.0) and w >= floor:
            return j
    return 0


@njit(**ANY_ORDER)
def _sum_of_step(e, floor):  # type: ignore[no-untyped-def]
    """The sum of the 32 exponentials of a step that are not below `floor`."""
    total = element(e, 0.0)
    for lane in range(LANES):
        w = e[lane]
        total += w if w >= floor else element(e, 0.0)
    return np.float64(total)


@njit(**INNER)
def draw_in_line(z, steps, top, floor, target):  # type: ignore[no-untyped-def]
    """The entry of a weighed line at which its sum passes `target`; `top` is its largest."""
    e = shift(z, ROOM)
    running = 0.0
    before = 0.0
    step = -1
    for j in range(steps):
        part = _sum_of_step(shift(e, j * LANES), floor)
        if part > 0.0:
            step = j
            before = running
        running += part
        if running > target:
            break
    chosen = -1
    if step >= 0:
        running = before
        for i in range(step * LANES, (step + 1) * LANES):
            w = e[i]
            if w >= floor and w > element(z, 0.0):
                chosen = i
                running += np.float64(w)
                if running > target:
                    break
    if chosen < 0:
        # All are too small beside another tile's; the largest is not, or this is not its tile.
        for i in range(steps * LANES):
            if z[i] == top:
                return i
    return chosen


@njit(**INNER)
def draw_long(source, row, at, n, uniform, top, tops, totals, z):  # type: ignore[no-untyped-def]
    """Draw from a segment of several tiles, given the largest logit and total of each."""
    whole = 0.0
    for i in range(tops.size):
        totals[i] *= math.exp(tops[i] - top)
        whole += totals[i]
    base = element(z, top)
    floor = tiny(base) * element(z, whole)
    target = uniform * whole
    running = 0.0
    before = 0.0
    chosen = 0
    for i in range(tops.size):
        if totals[i] > 0.0 and math.exp(tops[i] - top) >= floor:
            chosen = i
            before = running
            running += totals[i]
            if running > target:
                break
    begin = chosen * LINE
    steps = load_line(source, row, at + begin, min(LINE, n - begin), z)
    weigh_line(z, steps, base)
    highest = element(z, tops[chosen])
    return begin + draw_in_line(z, steps, highest, floor, target - before)
