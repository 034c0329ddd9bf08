"""Probabilities and log-probabilities of all entries, and their gradients.

They are written from logits, mask and the normaliser that the forward pass gives. Gradients
take the upstream gradient of every entry; an entry of probability 0 is a constant.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import (
    as_float32,
    as_float64,
    as_like,
    as_uint8,
    element,
    shift,
    stack_like,
)
from maskrl.kernels.fused.tiles import (
    ANY_ORDER,
    BYTES_ROOM,
    COMPILED,
    INLINE,
    INNER,
    LANES,
    LINE,
    OUTER,
    ROOM,
    TWO_TILES,
    base_of_normalizer,
    distance,
    is_allowed,
    load_lanes,
    permissions,
    source_of,
    store_lanes,
    weight,
)
from maskrl.kernels.fused.walk import walk

Work = namedtuple("Work", "z normalizer upstream logs out")
"""Room for a tile and its results, and addresses; `logs` says which of the two is meant."""


@njit(**INLINE)
def _entry(z, x, base, log_of_total, logs):  # type: ignore[no-untyped-def]
    """The log-probability or probability of one logit."""
    log_p = distance(x, base, log_of_total)
    p, _ = weight(z, log_p)
    possible = log_p if logs else p
    return possible if x != element(z, -np.inf) else element(z, -np.inf if logs else 0.0)


@njit(**INNER)
def _write_nan(source, row, head, work):  # type: ignore[no-untyped-def]
    """Write NaN where an unsound segment allows something."""
    at = source.offsets[head]
    out = as_like(work.z, work.out)
    for j in range(at, source.offsets[head + 1]):
        if is_allowed(source, row, j):
            out[row * source.offsets[source.heads] + j] = element(work.z, np.nan)


@njit(**INNER)
def _dense_tile(source, lanes, count, steps, work):  # type: ignore[no-untyped-def]
    """Serve up to 32 short segments, a lane each."""
    z, logs = work.z, work.logs != 0
    e = shift(z, ROOM)
    base, log_totals = stack_like(z, LANES), stack_like(z, LANES)
    normalizer = as_float64(work.normalizer)
    load_lanes(source, lanes, count, steps, z)
    for lane in range(LANES):
        base[lane] = log_totals[lane] = element(z, 0.0)
    unsound = False
    for lane in range(count):
        segment = lanes.row[lane] * source.heads + lanes.head[lane]
        base[lane] = base_of_normalizer(z, normalizer[2 * segment])
        log_totals[lane] = element(z, normalizer[2 * segment + 1])
        unsound |= np.isnan(normalizer[2 * segment])
    for j in range(steps):
        for lane in range(LANES):
            i = j * LANES + lane
            e[i] = _entry(z, z[i], base[lane], log_totals[lane], logs)
    store_lanes(source, lanes, count, e, as_like(z, work.out))
    if unsound:
        for lane in range(count):
            if np.isnan(base[lane]):
                _write_nan(source, lanes.row[lane], lanes.head[lane], work)
    return 0


@njit(**INNER)
def _write_line(logits, allowed, n, base, log_of_total, logs, out):  # type: ignore[no-untyped-def]
    """Write what `n` logits that lie together give."""
    for j in range(n):
        x = logits[j]
        x = x if allowed[j] != 0 else element(logits, -np.inf)
        out[j] = _entry(logits, x, base, log_of_total, logs)


@njit(**INNER)
def _dense_line(source, row, head, work):  # type: ignore[no-untyped-def]
    """Serve one segment of any length."""
    z = work.z
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    segment = row * source.heads + head
    logits = shift(source.logits, row * source.row_stride + at)
    out = shift(as_like(z, work.out), row * source.offsets[source.heads] + at)
    base = base_of_normalizer(z, as_float64(work.normalizer)[2 * segment])
    log_of_total = element(z, as_float64(work.normalizer)[2 * segment + 1])
    for begin in range(0, n, LINE):
        size = min(LINE, n - begin)
        allowed = permissions(source, row, at + begin, size)
        part, to = shift(logits, begin), shift(out, begin)
        _write_line(part, allowed, size, base, log_of_total, work.logs != 0, to)
    if np.isnan(base):
        _write_nan(source, row, head, work)
    return 0


@njit(**ANY_ORDER)
def _sum_upstream(logits, allowed, upstream, n, base, log_of_total, logs):  # type: ignore[no-untyped-def]
    """The float64 sum of g, or of g * p, over the possible ones of `n` entries."""
    total = 0.0
    for j in range(n):
        x = logits[j]
        x = x if allowed[j] != 0 else element(logits, -np.inf)
        log_p = distance(x, base, log_of_total)
        p, _ = weight(logits, log_p)
        term = upstream[j] * (element(logits, 1.0) if logs else p)
        possible = (x != element(logits, -np.inf)) & (log_p != element(logits, -np.inf))
        total += np.float64(term if possible else element(logits, 0.0))
    return total


@njit(**INNER)
def _spread_part(logits, allowed, upstream, n, base, log_of_total, sum_, logs, out):  # type: ignore[no-untyped-def]
    """Write the gradient of `n` logits that lie together."""
    for j in range(n):
        x = logits[j]
        x = x if allowed[j] != 0 else element(logits, -np.inf)
        log_p = distance(x, base, log_of_total)
        p, _ = weight(logits, log_p)
        g = upstream[j]
        g = g - p * sum_ if logs else p * (g - sum_)
        possible = (x != element(logits, -np.inf)) & (log_p != element(logits, -np.inf))
        out[j] = g if possible else element(logits, 0.0)


@njit(**INNER)
def _spread_line(source, row, head, work):  # type: ignore[no-untyped-def]
    """Write the gradient of one segment of any length."""
    z, logs = work.z, work.logs != 0
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    segment = row * source.heads + head
    first = row * source.offsets[source.heads] + at
    logits = shift(source.logits, row * source.row_stride + at)
    upstream = shift(as_like(z, work.upstream), first)
    out = shift(as_like(z, work.out), first)
    base = base_of_normalizer(z, as_float64(work.normalizer)[2 * segment])
    log_total = element(z, as_float64(work.normalizer)[2 * segment + 1])
    total = 0.0
    for begin in range(0, n, LINE):
        size = min(LINE, n - begin)
        allowed = permissions(source, row, at + begin, size)
        part, g = shift(logits, begin), shift(upstream, begin)
        total += _sum_upstream(part, allowed, g, size, base, log_total, logs)
    for begin in range(0, n, LINE):
        size = min(LINE, n - begin)
        allowed = permissions(source, row, at + begin, size)
        part, g, to = shift(logits, begin), shift(upstream, begin), shift(out, begin)
        _spread_part(part, allowed, g, size, base, log_total, element(z, total), logs, to)
    return 0


@njit(**INNER)
def _spread_tile(source, lanes, count, steps, work):  # type: ignore[no-untyped-def]
    """Serve the segments of lanes one by one."""
    for lane in range(count):
        _spread_line(source, lanes.row[lane], lanes.head[lane], work)
    return 0


@njit(**OUTER)
def _dense(plan, logits, mask_address, normalizer, logs, out):  # type: ignore[no-untyped-def]
    """Serve a call in the type of `logits`."""
    work = Work(stack_like(logits, TWO_TILES), normalizer, 0, logs, out)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), BYTES_ROOM))
    return walk(_dense_tile, _dense_line, source, plan, work)


@njit(**OUTER)
def _dense_gradient(plan, logits, mask_address, normalizer, upstream, logs, out):  # type: ignore[no-untyped-def]
    """Serve a call in the type of `logits`."""
    work = Work(stack_like(logits, LANES), normalizer, upstream, logs, out)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), BYTES_ROOM))
    return walk(_spread_tile, _spread_line, source, plan, work)


@njit(**COMPILED)
def dense32(plan, logits, mask_address, normalizer, logs, out):  # type: ignore[no-untyped-def]
    """Serve float32 logits; see the package."""
    return _dense(plan, as_float32(logits), mask_address, normalizer, logs, out)


@njit(**COMPILED)
def dense64(plan, logits, mask_address, normalizer, logs, out):  # type: ignore[no-untyped-def]
    """Serve float64 logits; see the package."""
    return _dense(plan, as_float64(logits), mask_address, normalizer, logs, out)


@njit(**COMPILED)
def dense_gradient32(plan, logits, mask_address, normalizer, upstream, logs, out):  # type: ignore[no-untyped-def]
    """Serve float32 logits; see the package."""
    return _dense_gradient(plan, as_float32(logits), mask_address, normalizer, upstream, logs, out)


@njit(**COMPILED)
def dense_gradient64(plan, logits, mask_address, normalizer, upstream, logs, out):  # type: ignore[no-untyped-def]
    """Serve float64 logits; see the package."""
    return _dense_gradient(plan, as_float64(logits), mask_address, normalizer, upstream, logs, out)
