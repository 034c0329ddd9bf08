"""Exponentials and the way back, lane by lane against float64."""

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused.memory import as_float32, as_uint8
from maskrl.kernels.scenes.weights import (
    masked_exponentials_of_8,
    masked_exponentials_of_16,
    masked_retreat_of_8,
    masked_retreat_of_16,
)


@njit
def run(lanes, scores, upstream, mask, keys, largest, inverse, back):
    s, g, m = as_float32(scores), as_float32(upstream), as_uint8(mask)
    most, share = as_float32(largest), as_float32(inverse)
    if lanes == 8 and back:
        masked_retreat_of_8(s, g, m, 8, keys, most, share)
    elif lanes == 8:
        masked_exponentials_of_8(s, m, 8, keys, most, share)
    elif back:
        masked_retreat_of_16(s, g, m, 16, keys, most, share)
    else:
        masked_exponentials_of_16(s, m, 16, keys, most, share)


def call(scores, upstream, mask, largest, inverse, *, back):
    keys, lanes = scores.shape
    tensors = (a.ctypes.data for a in (scores, upstream, mask))
    run(lanes, *tensors, keys, largest.ctypes.data, inverse.ctypes.data, back)


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("keys", [1, 5, 33])
def test_weights_and_their_gradient(lanes, keys):
    random = np.random.default_rng(keys)
    scores = (20 * random.standard_normal((keys, lanes))).astype(np.float32)
    mask = (random.random((keys, lanes)) < 0.6).astype(np.uint8)
    mask[:, 0] = 0  # nothing
    mask[:, 1] = 1
    upstream = random.standard_normal((keys, lanes)).astype(np.float32)
    hostile = np.where(mask == 1, scores, np.resize(np.float32([np.nan, np.inf, 1e30]), (keys, 1)))
    largest, inverse = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    held = hostile.copy()
    call(held, upstream, mask, largest, inverse, back=False)

    allowed = np.where(mask == 1, scores.astype(np.float64), -np.inf)
    most = np.where(mask.any(0), allowed.max(0), 0.0)
    exponentials = np.exp(allowed - most)
    total = exponentials.sum(0)
    np.testing.assert_allclose(held, exponentials, rtol=1e-5, atol=1e-37)
    assert (held[mask == 0] == 0).all()
    assert inverse[0] == 0
    np.testing.assert_allclose(inverse[1:] * total[1:], mask.any(0)[1:], rtol=1e-6)

    weights = exponentials / np.where(total > 0, total, 1.0)
    wanted = weights * (upstream - (weights * upstream).sum(0))
    held, g = hostile.copy(), np.where(mask == 1, upstream, np.float32(np.nan))
    call(held, g, mask, largest, inverse, back=True)
    np.testing.assert_allclose(held, weights, rtol=1e-5, atol=1e-37)
    np.testing.assert_allclose(g, wanted, rtol=1e-4, atol=1e-6)
    assert (g[mask == 0] == 0).all()


def test_an_allowed_score_that_is_no_number_is_not_hidden():
    scores = np.zeros((3, 8), np.float32)
    scores[1, 2] = np.nan
    scores[2, 3] = np.inf
    scores[0, 4] = -np.inf
    scores[:, 5:] = -np.inf
    mask, out = np.ones((3, 8), np.uint8), np.empty((2, 8), np.float32)
    mask[1:, 6] = 0  # of what is permitted all is -inf
    mask[:, 7] = 0  # nothing is permitted
    call(scores, scores, mask, out[0], out[1], back=False)
    assert np.isnan(out[1, [2, 3, 5, 6]]).all()
    assert out[:, 7].tolist() == [0, 0]
    assert scores[:, 4].tolist() == [0, 1, 1]
