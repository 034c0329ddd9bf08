"""Gradients of scores and entropies in one pass, against their formula in float64."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels.fused.plan import BYTES


def upstream(case, seed):
    """Upstream gradients of both, of one, and of one number expanded over all."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=case.logits.dtype, generator=generator)

    kind = seed % 4
    of_log_prob = None if kind == 1 else normal(*case.shape)
    of_entropy = None if kind == 2 else normal(*case.shape)
    if kind == 3:
        of_log_prob = normal(1, 1).expand(case.shape)
    return of_log_prob, of_entropy


def gradient(case, result, actions, of_log_prob, of_entropy):
    out = case.entries()
    parts = []
    for g in (of_log_prob, of_entropy):
        parts += [0, 0, 0] if g is None else [g.data_ptr(), *g.stride()]
    case.kernels.gradient(
        *case.source(),
        result.normalizer.data_ptr(),
        result.entropy.data_ptr(),
        actions.data_ptr(),
        *parts,
        out.data_ptr(),
    )
    return out


def formula(case, actions, of_log_prob, of_entropy):
    """G * (onehot - p) - h * p * (log p + H), and which entries are usable."""
    of_heads, _, unsound = case.truth()
    parts, usable = [], []
    for k, log_p in enumerate(of_heads):
        p = log_p.exp()
        finite = torch.where(log_p == -math.inf, 0.0, log_p)
        whole = torch.zeros_like(p)
        if of_log_prob is not None and p.shape[1]:
            choice = actions[:, k : k + 1]
            picked = torch.zeros_like(p).scatter_(-1, choice, 1.0)
            is_possible = log_p.gather(-1, choice) != -math.inf
            g = of_log_prob[:, k : k + 1].double()
            whole = whole + torch.where(is_possible, g * (picked - p), 0.0)
        if of_entropy is not None:
            h = of_entropy[:, k : k + 1].double()
            whole = whole - h * p * (finite - (p * finite).sum(-1, keepdim=True))
        parts.append(torch.where(log_p == -math.inf, 0.0, whole))
        usable.append(~unsound[:, k : k + 1].expand(p.shape))
    return torch.cat(parts, -1), torch.cat(usable, -1)


def check(case, seed, draw_actions, assert_close):
    actions = draw_actions(case, seed)
    result = case.forward(actions=actions)
    g, h = upstream(case, seed)
    got = gradient(case, result, actions, g, h)
    want, usable = formula(case, actions, g, h)
    assert_close(got, want, where=usable)
    assert (got[~case.mask] == 0).all()
    assert (got[case.logits == -math.inf] == 0).all()


@pytest.mark.parametrize("seed", range(40))
def test_against_the_formula(seed, make_case, draw_actions, assert_close):
    check(make_case(seed), seed, draw_actions, assert_close)


@pytest.mark.slow
def test_a_hundred_thousand_segments(make_case, draw_actions, assert_close):
    segments = seed = 0
    while segments < 100_000:
        seed += 1
        case = make_case(20_000 + seed)
        segments += case.shape[0] * case.shape[1]
        check(case, seed, draw_actions, assert_close)


def test_of_equal_logits_by_hand(hand_case):
    # Four equal logits, entry 0 taken; then entry 2 is disallowed.
    logits = torch.zeros(2, 4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 1]], dtype=torch.bool)
    case = hand_case(logits, mask, [4], BYTES)
    actions = torch.zeros(2, 1, dtype=torch.int64)
    got = gradient(case, case.forward(actions=actions), actions, torch.ones(2, 1), None)
    assert got[0].tolist() == pytest.approx([0.75, -0.25, -0.25, -0.25])
    assert got[1].tolist() == pytest.approx([2 / 3, -1 / 3, 0, -1 / 3])


def test_a_certain_choice_has_no_gradient(hand_case):
    logits = torch.randn(5, 90) * 1e3
    mask = torch.zeros(5, 90, dtype=torch.bool)
    mask[:, 7] = True
    actions = torch.full((5, 1), 7)
    ones = torch.ones(5, 1)
    case = hand_case(logits, mask, [90], BYTES)
    assert (gradient(case, case.forward(actions=actions), actions, ones, ones) == 0).all()


def test_unsound_segments_have_none_that_is_finite(hand_case):
    logits = torch.tensor([[0.0, math.nan, 2.0]])
    mask = torch.tensor([[True, True, False]])
    case = hand_case(logits, mask, [3], BYTES)
    actions = torch.zeros(1, 1, dtype=torch.int64)
    ones = torch.ones(1, 1)
    got = gradient(case, case.forward(actions=actions), actions, ones, ones)
    assert got[0, :2].isnan().all()
    assert got[0, 2] == 0


@pytest.mark.parametrize("length", [3, 200])
def test_a_score_that_overflows_to_minus_infinity_is_a_constant(length, hand_case):
    logits = torch.zeros(40, length)
    logits[:, 0], logits[:, 1] = 3e38, -3e38
    actions = torch.ones(40, 1, dtype=torch.int64)
    case = hand_case(logits, torch.ones(40, length, dtype=torch.bool), [length], BYTES)
    result = case.forward(actions=actions)
    assert (result.log_probs == -math.inf).all()
    assert (gradient(case, result, actions, torch.ones(40, 1), None) == 0).all()
