"""One step of Adam by hand; whole runs beside torch's are in tests/trainers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskrl.kernels.adam import COLUMNS, clipped_adam


def step(gradients, limit):
    """Fresh parameters of 1 after one step with these gradients, and the norm."""
    kept, table = [], np.zeros((len(gradients), COLUMNS), np.int64)
    for row, gradient in zip(table, gradients, strict=True):
        size = len(gradient)
        arrays = [np.ones(size), np.array(gradient), np.zeros(size), np.zeros(size), np.zeros(1)]
        arrays = [x.astype(np.float32) for x in arrays]
        row[:] = [*(x.ctypes.data for x in arrays), size]
        kept.append(arrays)
    norm = clipped_adam(table.ctypes.data, len(gradients), limit, 0.1, 0.9, 0.999, 0.5)
    return kept, norm


def test_a_first_step_by_hand():
    """Norm 5, clipped to 1: gradients 0.6 and 0.8. Averages are unbiased, so m/(|m| + eps)."""
    kept, norm = step([[3.0], [4.0]], 1.0)
    assert norm == pytest.approx(5.0)
    for (parameter, _, average, squares, count), g in zip(kept, (0.6, 0.8), strict=True):
        assert parameter[0] == pytest.approx(1.0 - 0.1 * g / (g + 0.5), rel=1e-5)
        assert average[0] == pytest.approx(0.1 * g, rel=1e-5)
        assert squares[0] == pytest.approx(0.001 * g * g, rel=1e-4)
        assert count[0] == 1.0


def test_a_small_gradient_is_not_scaled_up_and_none_is_no_limit():
    for limit in (100.0, math.inf):
        kept, _ = step([[3.0], [4.0]], limit)
        assert kept[1][0][0] == pytest.approx(1.0 - 0.1 * 4.0 / 4.5, rel=1e-5)


def test_a_gradient_that_is_no_number_spoils_all_as_in_torch():
    kept, norm = step([[3.0], [math.nan]], 1.0)
    assert math.isnan(norm)
    assert all(math.isnan(arrays[0][0]) for arrays in kept)
