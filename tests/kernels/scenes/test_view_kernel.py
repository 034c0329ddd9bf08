"""The small steps of the kernel of views: products and sums of rows, and weights."""

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused.memory import as_float32
from maskrl.kernels.scenes.view_kernel import add_row, dot, normalize


@njit
def product(a, b, width):
    return dot(as_float32(a), as_float32(b), width)


@njit
def added(target, source, factor, width):
    add_row(as_float32(target), as_float32(source), factor, width)


@njit
def weights_of(scores, count):
    normalize(as_float32(scores), count)


@pytest.mark.parametrize("width", [1, 5, 8, 13, 32])
def test_products_and_sums_of_rows_of_any_width(width):
    rng = np.random.default_rng(width)
    a, b = rng.normal(size=(2, width)).astype(np.float32)
    assert product(a.ctypes.data, b.ctypes.data, width) == pytest.approx(
        float(a.astype(np.float64) @ b), rel=1e-5, abs=1e-5
    )
    expected = a + np.float32(0.5) * b
    added(a.ctypes.data, b.ctypes.data, np.float32(0.5), width)
    np.testing.assert_allclose(a, expected, rtol=1e-6, atol=1e-6)


def test_weights_are_the_softmax_and_nan_where_there_is_none():
    scores = np.array([1.0, -2.0, 30.0, 29.0, -np.inf], np.float32)
    expected = np.exp(scores.astype(np.float64) - 30)
    weights_of(scores.ctypes.data, 5)
    np.testing.assert_allclose(scores, expected / expected.sum(), atol=1e-6)
    assert scores[4] == 0
    nothing = np.full(3, -np.inf, np.float32)
    weights_of(nothing.ctypes.data, 3)
    assert np.isnan(nothing).all()
