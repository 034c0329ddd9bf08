"""What happens between the matrix products of a GRU, compiled: gates, new state, gradient.

A product writes what the old state gives to the gates, and one pass over it makes the new
state; going back, one pass makes the gradients of all gates from that of the state. Everything
is float32 and lies together; kernels take addresses.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import as_float32, shift
from maskrl.kernels.layers import tanh

_INNER = {"fastmath": {"contract"}, "error_model": "numpy"}
_COMPILED = {**_INNER, "nogil": True, "cache": True}

_HALF, _ONE = np.float32(0.5), np.float32(1.0)


@njit(**_INNER)
def _open(gates, given, recurrent, bias, size):  # type: ignore[no-untyped-def]
    for j in range(2 * size):
        gates[j] = _HALF + _HALF * tanh(_HALF * (given[j] + recurrent[j] + bias[j]))


@njit(**_INNER)
def _propose(reset, new, inner, given, recurrent, bias, size):  # type: ignore[no-untyped-def]
    for j in range(size):
        inner[j] = recurrent[j] + bias[j]
    for j in range(size):
        new[j] = tanh(given[j] + reset[j] * inner[j])


@njit(**_INNER)
def _mix(out, keep, new, before, size):  # type: ignore[no-untyped-def]
    for j in range(size):
        out[j] = new[j] + keep[j] * (before[j] - new[j])


@njit(**_COMPILED)
def gru_forward(given, recurrent, bias, before, gates, out, rows, size):  # type: ignore[no-untyped-def]
    """One step of a GRU: `out` `[rows, size]` from the state `before`.

    `given` `[rows, 3 size]` is what the input gives to reset, update and new, bias included;
    `recurrent` `[rows, 3 size]` what the state gives, without `bias` `[3 size]`. Into `gates`
    `[rows, 4 size]` goes what the way back needs: reset, update, new, and the state's share of
    new before the reset.
    """
    gi, gh, b = as_float32(given), as_float32(recurrent), as_float32(bias)
    h, g, o = as_float32(before), as_float32(gates), as_float32(out)
    b_new = shift(b, 2 * size)
    for _ in range(rows):
        keep, new, inner = shift(g, size), shift(g, 2 * size), shift(g, 3 * size)
        _open(g, gi, gh, b, size)
        _propose(g, new, inner, shift(gi, 2 * size), shift(gh, 2 * size), b_new, size)
        _mix(o, keep, new, h, size)
        gi, gh, g = shift(gi, 3 * size), shift(gh, 3 * size), shift(g, 4 * size)
        h, o = shift(h, size), shift(o, size)
    return 0


@njit(**_INNER)
def _add(carry, upstream, size):  # type: ignore[no-untyped-def]
    for j in range(size):
        carry[j] += upstream[j]


@njit(**_INNER)
def _of_update(of_keep, carry, before, new, keep, size):  # type: ignore[no-untyped-def]
    for j in range(size):
        z = keep[j]
        of_keep[j] = carry[j] * (before[j] - new[j]) * z * (_ONE - z)


@njit(**_INNER)
def _of_proposal(of_new, carry, new, keep, size):  # type: ignore[no-untyped-def]
    for j in range(size):
        n, z = new[j], keep[j]
        of_new[j] = carry[j] * (_ONE - z) * (_ONE - n * n)
        carry[j] *= z


@njit(**_INNER)
def _of_reset(of_reset, of_inner, of_new, reset, inner, size):  # type: ignore[no-untyped-def]
    for j in range(size):
        of_inner[j] = of_new[j] * reset[j]
    for j in range(size):
        r = reset[j]
        of_reset[j] = of_new[j] * inner[j] * r * (_ONE - r)


@njit(**_COMPILED)
def gru_backward(upstream, carry, gates, before, gradient, rows, size):  # type: ignore[no-untyped-def]
    """The way back of `gru_forward`.

    `upstream` `[rows, size]` is added to `carry` `[rows, size]`, the gradient of the new state
    by what came later, which then becomes the old state's, as far as it does not go through a
    product. Into `gradient` `[rows, 4 size]` go the gradients of new, reset, update, and of the
    state's share of new: the input's are the first three, the state's the last three.
    """
    up, c, g = as_float32(upstream), as_float32(carry), as_float32(gates)
    h, d = as_float32(before), as_float32(gradient)
    for _ in range(rows):
        keep, new, inner = shift(g, size), shift(g, 2 * size), shift(g, 3 * size)
        of_reset, of_keep, of_inner = shift(d, size), shift(d, 2 * size), shift(d, 3 * size)
        _add(c, up, size)
        _of_update(of_keep, c, h, new, keep, size)
        _of_proposal(d, c, new, keep, size)
        _of_reset(of_reset, of_inner, d, g, inner, size)
        up, c, h = shift(up, size), shift(c, size), shift(h, size)
        g, d = shift(g, 4 * size), shift(d, 4 * size)
    return 0
