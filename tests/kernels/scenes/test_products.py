"""Small products against numpy, for every tile and what is left over beside it."""

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused.memory import as_float32
from maskrl.kernels.scenes.products import add_product, multiply


@njit
def call(adds, out, out_stride, rows, columns, a, a_row, a_step, b, b_stride, steps):
    o, x, y = as_float32(out), as_float32(a), as_float32(b)
    if adds:
        add_product(o, out_stride, rows, columns, x, a_row, a_step, y, b_stride, steps)
    else:
        multiply(o, out_stride, rows, columns, x, a_row, a_step, y, b_stride, steps)


@pytest.mark.parametrize("rows", [4, 8, 12, 20])
@pytest.mark.parametrize("columns", [8, 16, 24, 32, 48, 88])
@pytest.mark.parametrize("steps", [0, 1, 7, 33])
@pytest.mark.parametrize("turned", [False, True])
def test_products_equal_those_of_numpy(rows, columns, steps, turned):
    random = np.random.default_rng(rows * columns + steps)
    a = random.standard_normal((rows, steps + 1)).astype(np.float32)
    b = random.standard_normal((steps + 1, columns + 3)).astype(np.float32)
    held = np.ascontiguousarray(a.T) if turned else a
    strides = (1, rows) if turned else (steps + 1, 1)
    expected = a[:, :steps].astype(np.float64) @ b[:steps, :columns].astype(np.float64)
    for adds in (False, True):
        out = np.full((rows, columns + 5), 7.0, np.float32)
        call(
            adds, out.ctypes.data, columns + 5, rows, columns, held.ctypes.data, *strides,
            b.ctypes.data, columns + 3, steps,
        )  # fmt: skip
        np.testing.assert_allclose(out[:, :columns], expected + 7.0 * adds, rtol=1e-5, atol=1e-5)
        assert (out[:, columns:] == 7).all(), "nothing else is written"
