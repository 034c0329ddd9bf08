"""A step of Adam after clipping by the norm of all gradients, compiled: two passes, one call.

Thirty small operations of torch in a row cost more than the arithmetic of a small network's
step. The kernels read a table of addresses, one row for each parameter.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_int64, shift

# Columns of the table: addresses of float32 arrays, of the step count, and how many numbers.
PARAMETER, GRADIENT, AVERAGE, SQUARES, STEP, SIZE, COLUMNS = range(7)

_INNER = {"fastmath": {"contract"}, "error_model": "numpy"}
_ANY_ORDER = {**_INNER, "fastmath": {"contract", "reassoc", "nsz"}}


@njit(**_ANY_ORDER)
def _squares(values, size):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(size):
        x = np.float64(values[i])
        total += x * x
    return total


@njit(**_INNER)
def _update(parameter, gradient, average, squares, size, factors):  # type: ignore[no-untyped-def]
    scale, keep, keep_squares, rate, spread, eps = factors
    one = np.float32(1.0)
    for i in range(size):
        g = scale * gradient[i]
        m = keep * average[i] + (one - keep) * g
        v = keep_squares * squares[i] + (one - keep_squares) * g * g
        average[i] = m
        squares[i] = v
        # numpy's function, because math.sqrt would be computed in float64.
        parameter[i] -= rate * m / (np.sqrt(v) * spread + eps)


@njit(**_INNER, nogil=True, cache=True)
def clipped_adam(table, count, limit, rate, beta1, beta2, eps):  # type: ignore[no-untyped-def]
    """Clip all gradients together to a norm of `limit` and step; return the norm before.

    `table` is the address of int64 `[count, COLUMNS]`; a parameter whose gradient is at
    address 0 stays as it is. Every step count is raised by 1.
    """
    numbers = as_int64(table)
    total = 0.0
    for k in range(count):
        row = shift(numbers, k * COLUMNS)
        if row[GRADIENT] != 0:
            total += _squares(as_float32(row[GRADIENT]), row[SIZE])
    norm = math.sqrt(total)
    scale = limit / (norm + 1e-6)
    # A norm that is no number makes everything so, as it would in torch.
    scale = 1.0 if scale > 1.0 else scale
    for k in range(count):
        row = shift(numbers, k * COLUMNS)
        if row[GRADIENT] == 0:
            continue
        steps = as_float32(row[STEP])
        steps[0] += np.float32(1.0)
        step = np.float64(steps[0])
        factors = (
            np.float32(scale),
            np.float32(beta1),
            np.float32(beta2),
            np.float32(rate / (1.0 - beta1**step)),
            np.float32(1.0 / math.sqrt(1.0 - beta2**step)),
            np.float32(eps),
        )
        _update(
            as_float32(row[PARAMETER]),
            as_float32(row[GRADIENT]),
            as_float32(row[AVERAGE]),
            as_float32(row[SQUARES]),
            row[SIZE],
            factors,
        )
    return norm
