"""The gradient of log-probabilities of choices and of entropies, in one pass over the logits.

With upstream gradients g of the chosen log-probability and h of the entropy H of a segment,
d logits = g * (onehot - p) - h * p * (log p + H). It is exactly 0 where disallowed, in empty
segments and at logits of -inf; a choice of probability 0 counts as a constant.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import (
    as_float32,
    as_float64,
    as_int64,
    as_like,
    as_uint8,
    element,
    fetch,
    shift,
    stack_like,
)
from maskrl.kernels.fused.tiles import (
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
    load_columns,
    load_lanes,
    permissions,
    source_of,
    store_columns,
    store_lanes,
    weight,
)
from maskrl.kernels.fused.walk import has_short_rows, walk, walk_rows

Upstream = namedtuple("Upstream", "address row_stride head_stride")
"""Where the upstream gradient of one statistic lies; address 0 if it has none."""

Work = namedtuple("Work", "z normalizer entropy actions of_log_prob of_entropy out")
"""Room for a tile and its gradient, and addresses."""


@njit(**INLINE)
def upstream_at(z, upstream, row, head):  # type: ignore[no-untyped-def]
    """The upstream gradient of one segment, 0 if there is none."""
    if upstream.address == 0:
        return element(z, 0.0)
    at = row * upstream.row_stride + head * upstream.head_stride
    return as_like(z, upstream.address)[at]


@njit(**INLINE)
def _is_possible(z, x, base, log_of_total):  # type: ignore[no-untyped-def]
    """Whether a logit that is allowed has a log-probability above -inf, or is of NaN ones."""
    far = distance(x, base, log_of_total) == element(z, -np.inf)
    return x != element(z, -np.inf) and not far


@njit(**INLINE)
def _factors(row, head, segment, is_possible, work):  # type: ignore[no-untyped-def]
    """The gradient of the choice, and the two factors a, b of p * (a + b * log p)."""
    z = work.z
    of_choice = upstream_at(z, work.of_log_prob, row, head) if is_possible else element(z, 0.0)
    of_entropy = upstream_at(z, work.of_entropy, row, head)
    constant = -of_choice
    if work.of_entropy.address != 0:
        constant -= of_entropy * as_like(z, work.entropy)[segment]
    return of_choice, constant, -of_entropy


@njit(**INLINE)
def _entry(z, x, base, log_of_total, constant, factor):  # type: ignore[no-untyped-def]
    """The gradient of one logit, without the choice's own part."""
    p, log_p = weight(z, distance(x, base, log_of_total))
    g = p * (constant + factor * log_p)
    return element(z, 0.0) if x == element(z, -np.inf) else g


@njit(**INNER)
def _gather(source, lanes, count, z, work, base, log_totals, choices, constants, factors):  # type: ignore[no-untyped-def]
    """Read what the lanes need: their normalisers and their factors, as in `_factors`."""
    heads, zero = source.heads, element(z, 0.0)
    normalizer, actions = as_float64(work.normalizer), as_int64(work.actions)
    for lane in range(LANES):
        base[lane] = log_totals[lane] = choices[lane] = zero
        constants[lane] = factors[lane] = zero
    for lane in range(count):
        segment = lanes.row[lane] * heads + lanes.head[lane]
        base[lane] = base_of_normalizer(z, normalizer[2 * segment])
        log_totals[lane] = element(z, normalizer[2 * segment + 1])
    if work.of_log_prob.address != 0:
        for lane in range(count):
            row, head = lanes.row[lane], lanes.head[lane]
            action = actions[row * heads + head]
            if action >= 0 and action < source.offsets[head + 1] - source.offsets[head]:
                x = z[action * LANES + lane]
                of_choice = upstream_at(z, work.of_log_prob, row, head)
                is_possible = _is_possible(z, x, base[lane], log_totals[lane])
                choices[lane] = of_choice if is_possible else zero
                constants[lane] = -choices[lane]
    if work.of_entropy.address != 0:
        entropy = as_like(z, work.entropy)
        for lane in range(count):
            row, head = lanes.row[lane], lanes.head[lane]
            of_entropy = upstream_at(z, work.of_entropy, row, head)
            constants[lane] -= of_entropy * entropy[row * heads + head]
            factors[lane] = -of_entropy


