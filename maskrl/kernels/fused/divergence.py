"""The Kullback-Leibler divergence of two sets of masked segments, and its gradients.

KL(p, q) sums p * (log p - log q) over what p can take. It is +inf where p can take an entry
that q cannot, and between an empty segment and another; 0 between two empty ones; NaN where
either is unsound. An infinite divergence is a constant, with gradient 0.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.exponential import tiny
from maskrl.kernels.fused.gradient import Upstream, upstream_at
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
    BYTES_ROOM,
    COMPILED,
    FOUR_TILES,
    INLINE,
    INNER,
    LANES,
    LINE,
    OUTER,
    ROOM,
    base_of_normalizer,
    distance,
    load_lanes,
    load_line,
    source_of,
    store_lanes,
    weight,
)
from maskrl.kernels.fused.walk import walk

Work = namedtuple("Work", "z other normalizer_p normalizer_q divergence upstream out_p out_q")
"""Room for four tiles, the source of q, and addresses."""


@njit(**INLINE)
def _terms(z, x, y, base_p, log_p_total, base_q, log_q_total):  # type: ignore[no-untyped-def]
    """The probabilities p and q of one entry, and log p - log q where both are possible."""
    p, log_p = weight(z, distance(x, base_p, log_p_total))
    far = distance(y, base_q, log_q_total)
    q, _ = weight(z, far)
    # Finite even if the subtraction overflows, because 0 times it has to be 0.
    least = element(z, -3.9) / tiny(x)
    far = least if far < least else far
    blocked = element(z, -np.inf)
    return p, q, (log_p - far if (x != blocked) & (y != blocked) else element(z, 0.0))


@njit(**INLINE)
def _shared_term(z, x, y, base_p, log_p, base_q, log_q):  # type: ignore[no-untyped-def]
    """What one entry adds, p * (log p - log q), and 1 if p can take it and q cannot."""
    blocked, zero = element(z, -np.inf), element(z, 0.0)
    p, _, ratio = _terms(z, x, y, base_p, log_p, base_q, log_q)
    term = p * ratio
    term = term if (x != blocked) & (y != blocked) else zero
    return term, (element(z, 1.0) if (x != blocked) & (y == blocked) else zero)


@njit(**INNER)
def _sum_terms(z, steps, base_p, log_p, base_q, log_q, total, beyond):  # type: ignore[no-untyped-def]
    """Add p * (log p - log q) of a tile by lane; `beyond` is above 0 if q cannot take some.

    Four steps are summed in the type of the logits before they join a total.
    """
    other = shift(z, ROOM)
    part = stack_like(z, LANES)
    outside = stack_like(z, LANES)
    bp, lp, bq, lq = (
        stack_like(z, LANES),
        stack_like(z, LANES),
        stack_like(z, LANES),
        stack_like(z, LANES),
    )
    whole = stack_like(total, LANES)
    for lane in range(LANES):
        bp[lane], lp[lane], bq[lane], lq[lane] = (
            base_p[lane],
            log_p[lane],
            base_q[lane],
            log_q[lane],
        )
        whole[lane] = total[lane]
        outside[lane] = beyond[lane]
    fours = steps >> 2
    for four in range(fours):
        i = four * (4 * LANES)
        for lane in range(LANES):
            a, b, c, d = i + lane, i + LANES + lane, i + 2 * LANES + lane, i + 3 * LANES + lane
            t0, o0 = _shared_term(z, z[a], other[a], bp[lane], lp[lane], bq[lane], lq[lane])
            t1, o1 = _shared_term(z, z[b], other[b], bp[lane], lp[lane], bq[lane], lq[lane])
            t2, o2 = _shared_term(z, z[c], other[c], bp[lane], lp[lane], bq[lane], lq[lane])
            t3, o3 = _shared_term(z, z[d], other[d], bp[lane], lp[lane], bq[lane], lq[lane])
            part[lane] = (t0 + t1) + (t2 + t3)
            outside[lane] += (o0 + o1) + (o2 + o3)
        for lane in range(LANES):
            whole[lane] += np.float64(part[lane])
    for j in range(4 * fours, steps):
        for lane in range(LANES):
            a = j * LANES + lane
            t0, o0 = _shared_term(z, z[a], other[a], bp[lane], lp[lane], bq[lane], lq[lane])
            part[lane] = t0
            outside[lane] += o0
        for lane in range(LANES):
            whole[lane] += np.float64(part[lane])
    for lane in range(LANES):
        total[lane] = whole[lane]
        beyond[lane] = outside[lane]


@njit(**INNER)
def _spread_terms(z, steps, base_p, log_p, base_q, log_q, divergence, g):  # type: ignore[no-untyped-def]
    """Write the gradients of a tile at `z + 2 * ROOM` for p and `z + 3 * ROOM` for q."""
    other, of_p, of_q = shift(z, ROOM), shift(z, 2 * ROOM), shift(z, 3 * ROOM)
    blocked, zero = element(z, -np.inf), element(z, 0.0)
    for j in range(steps):
        for lane in range(LANES):
            i = j * LANES + lane
            x, y = z[i], other[i]
            p, q, ratio = _terms(z, x, y, base_p[lane], log_p[lane], base_q[lane], log_q[lane])
            d = g[lane] * (p * (ratio - divergence[lane]))
            of_p[i] = d if x != blocked else zero
            d = g[lane] * (q - (p if x != blocked else zero))
            of_q[i] = d if y != blocked else zero


@njit(**INLINE)
def _settle(total, beyond, top_p, top_q):  # type: ignore[no-untyped-def]
    """The divergence of one segment from its sum and both normalisers."""
    if np.isnan(top_p) or np.isnan(top_q):
        return np.nan
    if beyond > 0 or (top_p == -np.inf and top_q != -np.inf):
        return np.inf
    return total


@njit(**INLINE)
def _normalizers(z, segment, lane, work, base_p, log_p, base_q, log_q):  # type: ignore[no-untyped-def]
    """Write both normalisers of a segment for one lane."""
    p, q = as_float64(work.normalizer_p), as_float64(work.normalizer_q)
    base_p[lane] = base_of_normalizer(z, p[2 * segment])
    log_p[lane] = element(z, p[2 * segment + 1])
    base_q[lane] = base_of_normalizer(z, q[2 * segment])
    log_q[lane] = element(z, q[2 * segment + 1])


@njit(**INLINE)
def _is_forward(work):  # type: ignore[no-untyped-def]
    """Whether the divergence is wanted and not its gradients."""
    return work.out_p == 0 and work.out_q == 0


@njit(**INLINE)
def _upstream(source, row, head, segment, work):  # type: ignore[no-untyped-def]
    """The divergence of a segment and its upstream gradient, both 0 if it is infinite."""
    kl = as_like(work.z, work.divergence)[segment]
    if kl == np.inf:
        return element(work.z, 0.0), element(work.z, 0.0)
    return kl, upstream_at(work.z, work.upstream, row, head)


@njit(**INNER)
def _tile(source, lanes, count, steps, work):  # type: ignore[no-untyped-def]
    """Serve up to 32 short segments, a lane each."""
    z = work.z
    base_p, log_p = stack_like(z, LANES), stack_like(z, LANES)
    base_q, log_q = stack_like(z, LANES), stack_like(z, LANES)
    kl, g = stack_like(z, LANES), stack_like(z, LANES)
    total, beyond = stack_like(as_float64(0), LANES), stack_like(z, LANES)
    load_lanes(source, lanes, count, steps, z)
    load_lanes(work.other, lanes, count, steps, shift(z, ROOM))
    for lane in range(LANES):
        base_p[lane] = log_p[lane] = base_q[lane] = log_q[lane] = element(z, 0.0)
        kl[lane] = g[lane] = element(z, 0.0)
        total[lane] = 0.0
        beyond[lane] = element(z, 0.0)
    for lane in range(count):
        segment = lanes.row[lane] * source.heads + lanes.head[lane]
        _normalizers(z, segment, lane, work, base_p, log_p, base_q, log_q)
    if _is_forward(work):
        _sum_terms(z, steps, base_p, log_p, base_q, log_q, total, beyond)
        for lane in range(count):
            segment = lanes.row[lane] * source.heads + lanes.head[lane]
            top_p = as_float64(work.normalizer_p)[2 * segment]
            top_q = as_float64(work.normalizer_q)[2 * segment]
            value = _settle(total[lane], beyond[lane], top_p, top_q)
            as_like(z, work.divergence)[segment] = element(z, value)
        return 0
    for lane in range(count):
        row, head = lanes.row[lane], lanes.head[lane]
        segment = row * source.heads + head
        kl[lane], g[lane] = _upstream(source, row, head, segment, work)
    _spread_terms(z, steps, base_p, log_p, base_q, log_q, kl, g)
    if work.out_p != 0:
        store_lanes(source, lanes, count, shift(z, 2 * ROOM), as_like(z, work.out_p))
    if work.out_q != 0:
        store_lanes(source, lanes, count, shift(z, 3 * ROOM), as_like(z, work.out_q))
    return 0


@njit(**INNER)
def _line(source, row, head, work):  # type: ignore[no-untyped-def]
    """Serve one segment of any length."""
    z = work.z
    base_p, log_p = stack_like(z, LANES), stack_like(z, LANES)
    base_q, log_q = stack_like(z, LANES), stack_like(z, LANES)
    kl, g = stack_like(z, LANES), stack_like(z, LANES)
    total, beyond = stack_like(as_float64(0), LANES), stack_like(z, LANES)
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    segment = row * source.heads + head
    forward = _is_forward(work)
    divergence, upstream = element(z, 0.0), element(z, 0.0)
    if not forward:
        divergence, upstream = _upstream(source, row, head, segment, work)
    for lane in range(LANES):
        _normalizers(z, segment, lane, work, base_p, log_p, base_q, log_q)
        total[lane] = 0.0
        beyond[lane] = element(z, 0.0)
        kl[lane] = divergence
        g[lane] = upstream
    first = row * source.offsets[source.heads] + at
    for begin in range(0, n, LINE):
        size = min(LINE, n - begin)
        steps = load_line(source, row, at + begin, size, z)
        load_line(work.other, row, at + begin, size, shift(z, ROOM))
        if forward:
            _sum_terms(z, steps, base_p, log_p, base_q, log_q, total, beyond)
            continue
        _spread_terms(z, steps, base_p, log_p, base_q, log_q, kl, g)
        for i in range(size):
            if work.out_p != 0:
                as_like(z, work.out_p)[first + begin + i] = z[2 * ROOM + i]
            if work.out_q != 0:
                as_like(z, work.out_q)[first + begin + i] = z[3 * ROOM + i]
    if forward:
        whole, outside = 0.0, 0.0
        for lane in range(LANES):
            whole += total[lane]
            outside += beyond[lane]
        top_p = as_float64(work.normalizer_p)[2 * segment]
        top_q = as_float64(work.normalizer_q)[2 * segment]
        value = _settle(whole, outside, top_p, top_q)
        as_like(z, work.divergence)[segment] = element(z, value)
    return 0


@njit(**OUTER)
def _divergence(  # type: ignore[no-untyped-def]
    plan_p,
    p,
    action_mask_p,
    normalizer_p,
    plan_q,
    q,
    action_mask_q,
    normalizer_q,
    divergence,
    g,
    out_p,
    out_q,
):
    """Serve a call in the type of `p` and `q`."""
    z = stack_like(p, FOUR_TILES)
    source = source_of(p, action_mask_p, plan_p, stack_like(as_uint8(0), BYTES_ROOM))
    other = source_of(q, action_mask_q, plan_q, stack_like(as_uint8(0), BYTES_ROOM))
    work = Work(z, other, normalizer_p, normalizer_q, divergence, g, out_p, out_q)
    return walk(_tile, _line, source, plan_p, work)


@njit(**COMPILED)
def divergence32(  # type: ignore[no-untyped-def]
    plan_p, logits_p, action_mask_p, normalizer_p, plan_q, logits_q, action_mask_q, normalizer_q,
    divergence, g, g_row, g_head, out_p, out_q,
):  # fmt: skip
    """Serve float32 logits; see the package."""
    p, q, upstream = as_float32(logits_p), as_float32(logits_q), Upstream(g, g_row, g_head)
    return _divergence(
        plan_p, p, action_mask_p, normalizer_p, plan_q, q, action_mask_q, normalizer_q,
        divergence, upstream, out_p, out_q,
    )  # fmt: skip


@njit(**COMPILED)
def divergence64(  # type: ignore[no-untyped-def]
    plan_p, logits_p, action_mask_p, normalizer_p, plan_q, logits_q, action_mask_q, normalizer_q,
    divergence, g, g_row, g_head, out_p, out_q,
):  # fmt: skip
    """Serve float64 logits; see the package."""
    p, q, upstream = as_float64(logits_p), as_float64(logits_q), Upstream(g, g_row, g_head)
    return _divergence(
        plan_p, p, action_mask_p, normalizer_p, plan_q, q, action_mask_q, normalizer_q,
        divergence, upstream, out_p, out_q,
    )  # fmt: skip
