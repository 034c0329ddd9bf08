"""PPO's losses from what is known of every choice, in one pass, with their gradients.

The forward kernel says how probable each choice is now and the entropy of its segment. From
these, and from what was stored when the choice was made, come ratio, clipping, the value loss,
the estimate of the KL divergence, and the gradients with respect to log-probabilities,
entropies and values; the gradient kernel takes over from there. The definition in plain torch
is `maskrl.objectives.ppo_loss`.
"""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_float64, as_int64, as_uint8
from maskrl.kernels.fused.tiles import COMPILED, INLINE, INNER

# Places in the settings and the results that a call is given.
CLIP, ENTROPY_COEF, VALUE_COEF, VALUE_CLIP, BY_HEAD, IDLE_ACTION = range(6)
POLICY_LOSS, VALUE_LOSS, ENTROPY, APPROX_KL, CLIP_FRACTION = range(5)

Side = namedtuple("Side", "normalizer entropy log_probs actions old advantages keep")
"""Pointers to what the policy's losses are made of; `keep` is address 0 or bytes."""


@njit(**INLINE)
def _counts(keep, row):  # type: ignore[no-untyped-def]
    """Whether a row counts."""
    return keep == 0 or as_uint8(keep)[row] != 0


@njit(**INLINE)
def _clipped(moved, advantage, clip):  # type: ignore[no-untyped-def]
    """The ratio, the smaller of the two surrogates, and its gradient by the log of the ratio."""
    ratio = math.exp(moved)
    near = min(max(ratio, 1.0 - clip), 1.0 + clip)
    free, bound = ratio * advantage, near * advantage
    if free != free or bound != bound:
        return ratio, np.nan, np.nan
    if free < bound or near == ratio:
        return ratio, free, free
    return ratio, bound, 0.0


@njit(**INNER)
def _settle(side, rows, heads, idle_action):  # type: ignore[no-untyped-def]
    """Give idle segments the log-probability of their one choice: 0, and -inf of another."""
    for segment in range(rows * heads):
        if side.normalizer[2 * segment] == -np.inf:
            chosen = side.actions[segment] == idle_action
            side.log_probs[segment] = np.float32(0.0) if chosen else np.float32(-np.inf)


@njit(**INNER)
def _judge_actions(side, rows, heads, settings, g, h, results):  # type: ignore[no-untyped-def]
    """Write the policy's losses and statistics and their gradients."""
    clip, by_head = settings[CLIP], settings[BY_HEAD] != 0.0
    counted = 0
    for row in range(rows):
        counted += 1 if _counts(side.keep, row) else 0
    share = 1.0 / max(counted, 1)
    gain, entropy, divergence, outside, choices = 0.0, 0.0, 0.0, 0, 0
    for row in range(rows):
        first = row * heads
        is_kept = _counts(side.keep, row)
        weight = np.float32(-settings[ENTROPY_COEF] * share if is_kept else 0.0)
        for segment in range(first, first + heads):
            g[segment] = np.float32(0.0)
            h[segment] = weight
        if not is_kept:
            continue
        advantage = np.float64(side.advantages[row])
        now, then = 0.0, 0.0
        for k in range(heads):
            segment = first + k
            log_prob, old = np.float64(side.log_probs[segment]), np.float64(side.old[segment])
            now += log_prob
            then += old
            entropy += side.entropy[segment]
            if by_head:
                ratio, surrogate, slope = _clipped(log_prob - old, advantage, clip)
                gain += surrogate
                g[segment] = np.float32(-slope * share)
                if old != 0.0:
                    choices += 1
                    outside += 1 if abs(ratio - 1.0) > clip else 0
        moved = now - then
        ratio, surrogate, slope = _clipped(moved, advantage, clip)
        divergence += ratio - 1.0 - moved
        if not by_head:
            gain += surrogate
            for segment in range(first, first + heads):
                g[segment] = np.float32(-slope * share)
            choices += 1
            outside += 1 if abs(ratio - 1.0) > clip else 0
    results[POLICY_LOSS] = -gain * share
    results[ENTROPY] = entropy * share
    results[APPROX_KL] = divergence * share
    results[CLIP_FRACTION] = outside / max(choices, 1)


@njit(**INNER)
def _judge_values(values, old, returns, rows, settings, gradient, results):  # type: ignore[no-untyped-def]
    """Write the value loss and its gradient."""
    clip = settings[VALUE_CLIP]
    factor = settings[VALUE_COEF] / rows
    total = 0.0
    for row in range(rows):
        value = np.float64(values[row])
        miss = value - returns[row]
        error, slope = miss * miss, miss
        if clip >= 0.0:
            step = value - old[row]
            near = old[row] + min(max(step, -clip), clip) - returns[row]
            inside = abs(step) <= clip
            if near * near > error:
                error, slope = near * near, near if inside else 0.0
            elif near * near == error:
                slope = 0.5 * (miss + (near if inside else 0.0))
        total += error
        gradient[row] = np.float32(factor * slope)
    results[VALUE_LOSS] = 0.5 * total / rows


@njit(**COMPILED)
def surrogate32(  # type: ignore[no-untyped-def]
    rows,
    heads,
    settings,
    normalizer,
    entropy,
    log_probs,
    actions,
    old_log_probs,
    advantages,
    keep,
    values,
    old_values,
    returns,
    g,
    h,
    of_values,
    results,
):
    """Judge `rows` actions of `heads` choices and as many values, all float32.

    Addresses of: `settings` float64 `[6]`; what the forward kernel wrote, of which `log_probs`
    of idle choices are corrected; `actions` int64 and `old_log_probs` `[rows, heads]`;
    `advantages`, `keep` (bytes, or 0), `values`, `old_values`, `returns` `[rows]`. Writes the
    gradients `g` of log-probabilities and `h` of entropies `[rows, heads]` for the gradient
    kernel, `of_values` `[rows]`, and `results` float64 `[5]`.
    """
    numbers, out = as_float64(settings), as_float64(results)
    side = Side(
        as_float64(normalizer),
        as_float32(entropy),
        as_float32(log_probs),
        as_int64(actions),
        as_float32(old_log_probs),
        as_float32(advantages),
        keep,
    )
    _settle(side, rows, heads, np.int64(numbers[IDLE_ACTION]))
    _judge_actions(side, rows, heads, numbers, as_float32(g), as_float32(h), out)
    old, target = as_float32(old_values), as_float32(returns)
    _judge_values(as_float32(values), old, target, rows, numbers, as_float32(of_values), out)
    return 0
