"""Bias and activation in one pass, and back: against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.kernels.layers import IDENTITY, RELU, TANH, activate, retreat

FUNCTIONS = {
    IDENTITY: (lambda x: x, lambda y: np.ones_like(y)),
    TANH: (np.tanh, lambda y: 1 - y * y),
    RELU: (lambda x: np.maximum(x, 0), lambda y: (y > 0).astype(y.dtype)),
}


def activated(x, kind=TANH, bias=None):
    values = np.ascontiguousarray(x, np.float32).copy()
    rows, width = values.shape
    bias = np.zeros(width, np.float32) if bias is None else bias
    activate(kind, values.ctypes.data, bias.ctypes.data, rows, width)
    return values


def test_tanh_is_exact_to_two_units_in_the_last_place():
    x = np.concatenate([np.linspace(-12, 12, 200_001), np.geomspace(1e-30, 1, 20_001)])
    x = x.astype(np.float32)
    for row in (x, -x):
        exact = np.tanh(row.astype(np.float64))
        error = np.abs(activated(row[None])[0] - exact)
        assert (error <= 2.1 * np.spacing(np.abs(exact).astype(np.float32))).all()
        assert error.max() < 1.3e-7


def test_tanh_of_hostile_numbers():
    x = np.array([[np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30, 1e-40, 88.0]], np.float32)
    expected = np.array([[np.nan, 1, -1, 0, 1, -1, 1e-40, 1]], np.float32)
    np.testing.assert_allclose(activated(x), expected, rtol=1e-6)


def test_a_column_is_the_same_alone_and_in_any_batch():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 64)).astype(np.float32)
    whole = activated(x)
    for rows in (1, 7, 33):
        np.testing.assert_array_equal(activated(x[:rows]), whole[:rows])


@pytest.mark.parametrize("kind", [IDENTITY, TANH, RELU])
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 5), (70, 64), (33, 130), (1000, 17)])
def test_forward_and_back(kind, rows, width):
    rng = np.random.default_rng(rows + width)
    x, bias = rng.normal(size=(rows, width)), rng.normal(size=width).astype(np.float32)
    function, slope = FUNCTIONS[kind]
    exact = function(x.astype(np.float32).astype(np.float64) + bias)
    y = activated(x, kind, bias)
    np.testing.assert_allclose(y, exact, rtol=1e-6, atol=1e-6)
    upstream = rng.normal(size=(rows, width)).astype(np.float32)
    gradient, sums = upstream.copy(), np.full(width, np.nan, np.float32)
    retreat(kind, gradient.ctypes.data, y.ctypes.data, rows, width, sums.ctypes.data)
    expected = upstream * slope(y.astype(np.float64))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sums, expected.sum(0), rtol=1e-5, atol=1e-5 * rows**0.5)


def test_relu_passes_no_gradient_at_zero_and_lets_nan_through():
    x = np.array([[0.0, -0.0, np.nan, -1.0]], np.float32)
    y = activated(x, RELU)
    np.testing.assert_array_equal(y, [[0.0, 0.0, np.nan, 0.0]])
    gradient, sums = np.ones((1, 4), np.float32), np.zeros(4, np.float32)
    retreat(RELU, gradient.ctypes.data, y.ctypes.data, 1, 4, sums.ctypes.data)
    assert gradient.tolist() == [[0.0, 0.0, 1.0, 0.0]]
