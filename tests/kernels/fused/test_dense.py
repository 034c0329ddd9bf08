"""Probabilities and log-probabilities of all entries, and gradients through them."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels.fused.plan import BYTES


def dense(case, normalizer, logs):
    out = case.entries()
    case.kernels.dense(*case.source(), normalizer.data_ptr(), int(logs), out.data_ptr())
    return out


@pytest.mark.parametrize("seed", range(30))
def test_values(seed, make_case, assert_close):
    case = make_case(seed)
    normalizer = case.forward().normalizer
    log_p = torch.cat(case.truth()[0], -1)
    assert_close(dense(case, normalizer, True), log_p)
    probs = dense(case, normalizer, False)
    assert_close(probs, log_p.exp())
    assert (probs[~case.mask] == 0).all()


@pytest.mark.parametrize("seed", range(30))
def test_gradients(seed, make_case, assert_close):
    case = make_case(seed)
    of_heads, _, unsound = case.truth()
    usable = torch.cat([~unsound[:, k : k + 1].expand(t.shape) for k, t in enumerate(of_heads)], -1)
    normalizer = case.forward().normalizer
    upstream = torch.randn(case.logits.shape, dtype=case.logits.dtype)
    for logs in (True, False):
        got = case.entries()
        case.kernels.dense_gradient(
            *case.source(), normalizer.data_ptr(), upstream.data_ptr(), int(logs), got.data_ptr()
        )
        parts = []
        for log_p, g in zip(of_heads, upstream.double().split(case.sizes, -1), strict=True):
            p = log_p.exp()
            g = torch.where(log_p == -math.inf, 0.0, g)
            if logs:
                d = g - p * g.sum(-1, keepdim=True)
            else:
                d = p * (g - (g * p).sum(-1, keepdim=True))
            parts.append(torch.where(log_p == -math.inf, 0.0, d))
        assert_close(got, torch.cat(parts, -1), where=usable)
        assert (got[~case.mask] == 0).all()


@pytest.mark.parametrize("length", [3, 200])
def test_a_log_probability_that_overflows_to_minus_infinity_is_a_constant(length, hand_case):
    logits = torch.zeros(40, length)
    logits[:, 0], logits[:, 1] = 3e38, -3e38
    case = hand_case(logits, torch.ones(40, length, dtype=torch.bool), [length], BYTES)
    normalizer = case.forward().normalizer
    assert (dense(case, normalizer, True)[:, 1] == -math.inf).all()
    upstream, out = torch.zeros(40, length), case.entries()
    upstream[:, 1] = 1
    case.kernels.dense_gradient(
        *case.source(), normalizer.data_ptr(), upstream.data_ptr(), 1, out.data_ptr()
    )
    assert (out == 0).all()
