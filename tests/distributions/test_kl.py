"""KL divergence: torch's where both can act, +inf and 0 where it is stated, never NaN."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from maskrl.distributions import (
    GridwiseCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
)
from maskrl.errors import MaskShapeError
from maskrl.kernels import set_backend
from maskrl.masks import pack_mask


def mask_of(*rows):
    return torch.tensor(rows, dtype=torch.bool)


def logits_of(*shape):
    return torch.randn(shape, dtype=torch.float64)


@given(st.integers(1, 7), st.integers(0, 2**31))
def test_x2_equal_to_torch_on_the_allowed_logits(actions, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, actions, generator=generator, dtype=torch.float64)
    m = torch.rand(actions, generator=generator) > 0.4
    m[0] = True
    expected = kl_divergence(Categorical(logits=x[m]), Categorical(logits=y[m]))
    ours = kl_divergence(MaskedCategorical(x, m), MaskedCategorical(y, m))
    torch.testing.assert_close(ours, expected)


def test_p_may_be_narrower_than_q_and_not_wider():
    narrow, wide = mask_of([1, 0, 1]), mask_of([1, 1, 1])
    p, q = MaskedCategorical(logits_of(1, 3), narrow), MaskedCategorical(logits_of(1, 3), wide)
    by_hand = (p.probs * (p.logits - q.logits))[narrow].sum()
    torch.testing.assert_close(kl_divergence(p, q)[0], by_hand)
    assert kl_divergence(q, p).tolist() == [math.inf]


def test_minus_infinity_in_p_adds_nothing_and_in_q_is_infinite():
    x = torch.tensor([0.0, -math.inf, 0.0], dtype=torch.float64)
    y = torch.zeros(3, dtype=torch.float64)
    p, q = MaskedCategorical(x), MaskedCategorical(y)
    torch.testing.assert_close(kl_divergence(p, q), torch.tensor(3 / 2, dtype=torch.float64).log())
    assert kl_divergence(q, p).item() == math.inf
    assert kl_divergence(p, p).item() == 0


def test_what_p_gives_a_trace_of_probability_q_must_allow():
    p = MaskedCategorical(torch.tensor([0.0, -300.0]))  # exp(-300) is 0 in float32
    assert kl_divergence(p, MaskedCategorical(torch.zeros(2), mask_of(1, 0))).item() == math.inf


def test_x5_idle_rows():
    m, n = mask_of([0, 0], [0, 0], [1, 1], [1, 0]), mask_of([0, 0], [1, 1], [0, 0], [1, 1])
    x, y = logits_of(4, 2).requires_grad_(), logits_of(4, 2).requires_grad_()
    divergence = kl_divergence(
        MaskedCategorical(x, m, empty="idle"), MaskedCategorical(y, n, empty="idle")
    )
    assert divergence[:3].tolist() == [0.0, math.inf, math.inf]
    assert divergence[3].isfinite()
    divergence.sum().backward()
    for gradient in (x.grad, y.grad):
        assert gradient.isfinite().all()
        assert (gradient[:3] == 0).all()


@pytest.mark.parametrize("forbidden", ["by mask", "by logit"])
def test_an_infinite_divergence_has_gradient_zero(forbidden):
    x, y = logits_of(2, 3), logits_of(2, 3)
    m = torch.ones(2, 3, dtype=torch.bool)
    n = m.clone()
    if forbidden == "by mask":
        n[0, 1], y[0, 1] = False, math.nan
    else:
        y[0, 1] = -math.inf
    x, y = x.requires_grad_(), y.requires_grad_()
    divergence = kl_divergence(MaskedCategorical(x, m), MaskedCategorical(y, n))
    assert divergence[0].item() == math.inf
    (gx, gy) = torch.autograd.grad(divergence.sum(), (x, y), create_graph=True)
    second = torch.autograd.grad(gx.square().sum() + gy.square().sum(), (x, y))
    for gradient in (gx, gy, *second):
        assert gradient.isfinite().all()
        assert (gradient[0] == 0).all()
    assert (gx[1] != 0).any()
    assert (gy[1] != 0).any()


@pytest.mark.parametrize("poison", [1e30, -math.inf, math.inf, math.nan])
def test_x1_gradients_under_the_masks_are_zero(poison):
    m, n = mask_of([1, 0, 1, 0]), mask_of([1, 1, 1, 0])
    x = torch.where(m, logits_of(1, 4), poison).requires_grad_()
    y = torch.where(n, logits_of(1, 4), poison).requires_grad_()
    kl_divergence(MaskedCategorical(x, m), MaskedCategorical(y, n)).sum().backward()
    assert x.grad.isfinite().all()
    assert y.grad.isfinite().all()
    assert (x.grad[~m] == 0).all()
    assert (y.grad[~n] == 0).all()
    assert y.grad[0, 1] > 0  # q pays for what p never does


def test_first_and_second_derivatives():
    m, n = mask_of([1, 0, 1, 1], [0, 1, 0, 0]), mask_of([1, 1, 1, 1], [1, 1, 0, 1])

    def divergence(x, y):
        return kl_divergence(MaskedCategorical(x, m), MaskedCategorical(y, n))

    arguments = (logits_of(2, 4).requires_grad_(), logits_of(2, 4).requires_grad_())
    assert torch.autograd.gradcheck(divergence, arguments)
    assert torch.autograd.gradgradcheck(divergence, arguments)


def test_x13_unsound_rows_are_not_a_number():
    bad = torch.tensor([[0.0, math.nan], [0.0, 0.0]])
    p = MaskedCategorical(bad, validate_args=False)
    q = MaskedCategorical(torch.zeros(2, 2))
    for divergence in (kl_divergence(p, q), kl_divergence(q, p)):
        assert divergence.isnan().tolist() == [True, False]
    only_p = MaskedCategorical(torch.zeros(2, 2), mask_of([0, 1], [1, 1]))
    assert not kl_divergence(p, only_p)[0].isfinite()


def test_batches_broadcast():
    p, q = MaskedCategorical(logits_of(4, 1, 3)), MaskedCategorical(logits_of(5, 3))
    assert kl_divergence(p, q).shape == (4, 5)
    nobody = MaskedCategorical(logits_of(0, 3))
    assert kl_divergence(nobody, nobody).shape == (0,)


def test_numbers_of_actions_must_agree():
    with pytest.raises(MaskShapeError, match="p has 3 actions, q 4"):
        kl_divergence(MaskedCategorical(torch.zeros(3)), MaskedCategorical(torch.zeros(4)))


def pairs_of(kind, x, y, m, n, packed):
    """Two distributions of one kind over logits `[..., 3, 8]` and masks of this shape."""
    pack = pack_mask if packed else torch.clone
    if kind == "heads":
        return [
            MaskedMultiCategorical(z, (2, 1, 5), pack(of), empty="idle")
            for z, of in ((x, m), (y, n))
        ]
    if kind == "bits":
        return [MaskedBernoulli(z[..., :4], pack(of), empty="idle") for z, of in ((x, m), (y, n))]
    if kind == "slots":
        agents = torch.tensor([True, False, True])
        return [
            GridwiseCategorical.from_slots(z, agents, pack(of), nvec=(3, 5), empty="idle")
            for z, of in ((x, m), (y, n))
        ]
    return [MaskedCategorical(z, pack(of), empty="idle") for z, of in ((x, m), (y, n))]


@pytest.mark.parametrize("kind", ["rows", "heads", "bits", "slots"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_x12_both_backends_give_the_same_divergence_of_every_factored_pair(kind, packed, dtype):
    generator = torch.Generator().manual_seed(5)
    logits = (torch.randn(2, 40, 3, 8, generator=generator) * 2).to(dtype)
    m = torch.rand(40, 3, 8, generator=generator) < 0.7
    n = m | (torch.rand(40, 3, 8, generator=generator) < 0.5)
    n[0], m[1] = False, False  # idle: q alone, p alone
    results = []
    for backend in ("fused", "reference"):
        x, y = (z.clone().requires_grad_() for z in logits)
        set_backend(backend)
        try:
            divergence = kl_divergence(*pairs_of(kind, x, y, m, n, packed))
            torch.where(divergence.isinf(), 0.0, divergence).sum().backward()
        finally:
            set_backend("auto")
        results.append((divergence.detach(), x.grad, y.grad))
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5}.get(dtype, 0.03)
    for fused, reference in zip(*results, strict=True):
        torch.testing.assert_close(fused, reference, atol=tolerance, rtol=tolerance)
    assert results[0][0].isfinite().any()
    assert results[0][0].isinf().any()
    assert results[0][1].abs().sum() > 0


def test_an_expanded_distribution_is_compared_in_its_batch():
    p = MaskedCategorical(logits_of(1, 3)).expand((4, 1))
    q = MaskedCategorical(logits_of(1, 3)).expand((4, 1))
    divergence = kl_divergence(p, q)
    assert divergence.shape == (4, 1)
    torch.testing.assert_close(divergence[2, 0], (p.probs * (p.logits - q.logits)).sum(-1)[0, 0])


def test_batches_that_do_not_broadcast_are_named():
    with pytest.raises(MaskShapeError, match=r"p has the batch \(2,\), q \(3,\)"):
        kl_divergence(MaskedCategorical(torch.zeros(2, 3)), MaskedCategorical(torch.zeros(3, 3)))
