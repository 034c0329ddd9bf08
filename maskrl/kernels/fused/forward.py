"""Everything that is known of masked segments after one pass: drawing, scoring, statistics.

The logits of a segment are read once into a tile, from which come the log of its total, its
entropy, and the log-probability of one choice, given or drawn (`drawing`).
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.drawing import draw_in_line, draw_lanes, draw_long
from maskrl.kernels.fused.exponential import log_total, tiny
from maskrl.kernels.fused.memory import (
    as_float32,
    as_float64,
    as_int64,
    as_like,
    as_uint8,
    element,
    shift,
    stack_like,
)
from maskrl.kernels.fused.scoring import EMPTY, IMPOSSIBLE, OUT_OF_RANGE, UNSOUND, score
from maskrl.kernels.fused.tiles import (
    BYTES_ROOM,
    COMPILED,
    INLINE,
    INNER,
    LANES,
    LINE,
    OUTER,
    TWO_TILES,
    Lanes,
    any_allowed,
    base_of,
    is_allowed,
    largest_of_lanes,
    largest_of_line,
    load_columns,
    load_lanes,
    load_line,
    source_of,
    weigh,
    weigh_line,
)
from maskrl.kernels.fused.walk import has_short_rows, walk, walk_rows

Work = namedtuple("Work", "z uniforms actions log_probs normalizer entropy blocks")
"""A tile with room for its exponentials, and addresses: choices read, results written, or 0."""


@njit(**INLINE)
def _is_sound(total):  # type: ignore[no-untyped-def]
    """Whether a sum of exponentials is that of a usable segment: NaN and 0 are not."""
    return total > 0.0 and total < np.inf


@njit(**INLINE)
def _write(segment, top, log_of_total, entropy, log_prob, work):  # type: ignore[no-untyped-def]
    """Write the results of one segment, those that are wanted."""
    if work.normalizer != 0:
        normalizer = as_float64(work.normalizer)
        normalizer[2 * segment] = top
        normalizer[2 * segment + 1] = log_of_total
    if work.entropy != 0:
        as_like(work.z, work.entropy)[segment] = element(work.z, entropy)
    if work.actions != 0 and work.log_probs != 0:
        as_like(work.z, work.log_probs)[segment] = element(work.z, log_prob)


@njit(**INNER)
def _write_unusable(source, row, head, work):  # type: ignore[no-untyped-def]
    """Write the results of a segment that is empty or unsound; return its flags."""
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    segment = row * source.heads + head
    status = 0
    allowed = False
    if work.uniforms != 0:
        as_int64(work.actions)[segment] = 0
        allowed = True
    elif work.actions != 0:
        action = as_int64(work.actions)[segment]
        if action < 0 or action >= n:
            status |= OUT_OF_RANGE | IMPOSSIBLE
        else:
            allowed = is_allowed(source, row, at + action)
            status |= 0 if allowed else IMPOSSIBLE
    if any_allowed(source, row, at, n):
        _write(segment, np.nan, np.nan, np.nan, np.nan if allowed else -np.inf, work)
        return status | UNSOUND
    _write(segment, -np.inf, 0.0, 0.0, -np.inf, work)
    return status | EMPTY


@njit(**INNER)
def _settle(total, slope, log_totals, entropy):  # type: ignore[no-untyped-def]
    """Turn the sums of all lanes into logs and entropies; return whether all are usable."""
    logs, entropies = stack_like(total, LANES), stack_like(total, LANES)
    unusable = 0
    for lane in range(LANES):
        t = total[lane]
        log_of_total = log_total(t)
        logs[lane] = log_of_total
        entropies[lane] = log_of_total - slope[lane] / t
        unusable += 0 if _is_sound(t) else 1
    for lane in range(LANES):
        log_totals[lane] = logs[lane]
        entropy[lane] = entropies[lane]
    return unusable == 0


@njit(**INNER)
def _write_lanes(source, lanes, count, z, top, log_totals, entropy, work):  # type: ignore[no-untyped-def]
    """Write the statistics of all lanes that are wanted."""
    heads = source.heads
    if work.normalizer != 0:
        normalizer = as_float64(work.normalizer)
        for lane in range(count):
            segment = lanes.row[lane] * heads + lanes.head[lane]
            normalizer[2 * segment] = np.float64(top[lane])
            normalizer[2 * segment + 1] = log_totals[lane]
    if work.entropy != 0:
        out = as_like(work.z, work.entropy)
        for lane in range(count):
            segment = lanes.row[lane] * heads + lanes.head[lane]
            out[segment] = element(z, entropy[lane])


@njit(**INNER)
def _write_choices(source, lanes, count, z, top, log_totals, place, work):  # type: ignore[no-untyped-def]
    """Write choices that were drawn, and the log-probability of all; return flags."""
    actions = as_int64(work.actions)
    drawing = work.uniforms != 0
    status = 0
    for lane in range(count):
        row, head = lanes.row[lane], lanes.head[lane]
        segment = row * source.heads + head
        if drawing:
            actions[segment] = place[lane]
        action = actions[segment]
        log_prob = np.float64(-np.inf)
        if action < 0 or action >= source.offsets[head + 1] - source.offsets[head]:
            status |= OUT_OF_RANGE
        else:
            distance = np.float64(z[action * LANES + lane]) - np.float64(top[lane])
            log_prob = distance - log_totals[lane]
        # In the type of the logits, where it may overflow.
        if element(z, log_prob) == element(z, -np.inf):
            status |= IMPOSSIBLE
        if work.log_probs != 0:
            as_like(z, work.log_probs)[segment] = element(z, log_prob)
    return status


@njit(**INNER)
def _serve_lanes(source, lanes, count, z, steps, work):  # type: ignore[no-untyped-def]
    """Serve segments that lie in lanes already; `z` is where their first step stands."""
    doubles = as_float64(0)
    top, base = stack_like(z, LANES), stack_like(z, LANES)
    total, slope = stack_like(doubles, LANES), stack_like(doubles, LANES)
    log_totals, entropy = stack_like(doubles, LANES), stack_like(doubles, LANES)
    place = stack_like(as_int64(0), LANES)
    largest_of_lanes(z, steps, top)
    for lane in range(LANES):
        base[lane] = base_of(z, top[lane])
    weigh(z, steps, base, total, slope)
    for lane in range(count, LANES):
        total[lane] = 1.0
    usable = _settle(total, slope, log_totals, entropy)
    _write_lanes(source, lanes, count, z, top, log_totals, entropy, work)
    if work.uniforms != 0:
        uniforms = as_float64(work.uniforms)
        # The slopes are used up and make room for the uniforms.
        for lane in range(count):
            slope[lane] = uniforms[lanes.row[lane] * source.heads + lanes.head[lane]]
        draw_lanes(z, steps, slope, total, place)
    status = 0
    if work.actions != 0 and usable:
        status = _write_choices(source, lanes, count, z, top, log_totals, place, work)
    elif work.actions != 0:
        status = _write_usable_choices(source, lanes, count, z, top, total, log_totals, place, work)
    if not usable:
        for lane in range(count):
            if not _is_sound(total[lane]):
                status |= _write_unusable(source, lanes.row[lane], lanes.head[lane], work)
    return status


@njit(**INNER)
def _write_usable_choices(source, lanes, count, z, top, total, log_totals, place, work):  # type: ignore[no-untyped-def]
    """The same where some segments are empty or unsound, which are left out."""
    one = Lanes(stack_like(as_int64(0), LANES), stack_like(as_int64(0), LANES))
    status = 0
    for lane in range(count):
        if _is_sound(total[lane]):
            one.row[0], one.head[0] = lanes.row[lane], lanes.head[lane]
            status |= _write_choices(
                source,
                one,
                1,
                shift(z, lane),
                shift(top, lane),
                shift(log_totals, lane),
                shift(place, lane),
                work,
            )
    return status


@njit(**INNER)
def _forward_tile(source, lanes, count, steps, work):  # type: ignore[no-untyped-def]
    """Serve up to 32 short segments, a lane each."""
    load_lanes(source, lanes, count, steps, work.z)
    return _serve_lanes(source, lanes, count, work.z, steps, work)


@njit(**INNER)
def _forward_rows(source, lanes, count, work):  # type: ignore[no-untyped-def]
    """Serve all heads of up to 32 rows, which lie in lanes together."""
    entries = source.offsets[source.heads]
    load_columns(source, lanes.row[0], count, 0, entries, work.z)
    status = 0
    for head in range(source.heads):
        at = source.offsets[head]
        for lane in range(count):
            lanes.head[lane] = head
        z = shift(work.z, at * LANES)
        status |= _serve_lanes(source, lanes, count, z, source.offsets[head + 1] - at, work)
    return status


@njit(**INNER)
def _score(source, row, head, top, log_of_total, action, work):  # type: ignore[no-untyped-def]
    """Write the log-probability of the choice of a usable segment, if it is wanted."""
    value = stack_like(work.z, 1)
    flags = score(source, row, head, top, log_of_total, action, value)
    if work.log_probs != 0:
        as_like(work.z, work.log_probs)[row * source.heads + head] = value[0]
    return flags


@njit(**INNER)
def _finish(source, row, head, top, total, slope, action, work):  # type: ignore[no-untyped-def]
    """Write the results of one usable segment whose sums and choice are known."""
    log_of_total = log_total(total)
    segment = row * source.heads + head
    _write(segment, top, log_of_total, log_of_total - slope / total, 0.0, work)
    if work.actions == 0:
        return 0
    return _score(source, row, head, top, log_of_total, action, work)


@njit(**INNER)
def _forward_line(source, row, head, work):  # type: ignore[no-untyped-def]
    """Serve one segment."""
    z = work.z
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    if n > LINE:
        return _forward_long(source, row, head, work)
    steps = load_line(source, row, at, n, z)
    top = largest_of_line(z, steps)
    total, slope = weigh_line(z, steps, top)
    if not _is_sound(total):
        return _write_unusable(source, row, head, work)
    action = 0
    if work.actions != 0:
        segment = row * source.heads + head
        actions = as_int64(work.actions)
        if work.uniforms != 0:
            target = as_float64(work.uniforms)[segment] * total
            floor = tiny(top) * element(z, total)
            actions[segment] = draw_in_line(z, steps, top, floor, target)
        action = actions[segment]
    return _finish(source, row, head, np.float64(top), total, slope, action, work)


@njit(**INLINE)
def _blocks_of(source, row, head, work):  # type: ignore[no-untyped-def]
    """Where largest logit and total of each tile of a long segment are kept."""
    tiles = row * (source.offsets[source.heads] // LINE + source.heads)
    return shift(as_float64(work.blocks), 2 * (tiles + source.offsets[head] // LINE + head))


@njit(**INNER)
def _draw_known(source, row, head, work):  # type: ignore[no-untyped-def]
    """Draw from one long segment whose tiles were summed before."""
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    segment = row * source.heads + head
    top = as_float64(work.normalizer)[2 * segment]
    if not top > -np.inf:
        return _write_unusable(source, row, head, work)
    blocks = _blocks_of(source, row, head, work)
    tiles = (n + LINE - 1) // LINE
    tops = np.empty(tiles, np.float64)
    totals = np.empty(tiles, np.float64)
    for i in range(tiles):
        tops[i] = blocks[2 * i]
        totals[i] = blocks[2 * i + 1]
    uniform = as_float64(work.uniforms)[segment]
    action = draw_long(source, row, at, n, uniform, top, tops, totals, work.z)
    as_int64(work.actions)[segment] = action
    log_of_total = as_float64(work.normalizer)[2 * segment + 1]
    return _score(source, row, head, top, log_of_total, action, work)


@njit(**INNER)
def _forward_long(source, row, head, work):  # type: ignore[no-untyped-def]
    """Serve one segment of any length, tile by tile, with sums that move to a new largest."""
    drawing = work.uniforms != 0
    if drawing and work.blocks != 0:
        return _draw_known(source, row, head, work)
    z = work.z
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    tiles = (n + LINE - 1) // LINE
    keeping = work.blocks != 0
    tops = np.empty(tiles if drawing else 0, np.float64)
    totals = np.empty(tiles if drawing else 0, np.float64)
    blocks = _blocks_of(source, row, head, work)
    top, total, slope = np.float64(-np.inf), 0.0, 0.0
    for i in range(tiles):
        steps = load_line(source, row, at + i * LINE, min(LINE, n - i * LINE), z)
        high = largest_of_line(z, steps)
        part, lean = weigh_line(z, steps, high)
        peak = np.float64(high)
        if drawing:
            tops[i] = peak
            totals[i] = part
        if keeping:
            blocks[2 * i] = peak
            blocks[2 * i + 1] = part
        if peak > top:
            # What was summed so far is seen from a new largest logit.
            moved = top - peak
            factor = math.exp(moved)
            slope = lean + (factor * (slope + moved * total) if factor > 0.0 else 0.0)
            total = factor * total + part
            top = peak
        else:
            moved = peak - top if peak > -np.inf else np.float64(0.0)
            factor = math.exp(moved)
            slope += factor * (lean + moved * part) if factor > 0.0 else 0.0
            total += factor * part
    if not _is_sound(total):
        return _write_unusable(source, row, head, work)
    action = 0
    if work.actions != 0:
        segment = row * source.heads + head
        actions = as_int64(work.actions)
        if drawing:
            uniform = as_float64(work.uniforms)[segment]
            actions[segment] = draw_long(source, row, at, n, uniform, top, tops, totals, z)
        action = actions[segment]
    return _finish(source, row, head, top, total, slope, action, work)


@njit(**OUTER)
def _forward(  # type: ignore[no-untyped-def]
    plan, logits, mask_address, uniforms, actions, log_probs, normalizer, entropy, blocks
):
    """Serve a call in the type of `logits`."""
    z = stack_like(logits, TWO_TILES)
    work = Work(z, uniforms, actions, log_probs, normalizer, entropy, blocks)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), BYTES_ROOM))
    if has_short_rows(plan):
        return walk_rows(_forward_rows, source, plan, work)
    return walk(_forward_tile, _forward_line, source, plan, work)


@njit(**COMPILED)
def pass32(plan, logits, action_mask, uniforms, actions, log_probs, normalizer, entropy, blocks):  # type: ignore[no-untyped-def]
    """Serve float32 logits; see the package."""
    floats = as_float32(logits)
    return _forward(
        plan, floats, action_mask, uniforms, actions, log_probs, normalizer, entropy, blocks
    )


@njit(**COMPILED)
def pass64(plan, logits, action_mask, uniforms, actions, log_probs, normalizer, entropy, blocks):  # type: ignore[no-untyped-def]
    """Serve float64 logits; see the package."""
    doubles = as_float64(logits)
    return _forward(
        plan, doubles, action_mask, uniforms, actions, log_probs, normalizer, entropy, blocks
    )


def forward32(*addresses: int) -> int:
    """Serve float32 logits and keep no sums of blocks."""
    return int(pass32(*addresses, 0))


def forward64(*addresses: int) -> int:
    """Serve float64 logits and keep no sums of blocks."""
    return int(pass64(*addresses, 0))
