"""The most probable entry, and many draws that share one cumulative sum."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from maskrl.kernels.fused.plan import BITS, BYTES


def modes(case):
    actions = case.empty(dtype=torch.int64)
    case.kernels.modes(*case.source(), actions.data_ptr())
    return actions


def draws(case, uniforms):
    actions = torch.full(uniforms.shape, -5)
    normalizer = case.forward().normalizer
    case.kernels.draws(
        *case.source(),
        normalizer.data_ptr(),
        uniforms.data_ptr(),
        len(uniforms),
        *uniforms.stride(),
        actions.data_ptr(),
    )
    return actions


@pytest.mark.parametrize("seed", range(30))
def test_the_first_of_the_largest_logits(seed, make_case):
    case = make_case(seed)
    actions = modes(case)
    of_heads, empty, unsound = case.truth()
    masked = torch.where(case.mask, case.logits, -math.inf).split(case.sizes, -1)
    for k, x in enumerate(masked):
        usable = ~empty[:, k] & ~unsound[:, k]
        if usable.any():
            assert torch.equal(actions[usable, k], x[usable].argmax(-1))


def test_logits_are_compared_unrounded(hand_case):
    # As log-probabilities both would be -log 2.
    logits = torch.tensor([[1.0, 1.0 + 2**-23, 1.0]])
    case = hand_case(logits, torch.ones(1, 3, dtype=torch.bool), [3], BYTES)
    assert modes(case).item() == 1


@pytest.mark.parametrize("seed", range(20))
def test_many_draws_are_those_of_single_passes(seed, make_case, draw_uniforms):
    case = make_case(seed)
    uniforms = torch.stack([draw_uniforms(case, 100 * seed + i) for i in range(3)])
    many = draws(case, uniforms)
    of_heads, empty, unsound = case.truth()
    for k, log_p in enumerate(of_heads):
        usable = ~empty[:, k] & ~unsound[:, k]
        assert (many[:, ~usable, k] == 0).all()
        if not usable.any():
            continue
        cdf = log_p[usable].exp().cumsum(-1)
        cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf / cdf[:, -1:]], -1)
        for u, drawn in zip(uniforms[:, usable, k], many[:, usable, k], strict=True):
            drawn = drawn[:, None]
            assert (log_p[usable].gather(-1, drawn) > -math.inf).all()
            assert (u[:, None] >= cdf.gather(-1, drawn) - 1e-6).all()
            assert (u[:, None] < cdf.gather(-1, drawn + 1) + 1e-6).all()


@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_frequencies_of_many_draws(scale, hand_case):
    # Fails once in 10^4 seeds.
    logits = torch.randn(1, 40) * scale
    mask = torch.rand(1, 40) < 0.5
    case = hand_case(logits, mask, [40], BITS)
    drawn = draws(case, torch.rand(200_000, 1, 1, dtype=torch.float64)).flatten()
    probs = torch.where(mask, logits.double(), -math.inf).softmax(-1)[0]
    expected = probs[mask[0]] * len(drawn)
    observed = torch.bincount(drawn, minlength=40)
    assert observed[~mask[0]].sum() == 0
    assert len(expected) > 5
    # Rare entries are judged together, so that every expected count is large enough.
    order = expected.argsort(descending=True)
    want, got = expected[order], observed[mask[0]][order].double()
    common = int((want > 20).sum()) - 1
    want = torch.cat([want[:common], want[common:].sum()[None]])
    got = torch.cat([got[:common], got[common:].sum()[None]])
    assert chisquare(got.numpy(), want.numpy()).pvalue > 1e-4