@njit(**INNER)
def _spread(z, steps, base, log_totals, constants, factors):  # type: ignore[no-untyped-def]
    """Write at `z + ROOM` the gradient of a tile, without the choices' own parts."""
    g = shift(z, ROOM)
    bases, logs = stack_like(z, LANES), stack_like(z, LANES)
    a, b = stack_like(z, LANES), stack_like(z, LANES)
    for lane in range(LANES):
        bases[lane], logs[lane] = base[lane], log_totals[lane]
        a[lane], b[lane] = constants[lane], factors[lane]
    for j in range(steps):
        for lane in range(LANES):
            i = j * LANES + lane
            g[i] = _entry(z, z[i], bases[lane], logs[lane], a[lane], b[lane])


@njit(**INNER)
def _spread_lanes(source, lanes, count, z, steps, work):  # type: ignore[no-untyped-def]
    """Write at `z + ROOM` the gradient of segments that lie in lanes already."""
    base, log_totals = stack_like(z, LANES), stack_like(z, LANES)
    choices, constants, factors = stack_like(z, LANES), stack_like(z, LANES), stack_like(z, LANES)
    _gather(source, lanes, count, z, work, base, log_totals, choices, constants, factors)
    _spread(z, steps, base, log_totals, constants, factors)
    if work.of_log_prob.address != 0:
        g, actions = shift(z, ROOM), as_int64(work.actions)
        for lane in range(count):
            if choices[lane] != element(z, 0.0):
                segment = lanes.row[lane] * source.heads + lanes.head[lane]
                g[actions[segment] * LANES + lane] += choices[lane]


@njit(**INNER)
def _gradient_tile(source, lanes, count, steps, work):  # type: ignore[no-untyped-def]
    """Serve up to 32 short segments, a lane each."""
    load_lanes(source, lanes, count, steps, work.z)
    _spread_lanes(source, lanes, count, work.z, steps, work)
    store_lanes(source, lanes, count, shift(work.z, ROOM), as_like(work.z, work.out))
    return 0


