"""Polynomial exp and log against numpy's in longer floats."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused.exponential import exp_below, log_total, lowest, tiny


@njit(error_model="numpy")
def exp_all(x, out):
    for i in range(x.size):
        out[i] = exp_below(x[i])


@njit(error_model="numpy")
def log_all(x, out):
    for i in range(x.size):
        out[i] = log_total(x[i])


@njit
def limits(x):
    return lowest(x), tiny(x)


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 3e-7), (np.float64, 3e-16)])
def test_exp(dtype, bound):
    low, least = limits(dtype(0))
    x = np.concatenate([np.linspace(low, 1e-3, 1_000_001), [0.0, low]]).astype(dtype)
    out = np.empty_like(x)
    exp_all(x, out)
    exact = np.exp(x.astype(np.longdouble))
    assert np.abs(out / exact - 1).max() < bound
    assert out[-2] == 1
    assert least == np.finfo(dtype).tiny
    assert least <= out[-1] < 1.2 * least


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_stays(dtype):
    out = np.zeros(3, dtype)
    exp_all(np.full(3, np.nan, dtype), out)
    assert np.isnan(out).all()


@pytest.mark.parametrize(("dtype", "width"), [(np.float32, 4), (np.float64, 2)])
def test_exp_is_vectorised(dtype, width):
    exp_all(np.zeros(9, dtype), np.zeros(9, dtype))
    ir = next(
        v for k, v in exp_all.inspect_llvm().items() if str(k[0].dtype) == np.dtype(dtype).name
    )
    kind = "float" if dtype == np.float32 else "double"
    assert any(f"<{n} x {kind}>" in ir for n in (width, 2 * width, 4 * width, 8 * width))


def test_log():
    x = np.concatenate([np.linspace(1, 4, 300_001), np.exp(np.linspace(-30, 30, 300_001)), [1.0]])
    out = np.empty_like(x)
    log_all(x, out)
    exact = np.log(x.astype(np.longdouble))
    assert np.abs(out - exact).max() < 4e-15
    assert (np.abs(out - exact) <= 3e-16 * np.abs(exact)).all()
    assert out[-1] == 0
