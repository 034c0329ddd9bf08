"""PPO's losses from what the forward kernel wrote, by hand; all of torch is in tests/objectives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskrl.kernels.fused.surrogate import (
    APPROX_KL,
    CLIP_FRACTION,
    ENTROPY,
    POLICY_LOSS,
    VALUE_LOSS,
    surrogate32,
)


def judge(log_probs, old, advantages, *, by_head=False, keep=None, tops=0.0, values=None, **other):
    """Results and gradients for `[rows, heads]` log-probabilities; clip 0.2, weights 0.1, 0.5."""
    log_probs = np.array(log_probs, np.float32)
    rows, heads = log_probs.shape
    zeros = np.zeros(rows, np.float32)
    floats = {
        "entropy": np.full((rows, heads), 0.25, np.float32),
        "old": np.array(old, np.float32),
        "advantages": np.array(advantages, np.float32),
        "values": zeros if values is None else np.array(values, np.float32),
        "old_values": np.array(other.get("old_values", zeros), np.float32),
        "returns": np.array(other.get("returns", zeros), np.float32),
    }
    clip_value = other.get("value_clip", -1.0)
    settings = np.array([0.2, 0.1, 0.5, clip_value, float(by_head), 1.0])
    normalizer = np.zeros((rows, heads, 2))
    normalizer[..., 0] = tops
    actions = np.array(other.get("actions", np.zeros((rows, heads))), np.int64)
    kept = None if keep is None else np.array(keep, np.bool_)
    g, h = np.full((2, rows, heads), np.nan, np.float32)
    of_values, results = np.full(rows, np.nan, np.float32), np.full(5, np.nan)
    surrogate32(
        rows,
        heads,
        settings.ctypes.data,
        normalizer.ctypes.data,
        floats["entropy"].ctypes.data,
        log_probs.ctypes.data,
        actions.ctypes.data,
        floats["old"].ctypes.data,
        floats["advantages"].ctypes.data,
        0 if kept is None else kept.ctypes.data,
        floats["values"].ctypes.data,
        floats["old_values"].ctypes.data,
        floats["returns"].ctypes.data,
        g.ctypes.data,
        h.ctypes.data,
        of_values.ctypes.data,
        results.ctypes.data,
    )
    return results, g, h, of_values, log_probs


def test_two_rows_by_hand():
    """Ratios 1.5 with advantage 1, which is clipped, and 0.9 with advantage -2, which is not."""
    log_probs = [[math.log(0.6)], [math.log(0.45)]]
    results, g, h, *_ = judge(log_probs, [[math.log(0.4)], [math.log(0.5)]], [1.0, -2.0])
    assert results[POLICY_LOSS] == pytest.approx(-(1.2 - 1.8) / 2)
    assert results[ENTROPY] == pytest.approx(0.25)
    divergence = (1.5 - 1 - math.log(1.5) + 0.9 - 1 - math.log(0.9)) / 2
    assert results[APPROX_KL] == pytest.approx(divergence, rel=1e-5)
    assert results[CLIP_FRACTION] == 0.5
    np.testing.assert_allclose(g[:, 0], [0.0, 0.9], rtol=1e-6)
    np.testing.assert_allclose(h, -0.1 / 2)


def test_heads_together_and_each_for_itself():
    """One row, ratios 1.5 and 1.0: together 1.5 is clipped, alone the second head is free."""
    log_probs, old = [[math.log(0.6), math.log(0.5)]], [[math.log(0.4), math.log(0.5)]]
    results, g, *_ = judge(log_probs, old, [1.0])
    assert results[POLICY_LOSS] == pytest.approx(-1.2)
    assert g.tolist() == [[0.0, 0.0]]
    results, g, *_ = judge(log_probs, old, [1.0], by_head=True)
    assert results[POLICY_LOSS] == pytest.approx(-2.2)
    np.testing.assert_allclose(g, [[0.0, -1.0]])
    assert results[CLIP_FRACTION] == 0.5


def test_idle_choices_score_zero_and_rows_that_do_not_count_weigh_nothing():
    """Two empty segments: idle_action 1 is taken in the first, another in the second."""
    tops = [[-np.inf], [-np.inf], [0.0]]
    results, g, h, _, log_probs = judge(
        [[-np.inf], [-np.inf], [-1.0]],
        [[0.0], [0.0], [-1.0]],
        [np.nan, 5.0, 3.0],
        tops=tops,
        actions=[[1], [0], [0]],
        keep=[False, False, True],
    )
    assert log_probs[:, 0].tolist() == [0.0, -np.inf, -1.0]
    assert results[POLICY_LOSS] == -3.0
    assert g[:, 0].tolist() == [0.0, 0.0, -3.0]
    np.testing.assert_allclose(h[:, 0], [0.0, 0.0, -0.1], rtol=1e-6)


def test_value_loss_with_and_without_clipping():
    """Value 2 of return 5: error 9. Predicted 0 before and clipped to 1 it is 16, and flat."""
    given = {"values": [2.0], "returns": [5.0], "old_values": [0.0]}
    results, _, _, of_values, _ = judge([[0.0]], [[0.0]], [0.0], **given)
    assert results[VALUE_LOSS] == 4.5
    assert of_values.tolist() == [-1.5]
    results, _, _, of_values, _ = judge([[0.0]], [[0.0]], [0.0], value_clip=1.0, **given)
    assert results[VALUE_LOSS] == 8.0
    assert of_values.tolist() == [0.0]
