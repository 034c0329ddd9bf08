"""Scoring choices of segments whose normaliser is known: one look at each chosen logit.

A distribution that was validated has summed its exponentials already; what is left for a
log-probability is a subtraction, in float64, for each choice. The flags of a call are here.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import (
    as_float32,
    as_float64,
    as_int64,
    as_like,
    as_uint8,
    element,
    stack_like,
)
from maskrl.kernels.fused.tiles import COMPILED, FIRST, INNER, LAST, OUTER, is_allowed, source_of

# What a call reports: some segment is empty, is unsound, has a choice of probability 0, or a
# choice that is not one of its entries.
EMPTY, UNSOUND, IMPOSSIBLE, OUT_OF_RANGE = 1, 2, 4, 8


@njit(**INNER)
def score(source, row, head, top, log_of_total, action, log_prob):  # type: ignore[no-untyped-def]
    """Write the log-probability of one choice behind `log_prob`; return flags."""
    at = source.offsets[head]
    flags = 0
    value = np.float64(-np.inf)
    if action < 0 or action >= source.offsets[head + 1] - at:
        flags = OUT_OF_RANGE
    elif is_allowed(source, row, at + action):
        x = source.logits[row * source.row_stride + at + action]
        value = (np.float64(x) - top) - log_of_total
    log_prob[0] = element(log_prob, value)
    # In the type of the logits, where it may overflow.
    return flags | (IMPOSSIBLE if log_prob[0] == element(log_prob, -np.inf) else 0)


@njit(**INNER)
def _score_all(source, first, last, normalizer, actions, log_probs):  # type: ignore[no-untyped-def]
    """Score the choices of rows, or of the heads of a single row."""
    value = stack_like(log_probs, 1)
    flags = 0
    rows, heads = source.rows, source.heads
    outer_first, outer_last, inner_first, inner_last = first, last, 0, heads
    if rows == 1:
        outer_first, outer_last, inner_first, inner_last = 0, 1, first, last
    for row in range(outer_first, outer_last):
        for head in range(inner_first, inner_last):
            i = row * heads + head
            flags |= score(
                source, row, head, normalizer[2 * i], normalizer[2 * i + 1], actions[i], value
            )
            log_probs[i] = value[0]
    return flags


@njit(**INNER)
def _score_whole(source, first, last, normalizer, entropy, actions, log_probs, entropies):  # type: ignore[no-untyped-def]
    """Score whole actions: sums, in float64, of what each head of a row has in its own type."""
    value = stack_like(log_probs, 1)
    flags = 0
    heads = source.heads
    if source.rows == 1:
        first, last = 0, 1
    for row in range(first, last):
        total, uncertainty = 0.0, 0.0
        for head in range(heads):
            i = row * heads + head
            flags |= score(
                source, row, head, normalizer[2 * i], normalizer[2 * i + 1], actions[i], value
            )
            total += np.float64(value[0])
            uncertainty += np.float64(entropy[i])
        log_probs[row] = element(log_probs, total)
        entropies[row] = element(entropies, uncertainty)
    return flags


@njit(**INNER)
def _sum_heads(values, rows, heads, out):  # type: ignore[no-untyped-def]
    """Write the sum of each row's heads, in float64 and in their order."""
    for row in range(rows):
        total = 0.0
        for head in range(heads):
            total += np.float64(values[row * heads + head])
        out[row] = element(out, total)


@njit(**OUTER)
def _pick_whole(  # type: ignore[no-untyped-def]
    plan, logits, mask_address, normalizer, entropy, actions, log_probs, entropies
):
    """Serve a call in the type of `logits`."""
    numbers = as_int64(plan)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), 8), 0)
    return _score_whole(
        source,
        numbers[FIRST],
        numbers[LAST],
        as_float64(normalizer),
        as_like(logits, entropy),
        as_int64(actions),
        as_like(logits, log_probs),
        as_like(logits, entropies),
    )


@njit(**OUTER)
def _pick(plan, logits, mask_address, normalizer, actions, log_probs):  # type: ignore[no-untyped-def]
    """Serve a call in the type of `logits`."""
    numbers = as_int64(plan)
    source = source_of(logits, mask_address, plan, stack_like(as_uint8(mask_address), 8), 0)
    return _score_all(
        source,
        numbers[FIRST],
        numbers[LAST],
        as_float64(normalizer),
        as_int64(actions),
        as_like(logits, log_probs),
    )


@njit(**COMPILED)
def pick32(plan, logits, mask_address, normalizer, actions, log_probs):  # type: ignore[no-untyped-def]
    """Serve float32 logits; see the package."""
    return _pick(plan, as_float32(logits), mask_address, normalizer, actions, log_probs)


@njit(**COMPILED)
def pick64(plan, logits, mask_address, normalizer, actions, log_probs):  # type: ignore[no-untyped-def]
    """Serve float64 logits; see the package."""
    return _pick(plan, as_float64(logits), mask_address, normalizer, actions, log_probs)


@njit(**COMPILED)
def pick_whole32(plan, logits, action_mask, normalizer, entropy, actions, log_probs, entropies):  # type: ignore[no-untyped-def]
    """Score whole actions of rows of float32 logits; results `[R]` are sums over the heads."""
    floats = as_float32(logits)
    return _pick_whole(
        plan, floats, action_mask, normalizer, entropy, actions, log_probs, entropies
    )


@njit(**COMPILED)
def pick_whole64(plan, logits, action_mask, normalizer, entropy, actions, log_probs, entropies):  # type: ignore[no-untyped-def]
    """Score whole actions of rows of float64 logits; results `[R]` are sums over the heads."""
    doubles = as_float64(logits)
    return _pick_whole(
        plan, doubles, action_mask, normalizer, entropy, actions, log_probs, entropies
    )


@njit(**COMPILED)
def sum_heads32(values, rows, heads, out):  # type: ignore[no-untyped-def]
    """Sum float32 `[R, K]` over the heads as `pick_whole32` does."""
    _sum_heads(as_float32(values), rows, heads, as_float32(out))
    return 0


@njit(**COMPILED)
def sum_heads64(values, rows, heads, out):  # type: ignore[no-untyped-def]
    """Sum float64 `[R, K]` over the heads as `pick_whole64` does."""
    _sum_heads(as_float64(values), rows, heads, as_float64(out))
    return 0
