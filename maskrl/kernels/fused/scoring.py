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