@njit(**INNER)
def _fetch_next(source, row, at, to, work):  # type: ignore[no-untyped-def]
    """Ask for a share of what the next rows need beside their logits, and of where they go.

    The share is that of entries `at` to `to` in a row: asked for at once, all of it would push
    out of the nearest cache what these rows need.
    """
    z, heads = work.z, source.heads
    entries = source.offsets[heads]
    first, count = row * heads, LANES * heads
    begin, end = LANES * at // 16, LANES * to // 16
    for i in range(begin, end):
        fetch(shift(as_like(z, work.out), row * entries + i * 16))
    begin, end = count * at // entries, count * to // entries
    for i in range(begin // 4, end // 4):
        fetch(shift(as_float64(work.normalizer), 2 * first + 4 * 2 * i))
    for i in range(begin // 8, end // 8):
        fetch(shift(as_int64(work.actions), first + 8 * i))
    for i in range(begin // 16, end // 16):
        fetch(shift(as_like(z, work.entropy), first + 16 * i))
    for upstream in (work.of_log_prob, work.of_entropy):
        if upstream.head_stride != 0:
            for i in range(begin // 16, end // 16):
                fetch(shift(as_like(z, upstream.address), first + 16 * i))
        elif at == 0:
            fetch(shift(as_like(z, upstream.address), row * upstream.row_stride))
            fetch(shift(as_like(z, upstream.address), (row + 16) * upstream.row_stride))


@njit(**INNER)
def _gradient_rows(source, lanes, count, work):  # type: ignore[no-untyped-def]
    """Serve all heads of up to 32 rows, which lie in lanes together."""
    entries = source.offsets[source.heads]
    row = lanes.row[0]
    load_columns(source, row, count, 0, entries, work.z)
    for head in range(source.heads):
        at, to = source.offsets[head], source.offsets[head + 1]
        _fetch_next(source, row + LANES, at, to, work)
        for lane in range(count):
            lanes.head[lane] = head
        _spread_lanes(source, lanes, count, shift(work.z, at * LANES), to - at, work)
    out = as_like(work.z, work.out)
    store_columns(source, row, count, 0, entries, shift(work.z, ROOM), out)
    return 0


@njit(**INNER)
def _write_line(logits, allowed, n, base, log_of_total, constant, factor, out):  # type: ignore[no-untyped-def]
    """Write the gradient of `n` logits that lie together."""
    for j in range(n):
        x = logits[j]
        x = x if allowed[j] != 0 else element(logits, -np.inf)
        out[j] = _entry(logits, x, base, log_of_total, constant, factor)


@njit(**INNER)
def _gradient_line(source, row, head, work):  # type: ignore[no-untyped-def]
    """Serve one segment of any length."""
    z = work.z
    at = source.offsets[head]
    n = source.offsets[head + 1] - at
    segment = row * source.heads + head
    logits = shift(source.logits, row * source.row_stride + at)
    out = shift(as_like(z, work.out), row * source.offsets[source.heads] + at)
    base = base_of_normalizer(z, as_float64(work.normalizer)[2 * segment])
    log_of_total = element(z, as_float64(work.normalizer)[2 * segment + 1])
    action = 0
    is_possible = False
    if work.of_log_prob.address != 0:
        action = as_int64(work.actions)[segment]
        if action >= 0 and action < n and is_allowed(source, row, at + action):
            is_possible = _is_possible(z, logits[action], base, log_of_total)
    choice, constant, factor = _factors(row, head, segment, is_possible, work)
    for begin in range(0, n, LINE):
        size = min(LINE, n - begin)
        allowed = permissions(source, row, at + begin, size)
        part, to = shift(logits, begin), shift(out, begin)
        _write_line(part, allowed, size, base, log_of_total, constant, factor, to)
    if is_possible:
        out[action] += choice
    return 0


@njit(**OUTER)
def _gradient(  # type: ignore[no-untyped-def]
    plan, logits, mask_address, normalizer, entropy, actions, of_log_prob, of_entropy, out
):
    """Serve a call in the type of `logits`."""
    z = stack_like(logits, TWO_TILES)
    work = Work(z, normalizer, entropy, actions, of_log_prob, of_entropy, out)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), BYTES_ROOM))
    if has_short_rows(plan):
        return walk_rows(_gradient_rows, source, plan, work)
    return walk(_gradient_tile, _gradient_line, source, plan, work)


@njit(**COMPILED)
def gradient32(  # type: ignore[no-untyped-def]
    plan,
    logits,
    mask_address,
    normalizer,
    entropy,
    actions,
    g,
    g_row,
    g_head,
    h,
    h_row,
    h_head,
    out,
):
    """Serve float32 logits; see the package."""
    of_log_prob, of_entropy = Upstream(g, g_row, g_head), Upstream(h, h_row, h_head)
    floats = as_float32(logits)
    return _gradient(
        plan, floats, mask_address, normalizer, entropy, actions, of_log_prob, of_entropy, out
    )


@njit(**COMPILED)
def gradient64(  # type: ignore[no-untyped-def]
    plan,
    logits,
    mask_address,
    normalizer,
    entropy,
    actions,
    g,
    g_row,
    g_head,
    h,
    h_row,
    h_head,
    out,
):
    """Serve float64 logits; see the package."""
    of_log_prob, of_entropy = Upstream(g, g_row, g_head), Upstream(h, h_row, h_head)
    doubles = as_float64(logits)
    return _gradient(
        plan, doubles, mask_address, normalizer, entropy, actions, of_log_prob, of_entropy, out
    )
