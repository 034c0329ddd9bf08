"""`exp` and `log` that vectorise: polynomials on a reduced range, in float32 and float64.

The library's functions are calls that a vectorised loop cannot hold. Those below are a few
multiplications: `exp_below` has a relative error near 1e-7 in float32 and 3e-16 in float64,
`log_total` one near 2e-16. Both let NaN through, which is how a kernel notices it for free.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from maskrl.kernels.fused.memory import (
    float32_from_bits,
    float64_from_bits,
    int32_bits,
    int64_bits,
)

# Contraction to fused multiply-adds only: reassociation would undo the rounding trick below.
OPTIONS = {"fastmath": {"contract"}, "forceinline": True, "error_model": "numpy"}

# Below these an exponential is 0 here: the last ones that are normal numbers.
LOWEST32 = np.float32(-87.33)
LOWEST64 = -708.3
TINY32 = np.float32(1.1754944e-38)
TINY64 = 2.2250738585072014e-308

# Adding this rounds a float to an integer, which then stands in the lowest bits.
_ROUND32 = np.float32(12582912.0)  # 1.5 * 2**23
_ROUND64 = 6755399441055744.0  # 1.5 * 2**52
_LOG2_E32 = np.float32(1.4426950408889634)
_LOG2_E64 = 1.4426950408889634
# ln 2 in two parts, of which the first is exact when multiplied by a small integer.
_LN2_HIGH32, _LN2_LOW32 = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LN2_HIGH64, _LN2_LOW64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ONE32 = np.int32(0x3F800000)
_ONE64 = np.int64(0x3FF0000000000000)
_SQRT_HALF = np.int64(0x3FE6A09E667F3BCD)


def lowest(number: Any) -> Any:
    """Return the smallest argument whose exponential is not 0 here, in the type of `number`."""


def tiny(number: Any) -> Any:
    """Return the smallest normal number of the type of `number`."""


def exp_below(x: Any) -> Any:
    """Return exp(x) for `lowest <= x <= 1e-3` or NaN; other arguments are not allowed."""


@overload(lowest, jit_options=OPTIONS)
def _lowest(number):  # type: ignore[no-untyped-def]
    if number == types.float32:
        return lambda number: LOWEST32
    return lambda number: LOWEST64


@overload(tiny, jit_options=OPTIONS)
def _tiny(number):  # type: ignore[no-untyped-def]
    if number == types.float32:
        return lambda number: TINY32
    return lambda number: TINY64


@overload(exp_below, jit_options=OPTIONS)
def _exp_below(x):  # type: ignore[no-untyped-def]
    return _exp32 if x == types.float32 else _exp64


def _exp32(x):  # type: ignore[no-untyped-def]
    shifted = x * _LOG2_E32 + _ROUND32
    n = shifted - _ROUND32
    r = x - n * _LN2_HIGH32
    r = r - n * _LN2_LOW32
    p = np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * (r * r) + r + np.float32(1.0)
    # Integers are 64 bits wide in Numba's arithmetic; the optimiser narrows them again.
    return p * float32_from_bits(np.int32((int32_bits(shifted) << 23) + _ONE32))


def _exp64(x):  # type: ignore[no-untyped-def]
    shifted = x * _LOG2_E64 + _ROUND64
    n = shifted - _ROUND64
    r = x - n * _LN2_HIGH64
    r = r - n * _LN2_LOW64
    p = 1 / 6227020800.0
    p = p * r + 1 / 479001600.0
    p = p * r + 1 / 39916800.0
    p = p * r + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    p = p * (r * r) + r + 1.0
    return p * float64_from_bits((int64_bits(shifted) << 52) + _ONE64)


@njit(**OPTIONS)
def log_total(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive normal float64; exactly 0 of 1."""
    bits = int64_bits(x)
    exponent = (bits - _SQRT_HALF) >> 52
    f = float64_from_bits(bits - (exponent << 52)) - 1.0
    k = np.float64(exponent)
    s = f / (2.0 + f)
    z = s * s
    p = 1.479819860511658591e-01
    p = p * z + 1.531383769920937332e-01
    p = p * z + 1.818357216161805012e-01
    p = p * z + 2.222219843214978396e-01
    p = p * z + 2.857142874366239149e-01
    p = p * z + 3.999999999940941908e-01
    p = p * z + 6.666666666666735130e-01
    p = p * z
    half = 0.5 * f * f
    return k * _LN2_HIGH64 - ((half - (s * (half + p) + k * _LN2_LOW64)) - f)
