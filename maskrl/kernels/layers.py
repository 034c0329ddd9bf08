"""What happens between the matrix products of a perceptron, compiled: bias, activation, gradient.

A product writes its result, and one pass over that adds the bias and applies the activation in
place; going back, one pass multiplies by the activation's derivative and sums the columns, which
is the gradient of the bias. Everything is float32 and lies together; kernels take addresses.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from maskrl.kernels.fused.exponential import exp_below
from maskrl.kernels.fused.memory import as_float32, shift, stack_like

# What `kind` may be.
IDENTITY, TANH, RELU = range(3)

_COLUMNS = 64  # summed side by side
_ROWS = 32  # summed in float32 before they are added to the whole, which keeps sums exact

_INLINE = {"fastmath": {"contract"}, "forceinline": True, "error_model": "numpy"}
_INNER = {"fastmath": {"contract"}, "error_model": "numpy"}
_COMPILED = {**_INNER, "nogil": True, "cache": True}

# From here on 1 - tanh rounds to 0; below, the polynomial is more exact than exponentials.
_FLAT = np.float32(9.1)
_SMALL = np.float32(0.625)


@njit(**_INLINE)
def tanh(x):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent of a float32 with a relative error below 1.5e-7; NaN stays NaN."""
    size = abs(x)
    size = _FLAT if size > _FLAT else size
    e = exp_below(np.float32(-2.0) * size)
    far = (np.float32(1.0) - e) / (np.float32(1.0) + e)
    far = -far if x < np.float32(0.0) else far
    z = x * x
    p = np.float32(-5.7049839497e-03)
    p = p * z + np.float32(2.0639084228e-02)
    p = p * z + np.float32(-5.3739714042e-02)
    p = p * z + np.float32(1.3331442184e-01)
    p = p * z + np.float32(-3.3333281941e-01)
    near = p * z * x + x
    return near if size < _SMALL else far


@njit(**_INNER)
def _tanh_row(values, bias, width):  # type: ignore[no-untyped-def]
    for j in range(width):
        values[j] = tanh(values[j] + bias[j])


@njit(**_INNER)
def _relu_row(values, bias, width):  # type: ignore[no-untyped-def]
    for j in range(width):
        x = values[j] + bias[j]
        values[j] = np.float32(0.0) if x < np.float32(0.0) else x


@njit(**_INNER)
def _add_row(values, bias, width):  # type: ignore[no-untyped-def]
    for j in range(width):
        values[j] += bias[j]


@njit(**_COMPILED)
def activate(kind, values, bias, rows, width):  # type: ignore[no-untyped-def]
    """Add `bias` `[width]` to `values` `[rows, width]` and apply the activation, in place."""
    row, biases = as_float32(values), as_float32(bias)
    for _ in range(rows):
        if kind == TANH:
            _tanh_row(row, biases, width)
        elif kind == RELU:
            _relu_row(row, biases, width)
        else:
            _add_row(row, biases, width)
        row = shift(row, width)
    return 0


@njit(**_INNER)
def _retreat_row(kind, gradient, outputs, sums, width):  # type: ignore[no-untyped-def]
    if kind == TANH:
        for j in range(width):
            y = outputs[j]
            g = gradient[j] * (np.float32(1.0) - y * y)
            gradient[j] = g
            sums[j] += g
    elif kind == RELU:
        for j in range(width):
            g = np.float32(0.0) if outputs[j] <= np.float32(0.0) else gradient[j]
            gradient[j] = g
            sums[j] += g
    else:
        for j in range(width):
            sums[j] += gradient[j]


@njit(**_COMPILED)
def retreat(kind, gradient, outputs, rows, width, of_bias):  # type: ignore[no-untyped-def]
    """Turn the gradient of outputs into that before the activation, in place; sum its columns.

    `gradient` and `outputs` are `[rows, width]`, the latter what `activate` wrote; `of_bias`
    `[width]` is written.
    """
    gradients, ys, totals = as_float32(gradient), as_float32(outputs), as_float32(of_bias)
    sums = stack_like(gradients, _COLUMNS)
    for j in range(width):
        totals[j] = np.float32(0.0)
    for at in range(0, width, _COLUMNS):
        size = min(_COLUMNS, width - at)
        for begin in range(0, rows, _ROWS):
            for j in range(_COLUMNS):
                sums[j] = np.float32(0.0)
            for row in range(begin, min(begin + _ROWS, rows)):
                place = row * width + at
                _retreat_row(kind, shift(gradients, place), shift(ys, place), sums, size)
            for j in range(size):
                totals[at + j] += sums[j]
    return 0
